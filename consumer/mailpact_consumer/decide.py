"""Decides what to do with a message from what the inbox knows of it. No I/O: rows in, decision out.

The inbox has one row per message and recipient. A row says `sending` from just before the mail is sent until the
outcome is recorded, together with the process that sends (its owner) and the try (its token). The rules:

- Only a terminal row (`sent`, `failed`, `expired`) drops a message.
- A replay of a recipient's dead letter reopens the failure that the letter is about, never a row that is `sent`.
- A row that a living owner is sending is left alone: a final dot may take ten minutes to be answered.
- A row whose owner is dead may have become a mail. It is taken over and sent again, and counted as uncertain first.
- A row with a token of this delivery's own tries made no mail: its commit happened although the answer was lost, or
  the try ended before the mail was sent or with a clear refusal.
- A `deferred` row waits until its time, then it is tried.
- A copy that may exist is the same mail as the next copy, unless somebody edited the template between: that is said.
- The same id with another body is a conflict, never a duplicate.
- A state that this release does not know belongs to a newer release: the message is put off.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from mailpact_consumer.values import value


class State(StrEnum):
    """What the inbox says of one message and recipient."""

    SENDING = "sending"
    DEFERRED = "deferred"
    SENT = "sent"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"  # written by a newer release; never stored

    @classmethod
    def _missing_(cls, value: object) -> "State":
        return cls.UNKNOWN


TERMINAL = frozenset({State.SENT, State.FAILED, State.EXPIRED})
UNFINISHED = frozenset({State.SENDING, State.DEFERRED})
REOPENED_BY_REPLAY = frozenset({State.FAILED, State.EXPIRED})


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the inbox as it was read. Times are seconds by the database's clock.

    `owner_is_alive` says whether the owner's sign of life is fresh; `rest_seconds` are left until the next try;
    `tried_seconds` have passed since the message's time for trying began; `events` counts the status events so far,
    `uncertain` the copies that may have been mails. `template_digest` is of the last claimed try.
    """

    recipient_sha256: str
    state: State
    owner: str
    owner_is_alive: bool
    token: str
    body_sha256: str
    attempts: int = 0
    unanswered: int = 0
    uncertain: int = 0
    rest_seconds: float = 0.0
    tried_seconds: float = 0.0
    events: int = 0
    template_digest: str | None = None


@value
class Send:
    """Send it now. `seen` is the row to go on with, None for a new one.

    `is_uncertain`: a mail may exist already. `reopens`: a replay begins the row's time for trying anew.
    """

    seen: Row | None
    is_uncertain: bool
    reopens: bool = False

    def differs(self, template_digest: str | None) -> bool:
        """Return whether this copy is certainly not the same mail as an earlier copy that may exist."""
        seen = self.seen
        if seen is None or seen.template_digest is None or not (self.is_uncertain or seen.uncertain):
            return False
        return seen.template_digest != template_digest


@dataclass(frozen=True, slots=True)
class Drop:
    """It is settled already."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else is sending it right now; look again later."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Its next try is not due for so long."""

    seconds: float


Decision = Send | Drop | Busy | Wait


def conflicts(rows: Sequence[Row], body_sha256: str) -> bool:
    """Return whether the message's id was used before for another body; `rows` are all rows of the message."""
    return any(row.body_sha256 != body_sha256 for row in rows)


def decide(
    row: Row | None,
    *,
    owner: str,
    tokens: Set[str],
    may_have_been_sent: bool,
    failed_token: str | None,
) -> Decision:
    """Decide about one recipient of a message; `row` is the recipient's row, None without one.

    `owner` is this process; the caller holds the message's place in the process's own map, so a row of this owner
    with none of `tokens` (tries of this delivery that certainly made no mail) belongs to a try that ended without
    telling. `may_have_been_sent` is for messages whose earlier deliveries left no row to find. `failed_token` is what
    a replayed letter of this recipient carries.
    """
    if row is None:
        return Send(None, is_uncertain=may_have_been_sent)
    match row.state:
        case State.SENT | State.FAILED | State.EXPIRED:
            if row.state in REOPENED_BY_REPLAY and failed_token == row.token:
                return Send(row, is_uncertain=False, reopens=True)
            return Drop()
        case State.DEFERRED:
            return Wait(row.rest_seconds) if row.rest_seconds > 0 else Send(row, is_uncertain=False)
        case State.UNKNOWN:
            return Busy()
        case State.SENDING:
            if row.token in tokens:
                return Send(row, is_uncertain=False)
            if row.owner != owner and row.owner_is_alive:
                return Busy()
            return Send(row, is_uncertain=True)
