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


class Observation(StrEnum):
    """What must be seen of a producer's publishes."""

    ONE_PUBLISH = "one_publish"
    VALID_BODY = "valid_body"
    FIELDS_EQUAL_INPUT = "fields_equal_input"
    CONFIRM_MODE_FIRST = "confirm_mode_first"


@dataclass(frozen=True, slots=True)
class Spec:
    """The sentence that a case holds a program to, and the page that says so."""

    says: str
    where: str


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


Expected = MailExpected | LetterExpected


@dataclass(frozen=True, slots=True)
class CaseMessage:
    """A message to publish to a consumer; body and text may name `${RECIPIENT}` and `${NONCE}`.

    `content_type` is None for a message without one, and "" for the one that the binding names for writers.
    """

    body: str
    content_type: str | None
    expected: Expected


@dataclass(frozen=True, slots=True)
class ConsumerCase:
    """What a consumer is sent, and what must come of it."""

    messages: tuple[CaseMessage, ...]


@dataclass(frozen=True, slots=True)
class ProducerCase:
    """What a producer is asked to mail, and what must be seen of its publishes."""

    message: str
    observe: tuple[Observation, ...]


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
    does: ConsumerCase | ProducerCase


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
        does=_consumer(document) if role is Role.CONSUMER else _producer(document),
    )


def _consumer(document: Any) -> ConsumerCase:
    return ConsumerCase(
        tuple(
            CaseMessage(row["body"], row.get("content_type", ""), _expected(row["expect"]))
            for row in document["messages"]
        )
    )


def _producer(document: Any) -> ProducerCase:
    return ProducerCase(
        document["stimulus"]["message"], tuple(Observation(name) for name in document["observe"])
    )


def _expected(document: Any) -> Expected:
    if "mail" in document:
        return MailExpected(document["mail"]["text"])
    letter = document["letter"]
    return LetterExpected(
        letter["code"], letter.get("pointer"), letter.get("keyword"), letter.get("keeps_properties", False)
    )
