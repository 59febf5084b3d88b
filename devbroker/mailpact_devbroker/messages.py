"""A message: the publication, and the message's state in one queue.

A `Publication` passes through exchanges and never changes. Each queue that accepts the publication makes its own
`Message`; all share the body. Message ids increase in the order of arrival.
"""

from dataclasses import dataclass

from mailpact_devbroker import properties
from mailpact_devbroker.errors import AmqpError, unsupported

MAX_BODY_BYTES = 16 * 1024 * 1024  # RabbitMQ 4's max_message_size
_OVERHEAD_BYTES = 500  # in addition to its bytes: 270 in the queue (tracemalloc), and its ledger entry


@dataclass(frozen=True, slots=True)
class Death:
    """One entry of `x-death`: the queue where a message died, how often, and the exchange and keys of its publication.

    `time` is in seconds since 1970.

    `quorum` is true if the queue was a quorum queue.
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
    """A message on its way from a publisher or a dead-lettering queue to an exchange.

    `deaths` has the latest death first.
    """

    exchange: str
    routing_key: str
    header: bytes
    body: bytes
    ttl_ms: int | None = None
    persistent: bool = False
    deaths: tuple[Death, ...] = ()


@dataclass(slots=True)
class Message:
    """A publication in a queue. `kept` is true if the message has a row in the journal.

    `due_at` (seconds since 1970) is when the message expires. If `held_for` has a reason, the message is a dead
    letter that no target accepted, and `due_at` is the time of the next try. `returned` is the number of the
    message's last return, in queues that count returns.
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
        """Return the message's position among the ready messages. Messages with a return number come first."""
        return (not self.returned, self.returned or self.id)

    @property
    def held_bytes(self) -> int:
        """Return how many bytes this message counts towards the broker's memory limit."""
        return len(self.publication.header) + len(self.publication.body) + _OVERHEAD_BYTES


def publication(exchange: str, routing_key: str, header: bytes, body: bytes, *, user: str) -> Publication:
    """Return a client's publication.

    Raises:
        AmqpError: 502 for a malformed header, 406 for an invalid expiration or user id, 540 for a header that
            RabbitMQ supports and this broker does not.
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
