"""Writes what came of a run: for people, and as JSON. Pure.

A failure names the sentence that the program breaks, what was seen instead, and everything that helps to find out why;
its last line runs that case alone.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailpact_kit.environment import KIT_VERSION
from mailpact_kit.verdict import Result, Verdict

LABEL_WIDTH = 9
SHOWN_END = 300  # characters of each end of a long line
_EXPLAINED = (Verdict.FAIL, Verdict.NON_STRICT, Verdict.ERROR, Verdict.KNOWN_FAIL)


@dataclass(frozen=True, slots=True)
class Heading:
    """What was verified: the command line as it was given, and on which broker."""

    role: str
    contract: str
    broker: str
    command: str
    again: str
    """The command line that runs one case, with `{ID}` for its id."""


def as_text(heading: Heading, results: Sequence[Result], code: int) -> str:
    """Write the report for people."""
    lines = [
        f"contract-tests {KIT_VERSION}: {heading.role} of {heading.contract} on {heading.broker}",
        f"program: {heading.command}",
        "",
    ]
    for result in results:
        lines += _lines(heading, result)
    return "\n".join([*lines, "", f"{_counts(results)}; exit code {code}", ""])


def as_json(heading: Heading, results: Sequence[Result], code: int) -> str:
    """Write the report for scripts, one object."""
    document = {
        "kit": KIT_VERSION,
        "role": heading.role,
        "contract": heading.contract,
        "broker": heading.broker,
        "command": heading.command,
        "exit_code": code,
        "cases": [_as_object(heading, result) for result in results],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _lines(heading: Heading, result: Result) -> Iterator[str]:
    case = result.case
    yield f"{result.verdict:<10}  {case.id:<9} {case.level:<6}  {result.seconds:5.2f} s  {case.title}"
    if result.is_stale:
        yield _indented("stale", "it is listed as known to fail, and passes: take it off the list")
    if result.verdict is Verdict.SKIP:
        yield from (_indented("because", reason) for reason in result.problems)
    if result.verdict not in _EXPLAINED:
        return
    yield _indented("must", f"{case.spec.says} ({case.spec.where})")
    evidence = result.evidence
    for label, lines in (
        ("seen", result.problems),
        ("sent", evidence.sent),
        ("SMTP", evidence.smtp or ["(nothing about this message)"]),
        ("AMQP", evidence.amqp or ["(nothing about this message)"]),
        ("it wrote", evidence.output or ["(nothing)"]),
    ):
        for number, line in enumerate(lines):
            yield _indented(label if number == 0 else "", line)
    yield f"    {'again':<{LABEL_WIDTH}} {heading.again.replace('{ID}', case.id)}"
    yield ""


def _indented(label: str, line: str) -> str:
    # Of a long line both ends tell most: a log's time and event, and the last line of a traceback in it.
    shown = line if len(line) <= 2 * SHOWN_END else f"{line[:SHOWN_END]} … {line[-SHOWN_END:]}"
    return f"    {label:<{LABEL_WIDTH}} {shown}"


def _counts(results: Sequence[Result]) -> str:
    counts = Counter(result.verdict for result in results)
    return (
        ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]) or "no case ran"
    )


def _as_object(heading: Heading, result: Result) -> dict[str, object]:
    case, evidence = result.case, result.evidence
    return {
        "id": case.id,
        "title": case.title,
        "level": case.level,
        "verdict": result.verdict,
        "stale": result.is_stale,
        "seconds": round(result.seconds, 3),
        "must": case.spec.says,
        "where": case.spec.where,
        "problems": list(result.problems),
        "sent": list(evidence.sent),
        "smtp": list(evidence.smtp),
        "amqp": list(evidence.amqp),
        "output": list(evidence.output),
        "again": heading.again.replace("{ID}", case.id),
    }
