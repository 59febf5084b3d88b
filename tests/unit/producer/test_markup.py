"""Markdown becomes HTML that holds nothing but what a page may hold."""

import time

import pytest

from mailpact_producer.markup import excerpt, to_html


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


@pytest.mark.parametrize("opening", [">", "- ", "[", "*", "![", "`", "<", "(", "1. ", "\\", "&#"])
def test_hostile_text_takes_no_more_than_two_seconds(opening: str) -> None:
    began = time.process_time()

    to_html(opening * (16_000 // len(opening)))

    assert time.process_time() - began < 1


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
