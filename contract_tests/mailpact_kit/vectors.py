"""The published vectors of a contract as messages, and the comparison of their outcomes. Pure.

The id of a message shows its outcome: a refused message has a dead letter with this id; an accepted message is
acknowledged without a dead letter. Mails have no id on which the kit can rely, so mails are matched by recipient and
content, each mail once.
"""

import base64
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from email.utils import getaddresses
from functools import cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from mailpact.contracts.pointer import pointer_to
from mailpact.contracts.validate import compiled
from mailpact_kit.cases import LetterExpected
from mailpact_kit.judge import Seen, judge_letter, shown
from mailpact_kit.ledger import Settled
from mailpact_kit.mail import Mail, is_same_text
from mailpact_kit.messages import Sent

FOLDERS = ("valid", "invalid")  # vectors in `refused` depend on the operator's settings
SHOWN_NAMES = 6
LIST_HEADERS = {"list_unsubscribe": "List-Unsubscribe", "list_unsubscribe_post": "List-Unsubscribe-Post"}


@dataclass(frozen=True, slots=True)
class Vector:
    """One vector: the message, and the expected mails or dead letter."""

    name: str
    rule: str
    body: bytes
    properties: Mapping[str, object]
    error: LetterExpected | None
    mail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def recipients(self) -> tuple[str, ...]:
        """Return the envelope's recipients; each recipient gets a separate mail."""
        return tuple(self.mail["recipients"]) if "recipients" in self.mail else (str(self.mail["to"]),)


@dataclass(frozen=True, slots=True)
class VectorProblem:
    """One problem of one vector."""

    vector: Vector
    problem: str


def read(contract_folder: Path, *, now: datetime) -> list[Vector]:
    """Return the vectors of a contract that can be sent to any program at the time `now` (aware), in order of name.

    Three kinds of vectors are left out: vectors that need an operator's settings; vectors without a type of other
    contracts than email/1 (a message without a type belongs to email/1); and valid vectors whose mail is due later or
    has expired.
    """
    paths = [path for name in FOLDERS for path in sorted((contract_folder / "vectors" / name).glob("*.json"))]
    documents = [(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in paths]
    is_first = contract_folder.parts[-2:] == ("email", "1")
    return [
        _vector(name, document)
        for name, document in documents
        if not _needs_settings(document)
        and (is_first or document.get("properties", {}).get("type"))
        and ("error" in document or _is_due(document, now))
    ]


def _needs_settings(document: Any) -> bool:
    mail = document.get("mail") or {}
    return "given" in document or "template" in mail or "from" in mail


def _is_due(document: Any, now: datetime) -> bool:
    """Return whether a valid vector's mail must be sent now: it is due, and it has not expired."""
    body = _body(document)
    value = json.loads(body) if b"not_before" in body or b"expires_at" in body else {}
    not_before, expires_at = value.get("not_before"), value.get("expires_at")
    return (not_before is None or _moment(not_before) <= now) and (
        expires_at is None or now < _moment(expires_at)
    )


def _moment(text: str) -> datetime:
    """Parse the contract's time format without the fraction, because Python 3.11 parses at most six fraction digits."""
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)


def _vector(name: str, document: Any) -> Vector:
    given = {
        "content_type": document.get("content_type", "application/json"),
        **document.get("properties", {}),
    }
    error = document.get("error")
    return Vector(
        name=name,
        rule=document["rule"],
        body=_body(document),
        properties={key: value for key, value in given.items() if value is not None},
        error=None
        if error is None
        else LetterExpected(
            error["code"], error.get("pointer"), error.get("keyword"), keeps_properties=False
        ),
        mail=document.get("mail", {}),
    )


def _body(document: Any) -> bytes:
    if "body_base64" in document:
        return base64.b64decode(document["body_base64"])
    text = document["body"] if "body" in document else _joined(document["body_pieces"])
    return str(text).encode()


def _joined(pieces: Sequence[Any]) -> str:
    return "".join(piece["text"] * piece["times"] for piece in pieces)


