"""Vectors are compared with their mails and dead letters, and each mail is used for one vector only."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailpact.contracts import catalogue
from mailpact_kit import vectors
from mailpact_kit.judge import Seen
from mailpact_kit.ledger import Settled
from mailpact_kit.mail import Mail
from mailpact_kit.messages import Letter, Sent
from mailpact_kit.vectors import Vector, judge_acceptance, judge_mails, judge_refusal

ROOT = catalogue.load().root
NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)  # between the moments that the vectors of email/2 name


def vector(to: str = "a@x.example", *, subject: str = "Hi", text: str = "Hi") -> Vector:
    """Return a valid vector."""
    return Vector("one", "text", b"{}", {}, None, {"to": to, "subject": subject, "text": text})


def mail(*to: str, subject: str = "Hi", text: str = "Hi") -> Mail:
    """Return a captured mail."""
    head = f"To: {to[0]}\r\nSubject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    return Mail(0.0, "s@x.example", to, head.encode() + text.encode())


def test_all_vectors_of_both_mail_contracts_are_read() -> None:
    one, two = (vectors.read(ROOT / name, now=NOW) for name in ("email/1", "email/2"))

    assert len(one) == len(list(Path(ROOT / "email" / "1" / "vectors").rglob("*.json")))
    assert len(two) > 150
    assert all(each.error is not None or each.recipients for each in [*one, *two])


def test_a_vector_of_a_mail_that_is_not_due_or_has_no_type_is_left_out() -> None:
    names = [
        {each.name for each in vectors.read(ROOT / "email/2", now=NOW + timedelta(hours=hours))}
        for hours in (-2, 0, 2)
    ]

    assert ["times-fraction" in each for each in names] == [False, True, False]
    assert all("type-none" not in each for each in names)


def test_a_name_is_read_as_it_was_written() -> None:
    head = 'To: "Ann  Reader" <a@x.example>,\r\n =?utf-8?b?0LY=?= =?utf-8?b?0LY=?= <b@x.example>\r\n\r\n'

    people = vectors.Received(Mail(0.0, "s@x.example", (), head.encode())).people("to")

    assert people == [("Ann  Reader", "a@x.example"), ("жж", "b@x.example")]


@pytest.mark.parametrize(
    ("came", "missing", "others"),
    [
        ([mail("a@x.example")], [], []),
        ([], ["its mail did not come"], []),
        ([mail("a@x.example", text="other")], ["text is 'other' instead of 'Hi'"], []),
        ([mail("a@x.example", subject="other")], ["subject is 'other'"], []),
        ([mail("a@x.example"), mail("a@x.example")], [], ["1 more mail(s) than expected"]),
        (
            [mail("a@x.example", "b@x.example")],
            [],
            ["one mail went to 2 recipients", "expected came to 'b@x"],
        ),
    ],
)
def test_mails_are_matched_by_recipient_and_content(
    came: list[Mail], missing: list[str], others: list[str]
) -> None:
    found, rest = judge_mails([vector()], came)

    assert [text in each.problem for text, each in zip(missing, found, strict=True)] == [True] * len(missing)
    assert [text in each for text, each in zip(others, rest, strict=True)] == [True] * len(others)


def test_two_vectors_alike_need_two_mails() -> None:
    found, _ = judge_mails([vector(), vector()], [mail("a@x.example")])

    assert len(found) == 1


def refused(code: str, pointer: str = "", keyword: str = "") -> Seen:
    """Return a dead letter with this reason."""
    headers = {"x-error-code": code, "x-error-pointer": pointer, "x-error-keyword": keyword}
    return Seen([], [Letter({"headers": headers}, BODY)], 1, Settled.ACKED)


BODY = b'{"email": 5}'
SCHEMA = catalogue.load().contract("email/1").schema


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        (refused("schema", "/email", "type"), None),
        (refused("schema", "", "required"), None),  # the body breaks this keyword as well
        (refused("schema", "", "minLength"), "x-error-pointer"),
        (refused("invalid_json"), "x-error-code"),
        (Seen([], [], 1, Settled.ACKED), "accepted instead of refused with schema"),
        (Seen([], [], 1, None), "no dead letters"),
    ],
)
def test_a_refusal_names_one_of_the_faults(seen: Seen, problem: str | None) -> None:
    error = vectors.LetterExpected("schema", "/email", "type", keeps_properties=False)
    wrong = Vector("one", "members", BODY, {}, error)
    sent = Sent("id", "", BODY, {}, error)

    problems = judge_refusal(wrong, sent, seen, SCHEMA)

    assert [problem in "; ".join(problems)] == [True] if problem else problems == []


def test_a_refused_valid_vector_is_wrong() -> None:
    assert judge_acceptance(Seen([], [], 1, Settled.ACKED)) == []
    assert "refused with schema" in judge_acceptance(refused("schema"))[0]
    assert "not acknowledged" in judge_acceptance(Seen([], [], 1, None))[0]


def test_the_rule_with_the_most_wrong_vectors_comes_first() -> None:
    known = [
        Vector(name, rule, b"", {}, None) for name, rule in (("a", "json"), ("b", "text"), ("c", "text"))
    ]
    wrong = [vectors.VectorProblem(each, "x") for each in known]

    assert vectors.by_rule(known, wrong) == [
        "rule text: 2 of 2 vectors are wrong: b, c",
        "rule json: 1 of 1 vectors are wrong: a",
    ]
