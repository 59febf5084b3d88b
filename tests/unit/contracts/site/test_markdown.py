"""Text and code stay unchanged, and links lead to the new places of the pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

from mailpact_contract_tool.site.markdown import block, body, code, escaped, lowered, relinked

PLACES = {"contract_tool/rules/A.md": "rules/A.md", "contracts/email/1/README.md": "contracts/email-1.md"}
TEXT = st.text(st.sampled_from("ab `|*_<>[]()#$~\\!&"), max_size=12).map(str.strip)


def plain(markdown: str) -> str:
    """Return the text that a reader sees."""
    tokens = create_md_parser(MdParserConfig(), RendererHTML).parse(markdown)
    inline = [child for token in tokens for child in token.children or []]
    return "".join(child.content for child in inline if child.type in ("text", "code_inline", "text_special"))


@given(TEXT)
def test_an_escaped_text_is_read_as_it_is(text):
    assert plain(f"x {escaped(text)} x").split() == f"x {text} x".split()


@given(TEXT.filter(lambda text: text.strip("` ") and "  " not in text))
def test_code_in_a_cell_is_read_as_it_is(text):
    assert plain(f"| head |\n| --- |\n| {code(text)} |\n") == f"head{text}"


def test_a_block_holds_fences():
    assert block("```\nx\n```") == "````text\n```\nx\n```\n````\n"


def test_a_page_without_its_title_begins_with_what_it_says():
    assert body("# Title\n\nWords.\n") == "Words.\n"


def test_headings_go_one_level_down_but_not_those_in_code():
    assert lowered("## A\n```\n# no heading\n```\n# B") == "### A\n```\n# no heading\n```\n## B\n"


@pytest.mark.parametrize(
    ("link", "led"),
    [
        ("[rule](../../contract_tool/rules/A.md)", "[rule](../rules/A.md)"),
        ("[rule](../../contract_tool/rules/A.md#breaks-it)", "[rule](../rules/A.md#breaks-it)"),
        ("[email](../../contracts/email/1/README.md)", "[email](../contracts/email-1.md)"),
        ("[nowhere](../glossary.md)", "nowhere"),
        ("[web](https://example.org/x)", "[web](https://example.org/x)"),
        ("[here](#anchor)", "[here](#anchor)"),
        ("`list[int](x)`", "`list[int](x)`"),
        ("```go\nmap[string](x)\n```\n[no](x)", "```go\nmap[string](x)\n```\nno"),
    ],
)
def test_links_lead_to_this_site_or_are_words(link, led):
    assert relinked(link, at="docs/how-to/x.md", to="how-to/x.md", places=PLACES) == led
