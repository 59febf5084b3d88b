"""A try's knowledge of its recipient's row, and of a failure whose letter is being written. Values only."""

from dataclasses import dataclass
from uuid import UUID, uuid5

from mailpact.contracts.errors import ErrorCode
from mailpact_consumer.decide import Row, State
from mailpact_consumer.inbox import Claim, Seen
from mailpact_consumer.inbox_sql import Key
from mailpact_consumer.reply import Accepted, Permanent, Trouble
from mailpact_consumer.status import SmtpReply
from mailpact_consumer.values import value

TOKEN_NAMESPACE = UUID("0d3f5c77-6a1b-5e0f-8f52-7b9a4c2d6e18")


@value
class Standing:
    """The row as this try knows it; the next transition is compared with these values. `seen` is None without a row.

    `is_claimed` says that this try has set the row to `sending`. `is_uncertain` says that an earlier try may have sent
    a mail and that the row does not count this mail yet: a claim counts it, and every other transition must count it
    too.
    """

    seen: Seen | None
    attempts: int
    unanswered: int
    events: int
    tried_seconds: float
    is_claimed: bool = False
    is_uncertain: bool = False

    @classmethod
    def of_row(cls, row: Row | None, *, is_uncertain: bool) -> "Standing":
        """Return the values of a row that was just read; None stands for no row."""
        if row is None:
            return cls(None, 0, 0, 0, 0.0, is_uncertain=is_uncertain)
        seen = Seen(row.state, row.token)
        return cls(
            seen, row.attempts, row.unanswered, row.events, row.tried_seconds, is_uncertain=is_uncertain
        )

    @classmethod
    def of_claim(cls, claim: Claim) -> "Standing":
        """Return the values of the row after the claim."""
        seen = Seen(State.SENDING, claim.token)
        return cls(seen, claim.attempts, claim.unanswered, claim.events, claim.tried_seconds, is_claimed=True)


@dataclass(frozen=True, slots=True)
class Ending:
    """The reason why this recipient gets no mail.

    It is kept until the letter is confirmed, so that the mail is not tried again.
    """

    standing: Standing
    state: State
    code: ErrorCode
    detail: str
    attempts: int
    reply: SmtpReply | None
    is_uncertain: bool = False


@value
class Tried:
    """How a try ended, and the row as it is now."""

    standing: Standing
    answer: Accepted | Permanent | Trouble


def failed_token(key: Key, ending: Ending) -> str:
    """Return the token of a failure: always the same, so that each copy of the failure's letter reopens it.

    A crash can cause two copies of a letter.
    """
    name = f"{key.message_id}\0{key.recipient_sha256}\0{ending.code}\0{ending.attempts}"
    return str(uuid5(TOKEN_NAMESPACE, name))
