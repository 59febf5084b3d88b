"""A message as a value: body, AMQP properties and headers. This module does no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pamqp import commands

# The properties that have the same name here and in pamqp.
_SAME: Final = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "message_id",
    "app_id",
    "timestamp",
)


@dataclass(slots=True)  # not frozen, which takes three times as long to make; no message is ever changed
class Message:
    """A message with the properties that Mailpact uses; None means that the publisher did not set the property."""

    body: bytes
    content_type: str | None = None
    content_encoding: str | None = None
    type: str | None = None
    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    app_id: str | None = None
    timestamp: datetime | None = None
    headers: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def received(cls, body: bytes, properties: commands.Basic.Properties) -> "Message":
        """Return a received message with the publisher's properties and headers."""
        same = {name: getattr(properties, name) for name in _SAME}
        return cls(body, type=properties.message_type, headers=dict(properties.headers or {}), **same)

    def properties(self) -> commands.Basic.Properties:
        """Return the AMQP properties for publishing this message, always persistent (`delivery_mode` 2)."""
        same = {name: getattr(self, name) for name in _SAME}
        headers: Any = dict(self.headers) or None  # pamqp checks each value as it encodes
        return commands.Basic.Properties(message_type=self.type, headers=headers, delivery_mode=2, **same)
