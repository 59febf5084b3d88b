"""Turns the Markdown of a page into HTML that is safe to show. Pure.

HTML that somebody writes into the Markdown is shown as text. What the parser makes is cleaned once more: only the
elements and attributes that are named here pass, so that a fault of the parser cannot become a script of the site.
Headings begin one level lower, because the title of the page is its first heading. Each block finds its own reading
direction.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

EXCERPT_SOURCE: Final = 2_000  # characters that are read for an excerpt

_LOWEST_HEADING: Final = 6
_BLOCKS: Final = frozenset({"p", "h2", "h3", "h4", "h5", "h6", "li"})
_TAGS: Final = _BLOCKS | {"a", "blockquote", "br", "code", "em", "hr", "ol", "pre", "strong", "ul"}
_ATTRIBUTES: Final = {"a": {"href", "title"}, "ol": {"start"}, **{name: {"dir"} for name in _BLOCKS}}
_SCHEMES: Final = frozenset({"http", "https", "mailto"})
_LINK_REL: Final = "nofollow noopener noreferrer"

# Pictures could only come from other hosts, and the site's pages load nothing from other hosts.
_PARSER: Final = MarkdownIt("commonmark", {"html": False}).disable("image")


def to_html(markdown: str) -> str:
    """Return the text as HTML, to be put into a page as it is."""
    tokens = _PARSER.parse(markdown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + 1, _LOWEST_HEADING)}"
        if token.nesting == 1 and token.tag in _BLOCKS:
            token.attrSet("dir", "auto")
    html: str = _PARSER.renderer.render(tokens, _PARSER.options, {})
    cleaned = nh3.clean(
        html,
        tags=set(_TAGS),
        attributes={name: set(names) for name, names in _ATTRIBUTES.items()},
        url_schemes=set(_SCHEMES),
        link_rel=_LINK_REL,
    )
    # Long lines of code scroll sideways, also for somebody who has only a keyboard.
    return cleaned.replace("<pre>", '<pre tabindex="0">')


def excerpt(markdown: str) -> str:
    """Return the first paragraph as text; "" if there is none at the beginning."""
    tokens = _PARSER.parse(markdown[:EXCERPT_SOURCE])
    for before, token in pairwise(tokens):
        if before.type == "paragraph_open":
            return _words(token.children or ())
    return ""


def _words(tokens: Sequence[Token]) -> str:
    return "".join(
        " " if token.type in ("softbreak", "hardbreak") else token.content for token in tokens
    ).strip()
