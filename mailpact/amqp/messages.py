"""A message, where it is published, and the outcome of its publish, as values. This module does no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pamqp import commands


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


@dataclass(frozen=True, slots=True)
class Routed:
    """A message and where it is published. A `mandatory` message that reaches no queue is UNROUTABLE."""

    message: Message
    exchange: str
    routing_key: str = ""
    mandatory: bool = True


class Outcome(StrEnum):
    """The outcome of one publish. Only CONFIRMED means that the broker has the message.

    UNKNOWN does not mean that the broker does not have the message: under a memory alarm, two publishes timed out and
    both messages were in the queue afterwards (measured). A caller that gets UNKNOWN publishes again with the same id.
    """

    CONFIRMED = "confirmed"  # the broker has taken responsibility
    UNROUTABLE = "unroutable"  # returned: no queue is bound for it
    NACKED = "nacked"  # the broker says that it could not take it
    NOT_SENT = "not_sent"  # no connection, the broker blocks, or the id is in flight; certainly not published
    UNKNOWN = "unknown"  # sent, but no answer: it may be in the queue
