"""The changes that must survive the process, as values. The model returns them, and the journal stores them.

Changes are recorded in the order in which they happened. Changes that belong together (the dead letter saved in one
queue, the message erased from another) are committed together. A declaration is stored as its AMQP method, under a
key.
"""

from dataclasses import dataclass

from mailpact_devbroker.messages import Message


@dataclass(frozen=True, slots=True)
class Declared:
    """A durable exchange, queue or binding exists."""

    key: str
    method: bytes


@dataclass(frozen=True, slots=True)
class Undeclared:
    """The durable exchange, queue or binding was deleted."""

    key: str


@dataclass(frozen=True, slots=True)
class Saved:
    """A queue accepted a message, got the message back, or holds a dead letter.

    The journal replaces the message's row.
    """

    queue: str
    message: Message


@dataclass(frozen=True, slots=True)
class Erased:
    """A message was acknowledged, dead-lettered, purged or dropped."""

    id: int


Change = Declared | Undeclared | Saved | Erased
