"""The cases: one data file for each in `contract_tests/cases/`. Each file is checked against `case.schema.json`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator
from mailpact_kit.errors import UsageProblem

MAX_FILE_BYTES = 256 * 1024
MAX_FILE_DEPTH = 16


class Role(StrEnum):
    """The kind of program that a case tests."""

    CONSUMER = "consumer"
    PRODUCER = "producer"


class Level(StrEnum):
    """How strictly a case is required (RFC 2119)."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class Requirement(StrEnum):
    """What the caller must provide to run a case."""

    TRIGGER = "trigger"
    DUPLICATE = "duplicate"
    PROGRAM = "program"
    EMAIL_2 = "email/2"


class Observation(StrEnum):
    """A property of a producer's published messages that the kit checks."""

    ONE_PUBLISH = "one_publish"
    VALID_BODY = "valid_body"
    FIELDS_EQUAL_INPUT = "fields_equal_input"
    CONFIRM_MODE_FIRST = "confirm_mode_first"
    PROPERTIES = "properties"
    NO_ENCODING = "no_encoding"
    MANDATORY = "mandatory"


class Habit(StrEnum):
    """A rule that the kit checks on all frames that a consumer sends to the broker."""

    ACKNOWLEDGES = "acknowledges"
    ACK_AFTER_250 = "ack_after_250"
    LETTER_BEFORE_ACK = "letter_before_ack"
    PREFETCH_FIRST = "prefetch_first"
    SETTLES_ONCE = "settles_once"
    MAIL_FIELDS = "mail_fields"


class Fault(StrEnum):
    """A fault that the kit causes around a program. Cases with a fault run one after the other."""

    KILL = "kill"
    LATE_DUPLICATE = "late_duplicate"
    CUT_BEFORE_ACK = "cut_before_ack"
    CUT_IN_MAIL = "cut_in_mail"
    BROKER_AWAY = "broker_away"
    SMTP_AWAY = "smtp_away"
    SIGTERM = "sigterm"
    CLEAN_EXIT = "clean_exit"
    CANCELLED = "cancelled"
    CUT_BEFORE_CONFIRM = "cut_before_confirm"
    SAME_AGAIN = "same_again"
    NACKED = "nacked"
    RETURNED = "returned"
    AWAY_AT_PUBLISH = "away_at_publish"
    KILL_AT_PUBLISH = "kill_at_publish"


@dataclass(frozen=True, slots=True)
class Spec:
    """The requirement that a case checks, and the page that contains the requirement."""

    says: str
    where: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the mail server, to RCPT or to the final dot after some seconds; None closes the connection."""

    at_dot: bool
    says: str | None
    after_seconds: float = 0


@dataclass(frozen=True, slots=True)
class MailExpected:
    """Exactly one mail, only to the recipient, with this text."""

    text: str


@dataclass(frozen=True, slots=True)
class LetterExpected:
    """No mail, and one dead letter. None stands for values that the contract does not define."""

    code: str
    pointer: str | None
    keyword: str | None
    keeps_properties: bool


@dataclass(frozen=True, slots=True)
class NotLost:
    """A mail, a dead letter, or a confirmed copy for a later try. The message must not be lost by an ack."""


Expected = MailExpected | LetterExpected | NotLost


@dataclass(frozen=True, slots=True)
class CaseMessage:
    """A message to publish to a consumer; body and text may name `${RECIPIENT}` and `${NONCE}`.

    `content_type` is None for a message without a content type, and "" for the binding's content type for writers.
    `answers` are the mail server's answers for the recipient, one for each try.
    """

    body: str
    content_type: str | None
    expected: Expected
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class ConsumerCase:
    """The message for a consumer, its expected outcome, and rules for everything that the consumer did so far.

    If `is_patient`, the kit waits four times as long, because the consumer may wait before its next try.
    """

    messages: tuple[CaseMessage, ...]
    habits: tuple[Habit, ...] = ()
    is_patient: bool = False


@dataclass(frozen=True, slots=True)
class VectorCase:
    """All published vectors of the contract, sent at the same time."""


@dataclass(frozen=True, slots=True)
class FaultCase:
    """A fault for the program or its environment. `message` is the text that a producer is asked to mail."""

    fault: Fault
    message: str = ""


@dataclass(frozen=True, slots=True)
class ProducerCase:
    """What a producer is asked to mail, and the checks of its published messages.

    `properties` names the AMQP properties that are checked against binding.json.
    """

    message: str
    observe: tuple[Observation, ...]
    properties: tuple[str, ...] = ()


Deed = ConsumerCase | VectorCase | FaultCase | ProducerCase


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `does` is the action, whose type depends on the role."""

    id: str
    title: str
    role: Role
    level: Level
    since: str
    contract: str
    requires: tuple[Requirement, ...]
    spec: Spec
    does: Deed


