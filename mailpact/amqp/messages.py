"""A message as a value: body, AMQP properties and headers. This module does no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pamqp import commands


@dataclass(frozen=True, slots=True)
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
        return cls(
            body=body,
            content_type=properties.content_type,
            content_encoding=properties.content_encoding,
            type=properties.message_type,
            message_id=properties.message_id,
            correlation_id=properties.correlation_id,
            reply_to=properties.reply_to,
            app_id=properties.app_id,
            timestamp=properties.timestamp,
            headers=dict(properties.headers or {}),
        )

    def properties(self) -> commands.Basic.Properties:
        """Return the AMQP properties for publishing this message, always persistent (`delivery_mode` 2)."""
        return commands.Basic.Properties(
            content_type=self.content_type,
            content_encoding=self.content_encoding,
            headers=dict(self.headers) or None,  # type: ignore[arg-type]  # pamqp checks each value as it encodes
            delivery_mode=2,
            correlation_id=self.correlation_id,
            reply_to=self.reply_to,
            message_id=self.message_id,
            timestamp=self.timestamp,
            message_type=self.type,
            app_id=self.app_id,
        )
