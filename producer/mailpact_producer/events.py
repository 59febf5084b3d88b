"""Makes the message that a registration sends."""

import json
from dataclasses import dataclass

from mailpact.contracts.catalogue import Contract
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator

TITLE = "You've successfully registered!"
TEXT = "Welcome to our CMS, {{Email}}! We're glad you could join us."


@dataclass(frozen=True, slots=True)
class Event:
    """A message to be published: its id is a UUID, its body the JSON text."""

    message_id: str
    exchange: str
    routing_key: str
    type: str
    content_type: str
    body: bytes


def registered(email: str, *, message_id: str, contract: Contract) -> Event:
    """Give the welcome message to a reader's address (contract email/1)."""
    text = f"{TITLE}\n\n{TEXT.replace('{{Email}}', email)}"
    body = json.dumps({"email": email, "message": text}, ensure_ascii=False, separators=(",", ":")).encode()
    binding = contract.binding
    return Event(
        message_id=message_id,
        exchange=binding.exchange,
        routing_key=binding.routing_key,
        type=binding.type,
        content_type=binding.content_type,
        body=body,
    )


def refusal_of(body: bytes, contract: Contract, writer: Validator) -> Refusal | None:
    """Say why readers would refuse a body, None if they would not: parsed and checked as they do."""
    limits = contract.binding.limits
    value = parse(body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)
    return value if isinstance(value, Refusal) else writer.check(value)
