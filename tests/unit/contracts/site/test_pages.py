"""Each contract, error code, rule, command and how-to has its page, and the links between pages lead to pages."""

import posixpath
import re

import pytest

from mailpact.contracts import catalogue
from mailpact.contracts.errors import ErrorCode
from mailpact_cli.commands import commands, root
from mailpact_cli.contracts.docs import commands_described
from mailpact_contract_tool.compare.rules import ChangeRule
from mailpact_contract_tool.lint.rules import LintRule
from mailpact_contract_tool.publish.edition import edition, laid_out
from mailpact_contract_tool.publish.writing import read_published
from mailpact_contract_tool.site.material import material
from mailpact_contract_tool.site.pages import pages

pytestmark = pytest.mark.heavy  # making all pages takes more than a second

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
CODE = re.compile(r"^(`{3,})(?!\{toctree).*?^\1$|(`+)[^`].*?\2", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def whole():
    loaded = catalogue.load()
    return edition(read_published(loaded.root), loaded, release="0")


@pytest.fixture(scope="module")
def written(whole):
    loaded = catalogue.load()
    made_from = material(
        loaded,
        read_published(loaded.root),
        commands=commands_described(root()),
        archive=whole.archive_name,
    )
    return pages(made_from)


def test_every_contract_has_its_page_and_its_vectors_have_one(written):
    names = [name.replace("/", "-") for name in catalogue.load().names]

    assert [
        name for name in names if not {f"contracts/{name}.md", f"contracts/{name}-vectors.md"} <= set(written)
    ] == []


def test_every_error_code_has_its_page_that_says_what_to_do(written):
    assert {f"errors/{code}.md" for code in ErrorCode} <= set(written)
    assert all("What the publisher should do" in written[f"errors/{code}.md"] for code in ErrorCode)


def test_every_rule_has_its_page(written, published):
    pages_in_docs = {
        f"rules/{path.name}" for path in (published.parent / "contract_tool/rules").rglob("*.md")
    }

    assert {f"rules/{rule}.md" for rule in (*LintRule, *ChangeRule)} <= set(written)
    assert pages_in_docs <= set(written)


def test_the_list_of_rules_says_of_each_what_it_is_about(written):
    assert "| [EC-PORT-001](EC-PORT-001.md) | " in written["rules/index.md"]
    assert "|  |" not in written["rules/index.md"]


def test_every_command_has_its_page_with_every_option(written):
    for words, command in commands(root()).items():
        page = written[f"commands/mailpact-{words.replace(' ', '-')}.md"]
        assert all(f"`{option}`" in page or f"`{option}, " in page or f", {option}`" in page
                   for parameter in command.params if parameter.param_type_name == "option"
                   for option in parameter.opts)  # fmt: skip


def test_every_how_to_of_docs_has_its_page(written, published):
    guides = {f"how-to/{path.name}" for path in (published.parent / "docs/how-to").glob("*.md")}

    assert guides
    assert guides <= set(written)


def test_links_between_pages_lead_to_a_page_or_a_file(written, whole):
    known = set(written) | {f"files/{path}" for path in laid_out(whole)}

    broken = [
        (page, link)
        for page, text in written.items()
        for link in LINK.findall(CODE.sub("", text))
        if "://" not in link
        and posixpath.normpath(posixpath.join(posixpath.dirname(page), link)) not in known
    ]

    assert broken == []
