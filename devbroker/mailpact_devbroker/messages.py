"""A message: what was published, and its life in one queue.

`Publication` is what travels through exchanges and never changes. Each queue that takes it makes a `Message` of its
own from it; the body is shared. Message ids rise in order of arrival.
"""

from dataclasses import dataclass

from mailpact_devbroker import properties
from mailpact_devbroker.errors import AmqpError, unsupported

MAX_BODY_BYTES = 16 * 1024 * 1024  # RabbitMQ 4's max_message_size
_OVERHEAD_BYTES = 500  # beside its bytes: 270 while it waits (tracemalloc), and its entry in a ledger


@dataclass(frozen=True, slots=True)
class Death:
    """One entry of `x-death`: where a message died, how often, and where it had been published.

    `time` is in seconds since 1970.

    `quorum`: it was a quorum queue.
    """

    queue: str
    reason: str
    exchange: str
    routing_key: str
    time: float
    count: int = 1
    original_expiration: str | None = None
    quorum: bool = False


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publisher, or a dead-lettering queue, hands to an exchange. `deaths` has the latest first."""

    exchange: str
    routing_key: str
    header: bytes
    body: bytes
    ttl_ms: int | None = None
    persistent: bool = False
    deaths: tuple[Death, ...] = ()


@dataclass(slots=True)
class Message:
    """A publication in a queue. `kept`: it has a row in the journal.

    `due_at` (seconds since 1970) is when it expires, or, with a reason in `held_for`, when the dead letter that no
    target could take is tried again. `returned` is the number of its last return, in queues that number them.
    """

    id: int
    publication: Publication
    due_at: float | None = None
    held_for: str | None = None
    deliveries: int = 0
    redelivered: bool = False
    kept: bool = False
    returned: int = 0

    @property
    def place(self) -> tuple[bool, int]:
        """Where this message stands among those that are ready: what was returned in a numbered order is first."""
        return (not self.returned, self.returned or self.id)

    @property
    def held_bytes(self) -> int:
        """Return what this message counts towards the broker's bound on memory."""
        return len(self.publication.header) + len(self.publication.body) + _OVERHEAD_BYTES


def publication(exchange: str, routing_key: str, header: bytes, body: bytes, *, user: str) -> Publication:
    """Read what a client published.

    Raises:
        AmqpError: 502 for a malformed header, 406 for an expiration or user id that cannot be, 540 for what
            RabbitMQ would act upon and this broker does not.
    """
    found = properties.split(header)
    _refuse_unsupported(found)
    claimed = properties.text(found, "user_id")
    if claimed is not None and claimed != user:
        raise AmqpError(406, f"user_id property set to '{claimed}' but authenticated user was '{user}'")
    ttl_ms = _ttl_ms(properties.text(found, "expiration"))
    persistent = found.get("delivery_mode") == properties.PERSISTENT
    return Publication(exchange, routing_key, header, body, ttl_ms, persistent)


def _refuse_unsupported(found: properties.Properties) -> None:
    if "headers" in found and {b"CC", b"BCC"} & properties.header_names(found):
        raise unsupported("header CC or BCC")
    if (properties.text(found, "reply_to") or "").startswith("amq.rabbitmq.reply-to"):
        raise AmqpError(406, "fast reply consumer does not exist")


def _ttl_ms(expiration: str | None) -> int | None:
    if expiration is None:
        return None
    if not (expiration.isascii() and expiration.isdigit()):
        raise AmqpError(406, f"invalid expiration '{expiration[:40]}': no_integer")
    return int(expiration)
