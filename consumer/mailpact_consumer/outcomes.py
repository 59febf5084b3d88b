"""The possible outcomes of one round of work on a delivery. Values only."""

from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """The service whose trouble delays a message."""

    BROKER = "broker"
    DEAD_LETTERS = "dead letters"
    INBOX = "inbox database"


@dataclass(frozen=True, slots=True)
class Settled:
    """Every recipient is settled for good: ack."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """A recipient has to wait. The message must be delivered again after this time; 0: the shortest retry queue."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Held:
    """A required service is in trouble. The message stays unacknowledged in this process and is tried again."""

    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The row has changed since it was read; decide again at once."""


Outcome = Settled | PutOff | Held
