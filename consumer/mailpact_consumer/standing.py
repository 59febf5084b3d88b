"""What a try knows of its recipient's row, and of a failure whose letter is being written. Values only."""

from dataclasses import dataclass

from mailpact.contracts.errors import ErrorCode
from mailpact_consumer.decide import Row, State
from mailpact_consumer.inbox import Claim, Seen
from mailpact_consumer.status import SmtpReply


@dataclass(frozen=True, slots=True)
class Standing:
    """The row as this try knows it: what the next transition compares and counts on. `seen` is None without a row."""

    seen: Seen | None
    attempts: int
    unanswered: int
    events: int
    tried_seconds: float

    @classmethod
    def of_row(cls, row: Row | None) -> "Standing":
        """Return what a row says as it was read; None stands for no row."""
        if row is None:
            return cls(None, 0, 0, 0, 0.0)
        return cls(Seen(row.state, row.token), row.attempts, row.unanswered, row.events, row.tried_seconds)

    @classmethod
    def of_claim(cls, claim: Claim) -> "Standing":
        """Return what the row says since it was claimed."""
        seen = Seen(State.SENDING, claim.token)
        return cls(seen, claim.attempts, claim.unanswered, claim.events, claim.tried_seconds)

    @property
    def is_claimed(self) -> bool:
        """Whether this try has put the row to `sending`."""
        return self.seen is not None and self.seen.state is State.SENDING


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why this recipient gets no mail; kept until the letter is confirmed, so that the server is not asked again."""

    standing: Standing
    state: State
    code: ErrorCode
    detail: str
    attempts: int
    reply: SmtpReply | None
    is_uncertain: bool = False
