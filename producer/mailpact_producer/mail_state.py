"""The state of a mail of the site, according to events of `email-status/1`. Pure.

    queued ─▶ deferred, uncertain ─▶ failed, expired ─▶ sent

Events can arrive several times, late, and in any order. A mail never returns to a state further left in the picture.
After `failed` and `expired` only `sent` is possible, because an operator can replay a dead letter. Of two events about
an unfinished mail, the event of the later try counts; of two events of one try, the later event counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MailState(StrEnum):
    """What is known of a mail."""

    QUEUED = "queued"  # stored by the site; no event has come yet
    DEFERRED = "deferred"
    UNCERTAIN = "uncertain"  # it is unknown whether the server accepted the last try; the mail is tried again
    FAILED = "failed"
    EXPIRED = "expired"
    SENT = "sent"


_RANK: Final = {
    MailState.QUEUED: 0,
    MailState.DEFERRED: 1,
    MailState.UNCERTAIN: 1,
    MailState.FAILED: 2,
    MailState.EXPIRED: 2,
    MailState.SENT: 3,
}
_STATES: Final = {
    "sent": MailState.SENT,
    "deferred": MailState.DEFERRED,
    "failed": MailState.FAILED,
    "uncertain": MailState.UNCERTAIN,
    "rejected": MailState.FAILED,  # the message cannot become a mail
    "expired": MailState.EXPIRED,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """The known state of a mail, and the try that it belongs to.

    `occurred_at` is in microseconds since 1970 by the consumer's clock, 0 for a mail without an event. `reply` is the
    mail server's reply, or the reason why there is no mail; `error` is a code of the contracts' errors.json.
    """

    state: MailState
    attempt: int = 0
    occurred_at: int = 0
    smtp_code: int | None = None
    reply: str = field(default="", repr=False)
    error: str = ""

    def is_later_than(self, other: "Progress") -> bool:
        """Return whether this state replaces the state that was known before."""
        return self.order > other.order

    @property
    def order(self) -> tuple[int, int, int]:
        """Return the rank of the state, then the try, then the moment."""
        return _RANK[self.state], self.attempt, self.occurred_at


def progress_of(event: Mapping[str, Any]) -> Progress | None:
    """Return the state that an event of `email-status/1` reports; None if the event reports no new state (`duplicate`).

    The event obeys the contract's schema for readers.
    """
    state = _STATES.get(event["event"])
    if state is None:
        return None
    smtp, error = event.get("smtp", {}), event.get("error", {})
    return Progress(
        state,
        attempt=int(event["attempt"]),
        occurred_at=_microseconds(event["occurred_at"]),
        smtp_code=smtp.get("code"),
        reply=smtp.get("reply") or error.get("detail", ""),
        error=error.get("code", ""),
    )


def _microseconds(moment: str) -> int:
    # The contract allows nine digits of a second, of which `fromisoformat` keeps six.
    return (datetime.fromisoformat(moment) - _BEGINNING) // timedelta(microseconds=1)
