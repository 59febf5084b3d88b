"""Decides what becomes of an outbox row once its publish has ended.

Nothing but a confirm takes a row out of the outbox. All else puts it back, with a delay that says whose trouble it is:
a broker that is away is waited for by the publisher, so its rows are due again at once; one that refuses is given time.
"""

from dataclasses import dataclass

from mailpact.amqp.backoff import Uniform, backoff_seconds
from mailpact.amqp.publisher import Outcome

UNROUTABLE_SECONDS = 10.0
LONGEST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Published:
    """The broker has it: the row is done and its body erased."""


@dataclass(frozen=True, slots=True)
class Again:
    """Publish it again, with the same id, after so many seconds."""

    after_seconds: float


def plan(outcome: Outcome, *, attempts: int, uniform: Uniform) -> Published | Again:
    """Say what follows from an outcome; `attempts` counts this publish too."""
    match outcome:
        case Outcome.CONFIRMED:
            return Published()
        case Outcome.NOT_SENT:
            return Again(0.0)
        case Outcome.UNROUTABLE:
            # No queue is bound yet: the first consumer makes it, and readers should not wait long after that.
            return Again(backoff_seconds(attempts, uniform, ceiling=UNROUTABLE_SECONDS))
        case Outcome.NACKED | Outcome.UNKNOWN:
            return Again(backoff_seconds(attempts, uniform, ceiling=LONGEST_SECONDS))
