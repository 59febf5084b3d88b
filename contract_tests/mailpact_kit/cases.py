"""The cases: data in `contract_tests/cases/`, one file each, checked against `case.schema.json` as they are read."""

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
    """What kind of program a case is for."""

    CONSUMER = "consumer"
    PRODUCER = "producer"


class Level(StrEnum):
    """How much a case binds (RFC 2119)."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class Requirement(StrEnum):
    """What the caller must give for a case to run."""

    TRIGGER = "trigger"
    DUPLICATE = "duplicate"
    PROGRAM = "program"
    EMAIL_2 = "email/2"


class Observation(StrEnum):
    """What must be seen of a producer's publishes."""

    ONE_PUBLISH = "one_publish"
    VALID_BODY = "valid_body"
    FIELDS_EQUAL_INPUT = "fields_equal_input"
    CONFIRM_MODE_FIRST = "confirm_mode_first"
    PROPERTIES = "properties"
    NO_ENCODING = "no_encoding"
    MANDATORY = "mandatory"


class Habit(StrEnum):
    """What must be seen of a consumer in everything that it says to the broker."""

    ACKNOWLEDGES = "acknowledges"
    ACK_AFTER_250 = "ack_after_250"
    LETTER_BEFORE_ACK = "letter_before_ack"
    PREFETCH_FIRST = "prefetch_first"
    SETTLES_ONCE = "settles_once"
    MAIL_FIELDS = "mail_fields"


class Fault(StrEnum):
    """What the kit does to everything around a program; such cases run one after the other."""

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
    """The sentence that a case holds a program to, and the page that says so."""

    says: str
    where: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the mail server, to RCPT or to the final dot after some seconds; None cuts the connection."""

    at_dot: bool
    says: str | None
    after_seconds: float = 0


@dataclass(frozen=True, slots=True)
class MailExpected:
    """Exactly one mail, to exactly the recipient, with this text."""

    text: str


@dataclass(frozen=True, slots=True)
class LetterExpected:
    """No mail, and one dead letter; None is what the contract leaves open."""

    code: str
    pointer: str | None
    keyword: str | None
    keeps_properties: bool


@dataclass(frozen=True, slots=True)
class NotLost:
    """A mail, a dead letter, or a copy put off with a confirm: the message is not acknowledged away."""


Expected = MailExpected | LetterExpected | NotLost


@dataclass(frozen=True, slots=True)
class CaseMessage:
    """A message to publish to a consumer; body and text may name `${RECIPIENT}` and `${NONCE}`.

    `content_type` is None for a message without one, and "" for the one that the binding names for writers. `answers`
    are what the mail server says to its recipient, one for each try.
    """

    body: str
    content_type: str | None
    expected: Expected
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class ConsumerCase:
    """What a consumer is sent, what must come of it, and what must be seen of everything it did so far.

    `is_patient`: what must come may take a consumer's delay before the next try, four times the other cases' time.
    """

    messages: tuple[CaseMessage, ...]
    habits: tuple[Habit, ...] = ()
    is_patient: bool = False


@dataclass(frozen=True, slots=True)
class VectorCase:
    """All published vectors of the contract, in one go."""


@dataclass(frozen=True, slots=True)
class FaultCase:
    """Something that is done to the program or to what stands around it; `message` is what a producer is asked for."""

    fault: Fault
    message: str = ""


@dataclass(frozen=True, slots=True)
class ProducerCase:
    """What a producer is asked to mail, and what must be seen of its publishes.

    `properties` names those whose rules in binding.json are looked at.
    """

    message: str
    observe: tuple[Observation, ...]
    properties: tuple[str, ...] = ()


Deed = ConsumerCase | VectorCase | FaultCase | ProducerCase


@dataclass(frozen=True, slots=True)
class Case:
    """One case; `does` says what is done, by the role."""

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
    """Read the case files of a folder; raises UsageProblem if one is not of the documented form."""
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
