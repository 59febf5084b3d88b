"""Writes status events, `email-status/1`: the outcome of one mail. No I/O: values in, the event's body out.

An event is written with its outcome and stays in the inbox until the broker has confirmed the event. Its id is derived
from its content, so that readers can recognise a copy that was published after a crash.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from json.encoder import encode_basestring_ascii
from uuid import UUID

from mailpact.amqp.messages import Message
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact_consumer.letter import one_line
from mailpact_consumer.message import Identity
from mailpact_consumer.values import value

TYPE = "email-status.v1"
APP_ID = "mailpact-consumer"
EVENT_NAMESPACE = UUID("b7a1f0de-3c52-5d1b-9a44-0c6d8b1e7f23")

_JSON = json.JSONEncoder(separators=(",", ":"))  # `json.dumps` would make an encoder for each event
_text = encode_basestring_ascii  # writes a text as JSON; the full encoder pays off only for nested values
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?=\s|$)")
_PUBLISHER_ID_CHARACTERS = 255
LEAST_CODE, GREATEST_CODE = 200, 599  # limits of the contract


class Event(StrEnum):
    """The kind of event, which is also its routing key."""

    SENT = "sent"
    DEFERRED = "deferred"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    EXPIRED = "expired"


@value
class SmtpReply:
    """The mail server's reply."""

    code: int
    text: str

    @property
    def words(self) -> str:
        """Return the text as one line of at most 500 visible characters."""
        return one_line(self.text)


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why there is no mail."""

    code: ErrorCode
    detail: str = ""


@value
class About:
    """The message of the events; `contract` is None if the message names no contract that is served."""

    identity: Identity
    contract: str | None
    metadata: Mapping[str, str]


@value
class StatusEvent:
    """One event: its body is one JSON object without line ends; `occurred_at` is aware."""

    id: str
    event: str
    key: str
    occurred_at: datetime
    body: str

    @classmethod
    def read(cls, body: str) -> "StatusEvent":
        """Return the event that a body contains. Raises ValueError or KeyError for a body that is not one of ours."""
        members = json.loads(body)
        occurred_at = datetime.fromisoformat(members["occurred_at"])
        return cls(members["id"], members["event"], members["message_id"], occurred_at, body)

    @property
    def line(self) -> str:
        """Return the body as the inbox stores it, with a line end."""
        return f"{self.body}\n"

    def message(self) -> Message:
        """Return the message that carries the event."""
        return Message(
            self.body.encode(),
            content_type="application/json",
            type=TYPE,
            message_id=self.id,
            correlation_id=self.key,
            app_id=APP_ID,
            timestamp=self.occurred_at.replace(microsecond=0),
        )


def status_event(
    about: About,
    event: Event,
    *,
    recipient: str | None,
    attempt: int,
    occurred_at: datetime,
    reply: SmtpReply | None = None,
    failure: Failure | Refusal | None = None,
    template_changed: bool = False,
) -> StatusEvent:
    """Return a status event. `occurred_at` is aware; `template_changed` belongs to an uncertain send."""
    key = about.identity.key
    event_id = _event_id(f"{key}\0{recipient or ''}\0{event}\0{attempt}")
    members = [
        f'"id":"{event_id}","event":"{event}","occurred_at":"{_moment(occurred_at)}"',
        f'"message_id":{_text(key)},"attempt":{attempt}',
    ]
    if about.identity.publisher_id is not None:
        members.append(
            f'"publisher_message_id":{_text(about.identity.publisher_id[:_PUBLISHER_ID_CHARACTERS])}'
        )
    if recipient is not None:
        members.append(f'"recipient":{_text(recipient)}')
    if template_changed:
        members.append('"template_changed":true')
    if about.contract is not None:
        members.append(f'"contract":{_text(about.contract)}')
    if reply is not None and LEAST_CODE <= reply.code <= GREATEST_CODE:
        members.append(f'"smtp":{_smtp(reply)}')
    if failure is not None:
        members.append(f'"error":{_JSON.encode(_error(failure))}')
    if about.metadata:
        members.append(f'"metadata":{_JSON.encode(dict(about.metadata))}')
    return StatusEvent(event_id, event, key, occurred_at, f"{{{','.join(members)}}}")


def _event_id(name: str) -> str:
    """Return the UUID v5 of a name in our namespace (RFC 9562 5.5); the library's classes take three times as long."""
    digits = hashlib.sha1(EVENT_NAMESPACE.bytes + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _smtp(reply: SmtpReply) -> str:
    enhanced = _ENHANCED.match(reply.text)
    member = f',"enhanced":"{enhanced[1]}"' if enhanced is not None else ""
    words = reply.words
    said = f',"reply":{_text(words)}' if words else ""
    return f'{{"code":{reply.code}{member}{said}}}'


def _error(failure: Failure | Refusal) -> dict[str, object]:
    error: dict[str, object] = {"code": failure.code}
    if isinstance(failure, Refusal) and failure.keyword:
        error |= {"pointer": failure.pointer[:500], "keyword": failure.keyword[:64]}
    if failure.detail:
        error["detail"] = one_line(failure.detail)
    return error