class Received:
    """A received mail; each part is decoded once."""

    def __init__(self, mail: Mail) -> None:
        self.parsed = message_from_bytes(mail.content, policy=default)

    @cached_property
    def subject(self) -> str:
        """Return the subject as a mail program shows it."""
        return "" if self.parsed["Subject"] is None else str(self.parsed["Subject"])

    @cached_property
    def to(self) -> str:
        """Return the header To as one text."""
        return str(self.parsed["To"])

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """Return the texts by media type, from the first part of each type that is not an attachment."""
        found: dict[str, str] = {}
        for part in self.parsed.walk():
            kind = part.get_content_type()
            if kind in ("text/plain", "text/html") and part.get_content_disposition() != "attachment":
                found.setdefault(kind, _decoded(part))
        return found

    @cached_property
    def files(self) -> Counter[str]:
        """Return the number of parts with each content, by the content's SHA-256."""
        payloads = (part.get_payload(decode=True) for part in self.parsed.walk())
        return Counter(hashlib.sha256(each).hexdigest() for each in payloads if isinstance(each, bytes))

    def people(self, header: str) -> list[tuple[str, str]]:
        """Return the names and addresses of a header, as Python's older parser reads them.

        The newer parser keeps a space between two encoded words (RFC 2047, 6.2 says that it must be removed), and
        replaces two spaces inside a quoted name by one space.
        """
        raw = next((str(text) for name, text in self.parsed.raw_items() if name.lower() == header), "")
        return [(_decoded_name(name), address) for name, address in getaddresses([raw]) if address]


def judge_refusal(vector: Vector, sent: Sent, seen: Seen, schema: Any) -> list[str]:
    """Return the problems of an invalid vector. `judge_mails` finds unexpected mails."""
    assert vector.error is not None  # noqa: S101  # the caller checks this
    if seen.settled is Settled.ACKED and not seen.letters:
        return ["the message was accepted instead of refused with " + vector.error.code]
    problems = judge_letter(sent, vector.error, seen)
    if problems and vector.error.keyword and _names_another_fault(vector, seen, schema):
        return []
    return problems


def judge_acceptance(seen: Seen) -> list[str]:
    """Return a problem if a valid vector was refused or never settled."""
    if seen.letters:
        headers = seen.letters[0].headers
        reason = headers.get("x-error-code", "no reason")
        return [f"the message was refused with {reason} instead of accepted"]
    return [] if seen.settled is Settled.ACKED else ["the message was not acknowledged"]


def judge_mails(accepted: Sequence[Vector], mails: Sequence[Mail]) -> tuple[list[VectorProblem], list[str]]:
    """Match the mails with the expected mails of the accepted vectors; return the missing and the surplus mails."""
    left: dict[str, list[Received]] = defaultdict(list)
    problems: list[str] = []
    for mail in mails:
        if len(mail.recipients) != 1:
            problems.append(
                f"one mail went to {len(mail.recipients)} recipients, but each must get its own mail"
            )
        received = Received(mail)
        for recipient in mail.recipients:
            left[recipient].append(received)
    missing: list[tuple[Vector, str]] = []
    for vector in accepted:
        for recipient in vector.recipients:
            found = next((each for each in left[recipient] if not differences(vector, each)), None)
            if found is None:
                missing.append((vector, recipient))
            else:
                left[recipient].remove(found)
    found_problems = [
        VectorProblem(vector, _missing(vector, left[recipient])) for vector, recipient in missing
    ]
    for recipient, rest in left.items():
        asked = sum(1 for _, to in missing if to == recipient)
        if len(rest) > asked:
            problems.append(f"{len(rest) - asked} more mail(s) than expected came to {shown(recipient)}")
    return found_problems, problems


def _missing(vector: Vector, left: Sequence[Received]) -> str:
    if not left:
        return "its mail did not come"
    nearest = min((differences(vector, each) for each in left), key=len)
    return "its mail did not come; the nearest differs: " + "; ".join(nearest)


