"""Split a mail's text at its web addresses, so that the page can show them as links.

Pure: the template escapes every piece.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mailpact_capture.found_in_text import urls


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of text. `is_link` is true if the whole piece is a web address."""

    text: str
    is_link: bool


def pieces(text: str) -> Iterator[Piece]:
    """Split a text into consecutive pieces."""
    at = 0
    for start, url in urls(text):
        if start > at:
            yield Piece(text[at:start], is_link=False)
        yield Piece(url, is_link=True)
        at = start + len(url)
    if at < len(text):
        yield Piece(text[at:], is_link=False)
