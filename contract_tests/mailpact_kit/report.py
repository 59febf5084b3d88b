"""Write the results of a run: as text for people, as JSON, and as JUnit XML. Pure.

A failure shows the requirement that the program breaks, what the kit observed, and evidence that helps to find the
cause. Its last line is the command that runs only this case.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from mailpact_kit.environment import KIT_VERSION
from mailpact_kit.verdict import CaseVerdict, Result

LABEL_WIDTH = 9
SHOWN_END = 300  # characters of each end of a long line
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_JUNIT_SKIPPED = (CaseVerdict.SKIP, CaseVerdict.NON_STRICT, CaseVerdict.KNOWN_FAIL)
_EXPLAINED = (CaseVerdict.FAIL, CaseVerdict.NON_STRICT, CaseVerdict.ERROR, CaseVerdict.KNOWN_FAIL)


@dataclass(frozen=True, slots=True)
class Heading:
    """What was verified: the program's command line and the broker."""

    role: str
    contract: str
    broker: str
    command: str
    again: str
    """The command line that runs one case, with `{ID}` for its id."""
    crash: str | None = None
    remark: str | None = None


def as_text(heading: Heading, results: Sequence[Result], code: int, *, has_details: bool = False) -> str:
    """Return the report for people; with details, one line for each vector with a problem."""
    lines = [
        f"contract-tests {KIT_VERSION}: {heading.role} of {heading.contract} on {heading.broker}",
        f"program: {heading.command}",
        "",
    ]
    if heading.crash is not None:
        lines += [
            _indented("crash" if number == 0 else "", line)
            for number, line in enumerate(heading.crash.splitlines())
        ]
        lines.append("")
    for result in results:
        lines += _lines(heading, result, has_details=has_details)
    if heading.remark is not None:
        lines += ["", heading.remark]
    return "\n".join([*lines, "", f"{_counts(results)}; exit code {code}", ""])


def as_json(heading: Heading, results: Sequence[Result], code: int) -> str:
    """Return the report for scripts as one JSON object."""
    document = {
        "kit": KIT_VERSION,
        "role": heading.role,
        "contract": heading.contract,
        "broker": heading.broker,
        "command": heading.command,
        "exit_code": code,
        "crash": heading.crash,
        "remark": heading.remark,
        "cases": [_as_object(heading, result) for result in results],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_junit(heading: Heading, results: Sequence[Result], code: int) -> str:
    """Write the report as JUnit XML, which CI systems read: a test suite with one test case for each case."""
    counts = Counter(result.verdict for result in results)
    suite = ET.Element(
        "testsuite",
        name=f"contract-tests {heading.role} {heading.contract}",
        tests=str(len(results)),
        failures=str(counts[CaseVerdict.FAIL]),
        errors=str(counts[CaseVerdict.ERROR] + (heading.crash is not None)),
        skipped=str(sum(counts[each] for each in _JUNIT_SKIPPED)),
        time=f"{max((result.seconds for result in results), default=0):.3f}",
    )
    for result in results:
        case = result.case
        element = ET.SubElement(
            suite, "testcase", classname=f"contract-tests.{heading.role}", name=f"{case.id} {case.title}"
        )
        element.set("time", f"{result.seconds:.3f}")
        _junit_outcome(element, result)
    if heading.crash is not None:
        element = ET.SubElement(
            suite, "testcase", classname=f"contract-tests.{heading.role}", name="the program"
        )
        ET.SubElement(element, "error", message="the program ended").text = _xml_text(heading.crash)
    ET.SubElement(suite, "system-out").text = _xml_text(f"{_counts(results)}; exit code {code}")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"


def _junit_outcome(element: ET.Element, result: Result) -> None:
    kind = {CaseVerdict.FAIL: "failure", CaseVerdict.ERROR: "error"}.get(result.verdict)
    text = _xml_text("\n".join([*result.problems, *result.evidence.details]))
    if kind is not None:
        first = result.problems[0] if result.problems else ""
        ET.SubElement(element, kind, message=_xml_text(first)).text = text
    elif result.verdict in _JUNIT_SKIPPED:
        ET.SubElement(
            element, "skipped", message=_xml_text(f"{result.verdict}: {'; '.join(result.problems)}")
        )


def _xml_text(text: str) -> str:
    """Return the text without the characters that XML 1.0 cannot hold (section 2.2)."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _lines(heading: Heading, result: Result, *, has_details: bool) -> Iterator[str]:
    case = result.case
    yield f"{result.verdict:<10}  {case.id:<9} {case.level:<6}  {result.seconds:5.2f} s  {case.title}"
    if result.is_stale:
        yield _indented("stale", "the case passes: remove it from the list of known failures")
    if result.verdict is CaseVerdict.SKIP:
        yield from (_indented("because", reason) for reason in result.problems)
    if result.verdict not in _EXPLAINED:
        return
    yield _indented("must", f"{case.spec.says} ({case.spec.where})")
    evidence = result.evidence
    for label, lines in (
        ("seen", result.problems),
        ("sent", evidence.sent),
        ("vectors", evidence.details if has_details else _hint(evidence.details)),
        ("SMTP", evidence.smtp),
        ("AMQP", evidence.amqp),
        ("it wrote", evidence.output or ["(nothing)"]),
    ):
        for number, line in enumerate(lines):
            yield _indented(label if number == 0 else "", line)
    yield f"    {'again':<{LABEL_WIDTH}} {heading.again.replace('{ID}', case.id)}"
    yield ""


def _hint(details: Sequence[str]) -> list[str]:
    return (
        [f"--details shows {len(details)} lines, one for each vector with a wrong result"] if details else []
    )


def _indented(label: str, line: str) -> str:
    # Both ends of a long line are the most useful: the time and event of a log line, and the last line of a
    # traceback.
    shown = line if len(line) <= 2 * SHOWN_END else f"{line[:SHOWN_END]} … {line[-SHOWN_END:]}"
    return f"    {label:<{LABEL_WIDTH}} {shown}"


def _counts(results: Sequence[Result]) -> str:
    counts = Counter(result.verdict for result in results)
    return (
        ", ".join(f"{counts[verdict]} {verdict}" for verdict in CaseVerdict if counts[verdict])
        or "no case ran"
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
        "details": list(evidence.details),
        "output": list(evidence.output),
        "again": heading.again.replace("{ID}", case.id),
    }
