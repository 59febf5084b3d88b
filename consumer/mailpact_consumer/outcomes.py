"""What can come of one round of work on a delivery. Values only."""

from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """Whose trouble holds a message up."""

    BROKER = "broker"
    DEAD_LETTERS = "dead letters"
    INBOX = "inbox database"


@dataclass(frozen=True, slots=True)
class Settled:
    """Every recipient is settled for good: ack."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """Somebody has to wait: the message is to come again in so many seconds, 0 for the shortest retry queue."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Held:
    """A service that is needed now is in trouble: the message stays in hand and is worked on again."""

    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The row is not as it was seen: decide again at once."""


Outcome = Settled | PutOff | Held
