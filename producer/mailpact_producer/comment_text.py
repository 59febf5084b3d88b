"""Reads the text that a reader typed as a comment, and decides whether it can be a comment. Pure.

A comment is plain text. Web addresses in a comment are not shown as links, so that spam has little use for comments.
"""

import re
from typing import Final

from mailpact_producer.accounts import Wrong, without_invisible_ends
from mailpact_producer.page_text import readable

MAX_COMMENT: Final = 2_000  # characters
MAX_LINKS: Final = 2
COMMENT_FIELD: Final = "comment"

_LINK: Final = re.compile(r"://|\bwww\.", re.IGNORECASE)


def read_comment(typed: str) -> str:
    """Return the text of the comment; raise Wrong with a sentence for the person."""
    text = readable(typed).strip()
    if not without_invisible_ends(text):
        raise Wrong("Please enter a text.")
    if len(text) > MAX_COMMENT:
        raise Wrong(f"The comment is too long: {len(text)} characters. {MAX_COMMENT} are allowed.")
    if links_in(text) > MAX_LINKS:
        raise Wrong(f"The comment has too many links: {MAX_LINKS} are allowed.")
    return text


def links_in(text: str) -> int:
    """Return how many addresses of web pages the text has."""
    return len(_LINK.findall(text))
