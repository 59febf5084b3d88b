"""Decides what to do with a message from what the inbox knows of it. No I/O: rows in, decision out.

The inbox has one row per message and recipient. A row says `sending` from just before DATA until the outcome is
recorded, together with the process that sends (its owner) and the try (its token). The rules:

- Only a finished row (`sent`, `failed`) drops a message.
- A row that is being sent by a living owner is left alone: a final dot may take ten minutes to be answered.
- A row whose owner is dead may have become a mail. It is taken over and sent again, and counted as uncertain first.
- A row with a token of this very delivery's tries is ours, and made no mail: its commit happened although its answer
  was lost, or its try ended before DATA or with a clear refusal.
- The same id with another body is a conflict, never a duplicate.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What the inbox says of one message and recipient."""

    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the inbox as it was read; `owner_is_alive` by the database's clock."""

    recipient_sha256: str
    state: State
    owner: str
    owner_is_alive: bool
    token: str
    body_sha256: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send it now. `seen` is the row to take over, None for a new one; `is_uncertain`: a mail may exist already."""

    seen: Row | None
    is_uncertain: bool


@dataclass(frozen=True, slots=True)
class Drop:
    """It is done already: a duplicate."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """Somebody else is sending it right now; look again later."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The id was used before for another body."""


Decision = Send | Drop | PutOff | Conflict


def decide(
    rows: Sequence[Row],
    *,
    recipient_sha256: str,
    body_sha256: str,
    owner: str,
    tokens: Set[str],
    may_have_been_sent: bool,
) -> Decision:
    """Decide about one recipient of a message from all rows of that message.

    `owner` is this process; the caller holds the message's place in the process's own map, so a row of this owner
    with none of `tokens` (tries of the same delivery that certainly made no mail) belongs to one that ended without
    telling.
    `may_have_been_sent` is for messages without an id of their own, whose earlier deliveries left no row to find.
    """
    if any(row.body_sha256 != body_sha256 for row in rows):
        return Conflict()
    row = next((row for row in rows if row.recipient_sha256 == recipient_sha256), None)
    if row is None:
        return Send(None, is_uncertain=may_have_been_sent)
    if row.state is not State.SENDING:
        return Drop()
    if row.token in tokens:
        return Send(row, is_uncertain=False)
    if row.owner != owner and row.owner_is_alive:
        return PutOff()
    return Send(row, is_uncertain=True)