def differences(vector: Vector, mail: Received) -> list[str]:
    """Return the differences between a mail and the mail that a vector expects."""
    wanted = vector.mail
    found = [] if "subject" not in wanted else _same("subject", wanted["subject"], mail.subject)
    text = _joined(wanted["text_pieces"]) if "text_pieces" in wanted else wanted.get("text")
    found += _text("text", text, mail, "text/plain") if text is not None else []
    found += _text("html", wanted["html"], mail, "text/html") if "html" in wanted else []
    if isinstance(wanted.get("to"), str):
        return found + _same("To", wanted["to"], mail.to)
    for name in ("to", "cc", "reply_to"):
        people = wanted.get(name, [])
        people = people if isinstance(people, list) else [people]
        expected = [(each.get("name", "").strip(), each["address"]) for each in people]
        found += _same(name, expected, mail.people(name.replace("_", "-")))
    for member, header in LIST_HEADERS.items():
        shown_header = mail.parsed[header]
        found += _same(header, wanted.get(member), None if shown_header is None else str(shown_header))
    found += _same("structure", wanted["structure"], _structure(mail.parsed)) if "structure" in wanted else []
    missing = (
        Counter(each["sha256"] for each in wanted.get("attachments", []) if "sha256" in each) - mail.files
    )
    return found + ([f"{missing.total()} attachments are missing or changed"] if missing else [])


def _same(name: str, wanted: object, found: object) -> list[str]:
    return [] if wanted == found else [f"{name} is {shown(found)} instead of {shown(wanted)}"]


def _text(name: str, wanted: str, mail: Received, kind: str) -> list[str]:
    if kind not in mail.texts:
        return [f"there is no {kind} part"]
    text = mail.texts[kind]
    return [] if is_same_text(text, wanted) else [f"{name} is {shown(text)} instead of {shown(wanted)}"]


def _decoded_name(name: str) -> str:
    try:
        return str(make_header(decode_header(name))) if name else ""
    except (HeaderParseError, LookupError, UnicodeDecodeError) as error:
        return f"(cannot be decoded: {error})"


def _decoded(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    try:
        return payload.decode(part.get_content_charset() or "us-ascii") if isinstance(payload, bytes) else ""
    except (LookupError, UnicodeDecodeError) as error:
        return f"(cannot be decoded: {error})"


def _structure(part: EmailMessage) -> Any:
    """Return a mail's parts in the vectors' form: a media type, or a multipart type with the list of its parts."""
    if not part.is_multipart():
        return part.get_content_type()
    inside = [_structure(each) for each in part.iter_parts() if isinstance(each, EmailMessage)]
    return {part.get_content_type(): inside}


def _names_another_fault(vector: Vector, seen: Seen, schema: Any) -> bool:
    """Return whether the letter names another keyword that the body breaks.

    Validators check keywords in different orders.
    """
    if len(seen.letters) != 1 or seen.mails or seen.letters[0].body != vector.body:
        return False
    headers = seen.letters[0].headers
    named = (headers.get("x-error-pointer"), headers.get("x-error-keyword"))
    if headers.get("x-error-code") != "schema":
        return False
    value = json.loads(vector.body)
    broken = {
        (pointer_to(fault.absolute_path), fault.validator)
        for fault in Draft202012Validator(schema).iter_errors(value)
    }
    # Python's `$` also matches before a final line feed; patterns of other languages do not match there.
    for fault in compiled(schema).iter_errors(value):
        broken.add((pointer_to(fault.instance_path), str(fault.schema_path[-1])))
    return named in broken


def by_rule(vectors: Sequence[Vector], problems: Sequence[VectorProblem]) -> list[str]:
    """Return one line for each rule with wrong vectors, the rule with the most wrong vectors first."""
    totals = Counter(vector.rule for vector in vectors)
    wrong: dict[str, dict[str, str]] = defaultdict(dict)
    for each in problems:
        wrong[each.vector.rule].setdefault(each.vector.name, each.problem)
    lines = []
    for rule, found in sorted(wrong.items(), key=lambda item: (-len(item[1]), item[0])):
        names = [*list(found)[:SHOWN_NAMES], *(["…"] if len(found) > SHOWN_NAMES else [])]
        lines.append(f"rule {rule}: {len(found)} of {totals[rule]} vectors are wrong: {', '.join(names)}")
    return lines
