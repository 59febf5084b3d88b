"""Find web addresses in a mail's text, so that the page can show them as links.

Pure: the template escapes every piece.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_URL: Final = re.compile(r"https?://[^\s<>\"'`\x00-\x1f\x7f]{1,2000}")
_NOT_AT_END: Final = ".,;:!?)]}"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of text. `is_link` is true if the whole piece is a web address."""

    text: str
    is_link: bool


def pieces(text: str) -> Iterator[Piece]:
    """Split a text into consecutive pieces. Punctuation after an address does not belong to the address."""
    at = 0
    for match in _URL.finditer(text):
        url = match[0].rstrip(_NOT_AT_END)
        if match.start() > at:
            yield Piece(text[at : match.start()], is_link=False)
        yield Piece(url, is_link=True)
        at = match.start() + len(url)
    if at < len(text):
        yield Piece(text[at:], is_link=False)
