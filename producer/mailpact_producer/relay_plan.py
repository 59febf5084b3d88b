"""Decides what the relay does with a row after the outcome of its publish is known.

    pending --claim--> claimed --confirmed--> published (body erased)
       ^                  |
       |                  +--refused by its own writer schema--> dead (a bug of ours; people are called)
       +--anything else, and a lease that ran out--+

Only CONFIRMED means that the broker has the message. After any other outcome the message is published again with the
same message id, so that consumers recognise a second copy.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from mailpact.amqp.backoff import Uniform, backoff_seconds
from mailpact.amqp.messages import Outcome
from mailpact.contracts.errors import ErrorCode, Refusal

LONGEST_WAIT_SECONDS: Final = 300.0
LONGEST_WAIT_FOR_QUEUE_SECONDS: Final = (
    10.0  # the first consumer declares the queue; its mail should not wait long after that
)
OTHER_RELEASE_SECONDS: Final = 300.0


class State(StrEnum):
    """The state of a row in the outbox."""

    PENDING = "pending"
    CLAIMED = "claimed"
    PUBLISHED = "published"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Published:
    """The broker has the message: the row is done, and its body is erased."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """The row is pending again and may be claimed after `seconds`; `is_attempt` if this publish counts as a try."""

    seconds: float
    is_attempt: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Dead:
    """The row is never published; its body is kept for the developers."""

    reason: str


Step = Published | PutBack | Dead


def step_after(outcome: Outcome | Refusal, *, attempts: int, uniform: Uniform) -> Step:
    """Decide about one row. `attempts` counts its earlier publishes that were not confirmed."""
    match outcome:
        case Refusal(code=ErrorCode.UNSUPPORTED_VERSION):
            return PutBack(OTHER_RELEASE_SECONDS, is_attempt=False, reason=outcome.detail)
        case Refusal():
            return Dead(f"{outcome.code} {outcome.pointer} {outcome.keyword}: {outcome.detail}")
        case Outcome.CONFIRMED:
            return Published()
        case Outcome.NOT_SENT:
            # The relay itself waits until the broker accepts messages again, so the row needs no additional wait.
            return PutBack(0.0, is_attempt=False, reason=outcome)
        case Outcome.UNROUTABLE:
            return _put_back(outcome, attempts, uniform, LONGEST_WAIT_FOR_QUEUE_SECONDS)
        case Outcome.NACKED | Outcome.UNKNOWN:
            return _put_back(outcome, attempts, uniform, LONGEST_WAIT_SECONDS)
        case _:
            assert_never(outcome)


def _put_back(outcome: Outcome, attempts: int, uniform: Uniform, ceiling: float) -> PutBack:
    seconds = backoff_seconds(attempts, uniform, floor=1.0, ceiling=ceiling)
    return PutBack(seconds, is_attempt=True, reason=outcome)
