"""Every kind of change has a page, every page a kind of change, and the examples show what the page says."""

import json
import re
from pathlib import Path

from mailpact_contract_tool.check.reading import compare_documents
from mailpact_contract_tool.compare.rules import ChangeRule
from mailpact_contract_tool.compare.verdict import Verdict
from tests.each import each

PAGES = Path(__file__).parents[4] / "contract_tool" / "rules" / "changes"
INFO = {
    ChangeRule.FORMAT_CHANGED,
    ChangeRule.DEFAULT_CHANGED,
    ChangeRule.DESCRIPTION_CHANGED,
    ChangeRule.ANNOTATION_CHANGED,
    ChangeRule.ID_CHANGED,
}
HARMLESS = {ChangeRule.TOPOLOGY_ADDED, *INFO}


def category(rule):
    """Return the programs that a change of this kind concerns; the rules stand in this order in the list of rules."""
    if rule in INFO:
        return "INFO"
    if rule.startswith("TOPOLOGY_"):
        return "TOPOLOGY"
    order = list(ChangeRule)
    return "WIRE" if order.index(rule) >= order.index(ChangeRule.EXCHANGE_CHANGED) else "READER WRITER"


def page(rule):
    return (PAGES / f"{rule}.md").read_text()


def examples(rule):
    """Return the two pairs of documents on a page: one that breaks the rule, one that does not."""
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)\n```", page(rule), re.DOTALL)]
    return blocks[:2], blocks[2:]


def changes(pair, rule):
    old, new = pair
    return [change for change in compare_documents(old, new, "old", "new").changes if change.rule == rule]


def test_every_rule_has_a_page_and_every_page_a_rule():
    pages = {path.stem for path in PAGES.glob("*.md")}

    assert pages == {str(rule) for rule in ChangeRule}


@each("rule", list(ChangeRule))
def test_page_has_the_form_of_all_pages(rule):
    lines = page(rule).splitlines()

    assert lines[0] == f"# {rule}"
    assert lines[2] == f"Category: {category(rule)}"
    assert [line for line in lines if line.startswith("## ")] == ["## Breaks it", "## Does not"]


@each("rule", list(ChangeRule))
def test_first_example_breaks_the_rule(rule):
    breaking, _ = examples(rule)

    found = changes(breaking, rule)
    harmless = all(Verdict.COMPATIBLE == change.backward == change.forward for change in found)
    assert found
    assert harmless == (rule in HARMLESS)


@each("rule", list(ChangeRule))
def test_second_example_does_not(rule):
    _, harmless = examples(rule)

    assert {(change.backward, change.forward) for change in changes(harmless, rule)} <= {
        (Verdict.COMPATIBLE, Verdict.COMPATIBLE)
    }
