"""Reports contain what the program's author needs to correct the program."""

import json
from xml.etree import ElementTree as ET

from mailpact_kit.cases import Role, load
from mailpact_kit.report import Heading, as_json, as_junit, as_text
from mailpact_kit.verdict import CaseVerdict, Evidence, Result

CASES = load(Role.CONSUMER, wanted="C-ERR-*")
HEADING = Heading(
    "consumer", "email/1", "devbroker", "./mine", "contract-tests verify consumer --run {ID} -- ./mine"
)
FAILED = Result(
    CASES[0],
    CaseVerdict.FAIL,
    ["no dead letters came instead of one"],
    Evidence(["'not json'"], ["C: MAIL FROM:<a@b>"], ["basic.deliver"], ["Traceback"]),
    1.5,
)


def test_failure_shows_the_sentence_the_evidence_and_how_to_run_it_again() -> None:
    text = as_text(HEADING, [FAILED], 1)

    for part in (
        CASES[0].spec.says,
        "seen      no dead letters came instead of one",
        "sent      'not json'",
        "SMTP      C: MAIL FROM:<a@b>",
        "AMQP      basic.deliver",
        "it wrote  Traceback",
        "again     contract-tests verify consumer --run C-ERR-01 -- ./mine",
        "1 FAIL; exit code 1",
    ):
        assert part in text


def test_what_passes_is_one_line() -> None:
    passed = Result(CASES[0], CaseVerdict.PASS, [], Evidence(output=["noise"]), 0.25)

    assert "noise" not in as_text(HEADING, [passed], 0)
    assert "PASS        C-ERR-01  MUST     0.25 s" in as_text(HEADING, [passed], 0)


def test_a_stale_entry_of_the_list_is_pointed_out() -> None:
    passed = Result(CASES[0], CaseVerdict.PASS, [], Evidence(), 0.0, is_stale=True)

    assert "remove it from the list" in as_text(HEADING, [passed], 5)


def test_json_holds_the_same_for_scripts() -> None:
    report = json.loads(as_json(HEADING, [FAILED], 1))

    (case,) = report["cases"]
    assert (report["exit_code"], case["id"], case["verdict"], case["level"]) == (
        1,
        "C-ERR-01",
        "FAIL",
        "MUST",
    )
    assert case["problems"] == ["no dead letters came instead of one"]
    assert case["again"] == "contract-tests verify consumer --run C-ERR-01 -- ./mine"


def test_junit_counts_and_holds_what_xml_cannot() -> None:
    bad = Result(CASES[0], CaseVerdict.FAIL, ["\x00 \ud800 <&>"], Evidence(), 0.5)
    soft = Result(CASES[0], CaseVerdict.NON_STRICT, ["late"], Evidence(), 0.1)

    suite = ET.fromstring(as_junit(HEADING, [bad, soft, FAILED], 1))  # the kit's own

    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "2", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "\ufffd \ufffd <&>"


def test_a_crash_is_reported_once_before_the_cases() -> None:
    heading = Heading(*("consumer", "email/1", "devbroker", "./mine", "x"), crash="it ended.\nTraceback")

    text = as_text(heading, [Result(CASES[0], CaseVerdict.SKIP, ["the program had ended"], Evidence(), 0)], 4)

    assert text.index("crash     it ended.") < text.index("SKIP")
    assert json.loads(as_json(heading, [], 4))["crash"] == "it ended.\nTraceback"


EVIDENCE = Evidence(details=["json: bare-word: was accepted"])


def test_vectors_are_shown_one_by_one_when_asked_for() -> None:
    result = Result(
        CASES[0],
        CaseVerdict.FAIL,
        ["rule json: 1 of 2"],
        Evidence(details=["json: bare-word: was accepted"]),
        0,
    )

    assert "bare-word" not in as_text(HEADING, [result], 1)
    assert "--details shows 1 lines" in as_text(HEADING, [result], 1)
    assert "json: bare-word: was accepted" in as_text(HEADING, [result], 1, has_details=True)
