"""What must survive the process, as values: the model says what changed, the journal writes it down.

Changes are noted in the order in which they happened; changes of one moment (a dead letter saved there and the
message erased here) are committed together. A declaration is kept as the very method that made it, under a key.
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
    """A queue took a message, took it back, or holds it as a dead letter: the journal replaces its row."""

    queue: str
    message: Message


@dataclass(frozen=True, slots=True)
class Erased:
    """A message was acknowledged, dead-lettered, purged or dropped."""

    id: int


Change = Declared | Undeclared | Saved | Erased
