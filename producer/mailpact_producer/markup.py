"""Turns the Markdown of a page into HTML that is safe to show. Pure.

HTML that somebody writes into the Markdown is shown as text. What the parser makes is cleaned once more: only the
elements and attributes that are named here pass, so that a fault of the parser cannot become a script of the site.
Headings begin one level lower, because the title of the page is its first heading. Each block finds its own reading
direction.

The parser takes a time that grows with the length of most texts, but with its square for some, for example for link
definitions among quotes. So the parser's rules are counted each time they are tried, and a text that needs too many
steps is no page: `TooComplex`. The count is the same on every machine. Ordinary text needs less than one step for each
character, and 16,000 square brackets need 281,000 steps.
"""

from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise
from typing import Any, Final

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

from mailpact_producer.errors import TooComplex

MAX_STEPS: Final = 400_000
"""Most rules of the parser that are tried for one text: about half a second of a processor's time."""

EXCERPT_SOURCE: Final = 2_000  # characters that are read for an excerpt

_LOWEST_HEADING: Final = 6
_BLOCKS: Final = frozenset({"p", "h2", "h3", "h4", "h5", "h6", "li"})
_TAGS: Final = _BLOCKS | {"a", "blockquote", "br", "code", "em", "hr", "ol", "pre", "strong", "ul"}
_ATTRIBUTES: Final = {"a": {"href", "title"}, "ol": {"start"}, **{name: {"dir"} for name in _BLOCKS}}
_SCHEMES: Final = frozenset({"http", "https", "mailto"})
_LINK_REL: Final = "nofollow noopener noreferrer"

_STEPS: Final = "steps"


def _make_parser() -> MarkdownIt:
    # Pictures could only come from other hosts, and the site's pages load nothing from other hosts.
    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    rulers: tuple[Any, ...] = (parser.block.ruler, parser.inline.ruler)
    for ruler in rulers:
        for rule in ruler.__rules__:
            if rule.enabled:
                ruler.at(rule.name, _counted(rule.fn), {"alt": rule.alt})
    return parser


def _counted(rule: Callable[..., Any]) -> Callable[..., Any]:
    def counted(state: Any, *arguments: Any) -> Any:
        state.env[_STEPS] = steps = state.env.get(_STEPS, 0) + 1
        if steps > MAX_STEPS:
            raise TooComplex
        return rule(state, *arguments)

    return counted


_PARSER: Final = _make_parser()


def require_simple(markdown: str) -> None:
    """Raise TooComplex if the text takes too many steps to be made HTML."""
    _PARSER.parse(markdown)


def to_html(markdown: str) -> str:
    """Return the text as HTML, to be put into a page as it is; without markup if the text is too complex."""
    try:
        tokens = _PARSER.parse(markdown)
    except TooComplex:
        return f'<p dir="auto">{escape(markdown)}</p>\n'
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
