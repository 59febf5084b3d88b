"""Decides what to do with a message, based on its rows in the inbox.

No I/O: rows are the input, a decision the result.

The inbox has one row per message and recipient. A row says `sending` from just before the mail is sent until the
outcome is recorded, together with the process that sends (its owner) and the try (its token). The rules:

- Only a terminal row (`sent`, `failed`, `expired`) drops a message.
- A replay of a recipient's dead letter reopens the failure that the letter is about, never a row that is `sent`.
- A row that a living owner is sending is left alone: a final dot may take ten minutes to be answered.
- If a row's owner is dead, its mail may have been sent. The row is counted as uncertain, taken over and sent again.
- If a row has a token of this delivery's own tries, no mail was sent. Either the row was committed although the
  answer was lost, or the try ended before the mail was sent or with a clear refusal.
- A `deferred` row waits until its time, then the mail is tried again.
- A possible earlier copy is the same mail as the next copy, unless somebody edited the template; an event says so.
- The same id with another body is a conflict, never a duplicate.
- A state that this release does not know belongs to a newer release. The message is put off.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from mailpact_consumer.values import value


class State(StrEnum):
    """The state of one message and recipient in the inbox."""

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
    """A row of the inbox. Times are in seconds by the database's clock.

    `owner_is_alive` says whether the owner's heartbeat is recent. `rest_seconds` is the time until the next try.
    `tried_seconds` is the time since the first try (or the last replay). `events` counts the status events so far,
    `uncertain` the copies that may have been sent. `template_digest` belongs to the last claimed try.
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
    """Send the mail now. `seen` is the existing row; None for a new row.

    `is_uncertain` means that the mail may have been sent already. `reopens` means that a replay starts the row's time
    for trying again.
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
    """The mail is already settled."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another process is sending the mail now; check again later."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The next try is due after this time."""

    seconds: float


Decision = Send | Drop | Busy | Wait


def conflicts(rows: Sequence[Row], body_sha256: str) -> bool:
    """Return whether the message's id was already used for another body. `rows` are all rows of the message."""
    return any(row.body_sha256 != body_sha256 for row in rows)


def decide(
    row: Row | None,
    *,
    owner: str,
    tokens: Set[str],
    may_have_been_sent: bool,
    failed_token: str | None,
) -> Decision:
    """Decide about one recipient of a message; `row` is the recipient's row, or None.

    `owner` is this process; the caller holds the message in this process's `InFlight`. `tokens` are the tries of this
    delivery that certainly sent no mail. So if a row of this owner has another token, it belongs to a try with an
    unknown end. `may_have_been_sent` is for messages whose earlier deliveries left no row. `failed_token` comes from
    a replayed letter of this recipient.
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
