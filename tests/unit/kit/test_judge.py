"""The verdict of a case follows from the recorded facts and names the reason."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from mailpact.contracts.catalogue import Contract
from mailpact_kit.cases import CaseMessage, LetterExpected, MailExpected, NotLost
from mailpact_kit.judge import Seen, judge_message
from mailpact_kit.ledger import Settled
from mailpact_kit.mail import Mail
from mailpact_kit.messages import Letter, Sent, case_message

ID = "6f1e0c1c-0000-4000-8000-000000000001"
TO = "c-x-01.6f1e0c1c0000@kit.example"
NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
LETTER = LetterExpected("schema", "/email", "type", keeps_properties=True)


@pytest.fixture
def valid(contract: Contract) -> Sent:
    """Return a message that must become a mail with the text `é`."""
    message = CaseMessage('{"email": "${RECIPIENT}", "message": "é"}', "", MailExpected("é"))
    return case_message("C-X-01", message, contract.wire, message_id=ID, now=NOW)


@pytest.fixture
def invalid(contract: Contract) -> Sent:
    """Return a message that must become a dead letter."""
    return case_message(
        "C-X-01", CaseMessage("${NONCE}", "text/plain", LETTER), contract.wire, message_id=ID, now=NOW
    )


def mail(text: str = "é", *, to: tuple[str, ...] = (TO,), charset: str = "; charset=utf-8") -> Mail:
    """Return a mail as the mail server received it."""
    head = f"Subject: x\r\nContent-Type: text/plain{charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return Mail(0.0, "speaker@kit.example", to, head.encode() + text.encode() + b"\r\n")


def letter(sent: Sent, *, body: bytes | None = None, without: str = "", **headers: Any) -> Letter:
    """Return the correct dead letter of a message, with these changes."""
    reason = {"x-error-code": "schema", "x-error-pointer": "/email", "x-error-keyword": "type"} | headers
    properties = dict(sent.properties)
    properties["headers"] = {**dict(properties["headers"]), **reason}  # type: ignore[call-overload]  # a table
    properties.pop(without, None)
    return Letter(properties, sent.body if body is None else body)


def seen(*things: Mail | Letter, settled: Settled | None = Settled.ACKED, times: int = 1) -> Seen:
    """Return all results of a message."""
    return Seen(
        [thing for thing in things if isinstance(thing, Mail)],
        [thing for thing in things if isinstance(thing, Letter)],
        times,
        settled,
    )


def test_one_mail_to_the_recipient_with_the_text_is_right(valid: Sent) -> None:
    assert judge_message(valid, seen(mail())) == []


@pytest.mark.parametrize(
    ("came", "problem"),
    [
        (seen(), "no mails came instead of one"),
        (seen(mail(), mail()), "2 mails came instead of one"),
        (seen(mail("?")), r"text is '\?\\r\\n' instead of '\\xe9'"),
        (seen(mail("e\u0301")), "text is"),
        (seen(mail(charset="")), "no charset is declared"),
        (seen(mail(charset="; charset=us-ascii")), "not in the charset"),
        (seen(mail(to=(TO, "evil@x.example"))), "went to .*evil"),
        (seen(mail(), settled=None), "delivered once and never acknowledged"),
        (seen(settled=None, times=0), "never delivered"),
    ],
)
def test_what_is_wrong_with_a_mail_is_said(valid: Sent, came: Seen, problem: str) -> None:
    problems = judge_message(valid, came)

    assert problems
    assert re.search(problem, "\n".join(problems))


def test_one_letter_with_its_reason_and_all_that_was_sent_is_right(invalid: Sent) -> None:
    assert judge_message(invalid, seen(letter(invalid))) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"body": b"other"}, "body is b'other'"),
        ({"without": "content_type"}, "content_type None instead of 'text/plain'"),
        ({"without": "timestamp"}, "timestamp None"),
        ({"without": "message_id"}, "message_id None"),
        ({"x-error-code": "invalid_json"}, "x-error-code 'invalid_json' instead of 'schema'"),
        ({"x-error-pointer": ""}, "x-error-pointer '' instead of '/email'"),
        ({"x-kit-nonce": "gone"}, "has headers"),
    ],
)
def test_what_is_wrong_with_a_letter_is_said(invalid: Sent, changes: dict[str, Any], problem: str) -> None:
    (found,) = judge_message(invalid, seen(letter(invalid, **changes)))

    assert problem in found


def test_letter_that_the_broker_wrote_is_explained(invalid: Sent) -> None:
    written = Letter(
        {"message_id": ID, "headers": {"x-death": [], "x-kit-nonce": invalid.nonce}}, invalid.body
    )

    problems = judge_message(invalid, seen(written, settled=Settled.REJECTED))

    assert "written by the broker" in problems[0]


def test_mail_of_an_invalid_message_is_a_problem_beside_its_letter(invalid: Sent) -> None:
    assert judge_message(invalid, seen(letter(invalid), mail())) == [f"a mail went out, to '{TO}'"]


@pytest.mark.parametrize(
    ("came", "problem"),
    [
        (seen(settled=None), None),
        (seen(mail()), None),
        (seen(Letter({}, b"x")), None),
        (Seen([], [], 1, Settled.ACKED, put_off=1), None),
        (seen(settled=Settled.REJECTED), None),
        (seen(), "the message is lost"),
        (seen(settled=None, times=0), "never delivered"),
    ],
)
def test_message_is_lost_that_is_acknowledged_and_nothing_came_of_it(
    contract: Contract, came: Seen, problem: str | None
) -> None:
    message = CaseMessage("{}", "", NotLost())
    sent = case_message("C-X-01", message, contract.wire, message_id=ID, now=NOW)

    problems = judge_message(sent, came)

    assert [problem in found for found in problems if problem] == [True] * bool(problem)
    assert bool(problems) is bool(problem)
