"""Messages of the site, each checked against the contract that it is written under.

A message is checked before it is stored, because a promise that cannot be kept must not be made, and once more
before it is published, because the row may have been written by another release.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from mailpact.amqp.messages import Message
from mailpact.contracts.catalogue import Contract
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator, accepts_address
from mailpact_producer.mails import Mail
from mailpact_producer.plain_mails import plain_text

CONTRACT: Final = "email/1"
APP_ID: Final = "mailpact-producer"


def mail_body(mail: Mail) -> bytes:
    """Return the body of the message that becomes this mail."""
    return _encoded({"email": mail.to, "message": plain_text(mail)})


class Writer:
    """Writes messages under one contract: its binding gives their properties, its writer schema the last word."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._binding = contract.wire
        self._validator = Validator(contract.writer_schema)
        self.exchange = contract.wire.exchange
        self.routing_key = contract.wire.routing_key

    def message(self, body: bytes, *, message_id: str, made_at_seconds: int) -> Message | Refusal:
        """Return the message as it is published, or why its body may not be. `made_at_seconds` counts since 1970."""
        refusal = self._check(body)
        if refusal is not None:
            return refusal
        return Message(
            body=body,
            content_type=self._binding.content_type,
            type=self._binding.type,
            message_id=message_id,
            app_id=APP_ID,
            timestamp=datetime.fromtimestamp(made_at_seconds, UTC),
        )

    def is_mailable(self, email: str) -> bool:
        """Return whether the contract allows this address."""
        return accepts_address(self._contract, email)

    def _check(self, body: bytes) -> Refusal | None:
        limits = self._binding.limits
        value = parse(body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)
        return value if isinstance(value, Refusal) else self._validator.check(value)


def _encoded(members: Mapping[str, str]) -> bytes:
    # `surrogatepass`, so that half a surrogate pair reaches the check, which refuses it, instead of raising here.
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
