"""What a rule says about a place, before the file is known."""

from dataclasses import dataclass

from mailpact_contract_tool.lint.rules import Rule


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that is broken at a pointer of the document being looked at."""

    rule: Rule
    pointer: str
    sentence: str