def load(role: Role, *, wanted: str = "*") -> list[Case]:
    """Return the installed cases for a role whose id matches the pattern, by id; raises UsageProblem."""
    here = Path(__file__)
    installed = here.with_name("published")
    return read(installed if installed.is_dir() else here.parents[1] / "cases", role, wanted=wanted)


def read(folder: Path, role: Role, *, wanted: str) -> list[Case]:
    """Read the case files of a folder; raises UsageProblem if a file does not have the documented form."""
    validator = Validator(json.loads(Path(__file__).with_name("case.schema.json").read_text()))
    cases = [_read(path, validator) for path in sorted(folder.glob("*.json"))]
    _refuse_twins(cases)
    return [case for case in cases if case.role is role and fnmatchcase(case.id, wanted)]


def _read(path: Path, validator: Validator) -> Case:
    try:
        document = parse(path.read_bytes(), max_bytes=MAX_FILE_BYTES, max_depth=MAX_FILE_DEPTH)
    except OSError as error:
        raise UsageProblem(f"the case {path} cannot be read: {error.strerror}") from error
    refusal = document if isinstance(document, Refusal) else validator.check(document)
    if refusal is not None:
        raise UsageProblem(
            f"the case {path} is not of the form of case.schema.json: {refusal.pointer} {refusal.detail}"
        )
    return _case(document)


def _refuse_twins(cases: Sequence[Case]) -> None:
    ids = [case.id for case in cases]
    twins = sorted({name for name in ids if ids.count(name) > 1})
    if twins:
        raise UsageProblem(f"more than one case has the id {', '.join(twins)}; ids are never used again")


def _case(document: Any) -> Case:
    role = Role(document["role"])
    return Case(
        id=document["id"],
        title=document["title"],
        role=role,
        level=Level(document["level"]),
        since=document["since"],
        contract=document["contract"],
        requires=tuple(Requirement(name) for name in document.get("requires", ())),
        spec=Spec(**document["spec"]),
        does=_deed(document),
    )


def _deed(document: Any) -> Deed:
    stimulus = document.get("stimulus", {}).get("message", "")
    if "fault" in document:
        return FaultCase(Fault(document["fault"]), stimulus)
    if "vectors" in document:
        return VectorCase()
    if "messages" in document:
        return _consumer(document)
    observe = tuple(Observation(name) for name in document["observe"])
    return ProducerCase(stimulus, observe, tuple(document.get("properties", ())))


def _consumer(document: Any) -> ConsumerCase:
    messages = tuple(
        CaseMessage(
            row["body"],
            row.get("content_type", ""),
            _expected(row["expect"]),
            tuple(
                Answer(answer["to"] == "dot", answer["says"], answer.get("after_seconds", 0))
                for answer in row.get("answers", ())
            ),
        )
        for row in document["messages"]
    )
    habits = tuple(Habit(name) for name in document.get("habits", ()))
    return ConsumerCase(messages, habits, document.get("patient", False))


def _expected(document: Any) -> Expected:
    if "not_lost" in document:
        return NotLost()
    if "mail" in document:
        return MailExpected(document["mail"]["text"])
    letter = document["letter"]
    return LetterExpected(
        letter["code"], letter.get("pointer"), letter.get("keyword"), letter.get("keeps_properties", False)
    )
