"""Checks a filled template for its author: finds content that mail programs would cut off or could not open."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from mailpact_consumer.mail import Content

HTML_BYTES = 100_000  # Gmail cuts a mail off at 102 KB, and the end of the mail with it
ABSOLUTE_LINK = re.compile(r"(?:https?://[^/?#\s]+|mailto:|tel:|cid:)\S*", re.IGNORECASE)
LINK_ATTRIBUTES = frozenset({"href", "src", "background", "action"})


def faults(content: Content) -> list[str]:
    """Return what is wrong with a filled template, each fault as one sentence."""
    return list(_faults(content))


def _faults(content: Content) -> Iterator[str]:
    if not (content.text or "").strip():
        yield "the text part is empty"
    html = content.html or ""
    size = len(html.encode())
    if size > HTML_BYTES:
        yield f"the HTML part has {size} bytes; mail programs cut off what has more than {HTML_BYTES}"
    for line, attribute, link in _Links(html).found:
        if not ABSOLUTE_LINK.fullmatch(link.strip()):
            yield f"HTML line {line}: {attribute}={link!r} is not an absolute link"


class _Links(HTMLParser):
    """The links of an HTML text, with their lines and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[int, str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag
        for name, value in attrs:
            if name in LINK_ATTRIBUTES:
                self.found.append((self.getpos()[0], name, value or ""))
