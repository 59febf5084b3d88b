"""Markdown becomes HTML with allowed elements and attributes only."""

from html import escape

import pytest

from mailpact_producer.errors import TooComplex
from mailpact_producer.markup import excerpt, require_simple, to_html


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("one\n\ntwo", '<p dir="auto">one</p>\n<p dir="auto">two</p>\n'),
        ("# one\n\n###### six", '<h2 dir="auto">one</h2>\n<h6 dir="auto">six</h6>\n'),
        ("- one", '<ul>\n<li dir="auto">one</li>\n</ul>\n'),
        ("3. one", '<ol start="3">\n<li dir="auto">one</li>\n</ol>\n'),
        ("`<b>`", '<p dir="auto"><code>&lt;b&gt;</code></p>\n'),
        ("<b>x</b>", '<p dir="auto">&lt;b&gt;x&lt;/b&gt;</p>\n'),
        (
            "[x](https://x.example)",
            '<p dir="auto"><a href="https://x.example" rel="nofollow noopener noreferrer">x</a></p>\n',
        ),
        ("[x](javascript:alert)", '<p dir="auto">[x](javascript:alert)</p>\n'),
        ("[x](/pages/one)", '<p dir="auto"><a href="/pages/one" rel="nofollow noopener noreferrer">x</a></p>\n'),
        ("", ""),
    ],
)  # fmt: skip
def test_markdown_becomes_html(markdown: str, html: str) -> None:
    assert to_html(markdown) == html


# Each is repeated up to the greatest length of a page.
DEEP = [
    "[", "![", "[a\n", "[<a>", "[*a", "[a](", "[]", "[a][b]", "*a", "*_", "**a ", "*a**b", "`",
    "`a", ">", "> ", "> - ", "- ", "- a\n", "1. ", "1) a\n 2) b\n", "#\n", "|a|b|\n|-|-|\n", "<",
    "<a b=\"", "<http://a>", "(", "\\", "&#", "&amp;", "]", "a\n", "a\n=\n", "~~~\n", "\t",
    "    a\n", "[a]: b\n", "[]:\n", "[x]: <",
]  # fmt: skip
TOO_DEEP = ["[a]: /b\n> ```\n= ", '`**" ```\n>[a]: /b\n']


def repeated(unit: str) -> str:
    return (unit * 16_000)[:16_000]


@pytest.mark.heavy
@pytest.mark.parametrize("unit", DEEP)
def test_hostile_text_that_takes_a_time_as_long_as_the_text_is_shown(unit: str) -> None:
    require_simple(repeated(unit))


@pytest.mark.heavy
@pytest.mark.parametrize("unit", TOO_DEEP)
def test_text_whose_time_grows_with_the_square_of_its_length_is_refused_and_shown_as_it_is(unit: str) -> None:
    with pytest.raises(TooComplex):
        require_simple(repeated(unit))

    assert to_html(repeated(unit)) == f'<p dir="auto">{escape(repeated(unit))}</p>\n'
    assert excerpt(repeated(unit)) is not None


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("# Title\n\nThe *first*\nparagraph, [linked](/x) & `code`.\n\nMore", "The first paragraph, linked & code."),
        ("- only\n- a list", "only"),
        ("```\ncode\n```", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_excerpt_is_the_text_of_the_first_paragraph(markdown: str, text: str) -> None:
    assert excerpt(markdown) == text


def test_code_can_be_scrolled_with_the_keyboard() -> None:
    assert to_html("```\n<pre> x\n```") == '<pre tabindex="0"><code>&lt;pre&gt; x\n</code></pre>\n'
