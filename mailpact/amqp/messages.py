"""A message as a value: body, AMQP properties and headers. This module does no I/O."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pamqp import commands, encode

NOT_REPUBLISHED = frozenset({"CC", "BCC", "x-delivery-count", "x-acquired-count", "x-death"})
NOT_REPUBLISHED_PREFIXES = ("x-first-death-", "x-last-death-")
HEADER_NAME_BYTES = 128  # pamqp cuts a longer name, and two of them could become one


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

    def republished(self, *, message_id: str, headers: Mapping[str, object]) -> "Message":
        """Return the same message to be published again by us, with `headers` added to its own.

        `message_id` is the property to publish it with.

        Properties and headers on which the broker would act again are removed: priority, expiration, user id, CC, BCC
        and the `x-death` headers (RabbitMQ 3.10 never returns a message whose copied `x-death` looks like a cycle).
        A header that can be decoded but not encoded is removed too; otherwise the message could not be published.
        """
        added = {**self.headers, **headers}
        kept = {name: _binary(value) for name, value in added.items() if not _is_left_behind(name)}
        kept = {name: value for name, value in kept.items() if _is_encodable(name, value)}
        return replace(self, message_id=message_id, headers=kept)


def _is_left_behind(name: str) -> bool:
    return name in NOT_REPUBLISHED or name.startswith(NOT_REPUBLISHED_PREFIXES)


def _binary(value: object) -> object:
    # pamqp gives text that is not UTF-8 as bytes, and encodes only bytearray.
    return bytearray(value) if isinstance(value, bytes) else value


def _is_encodable(name: str, value: object) -> bool:
    return len(name.encode()) <= HEADER_NAME_BYTES and encoded_bytes(name, value) is not None


def encoded_bytes(name: str, value: object) -> int | None:
    """Return the size of a header as AMQP encodes it, or None if pamqp cannot encode it.

    pamqp reads values that it cannot write, for instance a double beyond a float or text that is not UTF-8.
    """
    try:
        return len(encode.short_string(name)) + len(encode.encode_table_value(value))  # type: ignore[arg-type]  # that is the question
    except (TypeError, ValueError, OverflowError, RecursionError, struct.error):
        return None
