"""The kit's messages and the dead letters, as values.

Each message has its own id. The first 12 hex digits of the id are the nonce. The nonce distinguishes the mails and
publishes of one case from those of other cases, so that all cases can run at the same time against one program.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mailpact.contracts.catalogue import Binding
from mailpact_kit.cases import Answer, CaseMessage, Expected, MailExpected

DOMAIN = "kit.example"
APP_ID = "contract-tests"
NONCE_HEADER = "x-kit-nonce"


@dataclass(frozen=True, slots=True)
class Sent:
    """A message to publish. `properties` are the AMQP properties by the specification's names."""

    message_id: str
    recipient: str
    body: bytes
    properties: Mapping[str, object]
    expected: Expected
    answers: tuple[Answer, ...] = ()

    @property
    def nonce(self) -> str:
        """Return the nonce, which is unique and occurs in the recipient's address and in the body."""
        return nonce_of(self.message_id)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter in the queue."""

    properties: Mapping[str, object]
    body: bytes

    @property
    def headers(self) -> Mapping[str, object]:
        """Return its AMQP headers."""
        headers = self.properties.get("headers")
        return headers if isinstance(headers, dict) else {}

    def is_about(self, sent: Sent) -> bool:
        """Return whether this is the message's dead letter: by its id, or, if the id is missing, by its body."""
        return self.properties.get("message_id") == sent.message_id or sent.nonce.encode() in self.body


def nonce_of(message_id: str) -> str:
    """Return the nonce of a message id."""
    return message_id.replace("-", "")[:12]


def address_for(label: str, nonce: str) -> str:
    """Return an address that only this message uses."""
    return f"{label.lower()}.{nonce}@{DOMAIN}"


def case_message(
    label: str, message: CaseMessage, binding: Binding, *, message_id: str, now: datetime
) -> Sent:
    """Return a case's message ready to be published."""
    nonce = nonce_of(message_id)
    recipient = address_for(label, nonce)
    content_type = binding.content_type if message.content_type == "" else message.content_type
    return Sent(
        message_id=message_id,
        recipient=recipient,
        body=_filled(message.body, recipient, nonce).encode(),
        properties=_properties(content_type, message_id=message_id, now=now),
        expected=_filled_expected(message.expected, recipient, nonce),
        answers=message.answers,
    )


def fence(label: str, binding: Binding, *, message_id: str, now: datetime) -> Sent:
    """Return a valid message. When its mail has arrived, the program has finished the messages before it."""
    return plain_message(f"fence.{label}", binding, message_id=message_id, now=now)


def plain_message(
    label: str, binding: Binding, *, message_id: str, now: datetime, answers: tuple[Answer, ...] = ()
) -> Sent:
    """Return a valid message to its own address, with scripted answers of the mail server."""
    message = CaseMessage('{"email": "${RECIPIENT}", "message": "fence"}', "", MailExpected("fence"), answers)
    return case_message(label, message, binding, message_id=message_id, now=now)


def _properties(content_type: str | None, *, message_id: str, now: datetime) -> dict[str, object]:
    properties: dict[str, object] = {
        "message_id": message_id,
        "delivery_mode": 2,
        "timestamp": now.replace(microsecond=0),
        "app_id": APP_ID,
        "headers": {NONCE_HEADER: nonce_of(message_id)},
    }
    return properties if content_type is None else {"content_type": content_type, **properties}


def _filled(text: str, recipient: str, nonce: str) -> str:
    return text.replace("${RECIPIENT}", recipient).replace("${NONCE}", nonce)


def _filled_expected(expected: Expected, recipient: str, nonce: str) -> Expected:
    match expected:
        case MailExpected():
            return MailExpected(_filled(expected.text, recipient, nonce))
        case _:
            return expected
