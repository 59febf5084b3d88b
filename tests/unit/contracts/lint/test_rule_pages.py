"""Every rule has a page, every page a rule, and the examples of a page show what it says."""

import re
from collections.abc import Callable
from pathlib import Path

from mailpact_contract_tool.lint.rules import Finding, LintRule
from tests.each import each

PAGES = Path(__file__).parents[4] / "contract_tool" / "rules" / "lint"
BLOCK = re.compile(r"^```(?:json|markdown|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def page(rule: str) -> str:
    """Return the text of a rule's page."""
    return (PAGES / f"{rule}.md").read_text()


def example(text: str, heading: str) -> tuple[str, bytes]:
    """Return the file that a page's examples stand for, and the example below a heading."""
    (path,) = re.findall(r"^File: `(.+)`$", text, re.MULTILINE)
    breaks, _, does_not = text.partition("\n## Breaks it\n")[2].partition("\n## Does not\n")
    (block,) = BLOCK.findall(breaks if heading == "Breaks it" else does_not)
    return path, block.encode()


def test_every_rule_has_a_page_and_every_such_page_a_rule() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {str(rule) for rule in LintRule}


@each("rule", list(LintRule))
def test_page_has_its_shape(rule: LintRule) -> None:
    lines = page(rule).splitlines()

    assert lines[0] == f"# {rule}"
    assert re.fullmatch(r"Category: (FILE|PORTABLE|WIRE|TOPOLOGY|VECTOR|HISTORY)", lines[2])


@each("rule", list(LintRule))
def test_what_a_page_says_breaks_the_rule_breaks_it(
    rule: LintRule, found: Callable[..., list[Finding]]
) -> None:
    findings = found(*example(page(rule), "Breaks it"))

    assert rule in {finding.rule for finding in findings}


@each("rule", list(LintRule))
def test_what_a_page_says_does_not_break_the_rule_does_not(
    rule: LintRule, found: Callable[..., list[Finding]]
) -> None:
    findings = found(*example(page(rule), "Does not"))

    assert rule not in {finding.rule for finding in findings}
