"""Events come more than once and in any order; a mail's state never goes back."""

from itertools import permutations
from typing import Any

import pytest

from mailpact_producer.mail_state import MailState, Progress, progress_of

QUEUED = Progress(MailState.QUEUED)


def event(name: str, attempt: int, second: int = 0, **members: Any) -> dict[str, Any]:
    occurred_at = f"2026-11-24T09:00:{second:02}.250Z"
    return {"event": name, "attempt": attempt, "occurred_at": occurred_at, **members}


def told(*events: dict[str, Any]) -> Progress:
    """Return what is known after these events."""
    known = QUEUED
    for each in events:
        progress = progress_of(each)
        if progress is not None and progress.is_later_than(known):
            known = progress
    return known


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([event("deferred", 1, 1), event("deferred", 2, 2), event("sent", 3, 3)], "sent"),
        ([event("deferred", 1, 1), event("uncertain", 2, 2), event("sent", 3, 3)], "sent"),
        ([event("uncertain", 1, 1), event("deferred", 1, 2)], "deferred"),
        ([event("deferred", 2, 1), event("uncertain", 3, 0)], "uncertain"),  # the clock was set back
        ([event("deferred", 1, 1), event("failed", 2, 2, error={"code": "smtp_permanent"})], "failed"),
        ([event("uncertain", 1, 9), event("expired", 1, 2, error={"code": "expired"})], "expired"),
        ([event("rejected", 0, 1, error={"code": "template_unknown"})], "failed"),
        # An operator has replayed the dead letter.
        ([event("failed", 1, 1), event("deferred", 2, 2), event("sent", 3, 3)], "sent"),
        ([event("sent", 1, 1), event("duplicate", 1, 2), event("failed", 9, 9)], "sent"),
    ],
)
def test_every_order_of_the_events_ends_in_the_same_state(events: list[dict[str, Any]], state: str) -> None:
    for order in permutations(events):
        assert told(*order).state == state
        assert told(*order, *order) == told(*order)


def test_end_is_not_undone_by_a_later_try() -> None:
    assert told(event("failed", 1, 1), event("deferred", 2, 2)).state is MailState.FAILED
    assert told(event("expired", 1, 1), event("uncertain", 2, 2)).state is MailState.EXPIRED


def test_reply_of_the_mail_server_is_told_and_else_why_there_is_no_mail() -> None:
    error = {"code": "smtp_permanent", "detail": "the mail server refused the mail"}
    refused = progress_of(event("failed", 1, smtp={"code": 550, "reply": "5.1.1 no such user"}, error=error))
    overdue = progress_of(event("failed", 9, error={"code": "retries_exhausted", "detail": "4 days"}))

    assert refused is not None
    assert overdue is not None
    assert (refused.smtp_code, refused.reply, refused.error) == (550, "5.1.1 no such user", "smtp_permanent")
    assert (overdue.smtp_code, overdue.reply, overdue.error) == (None, "4 days", "retries_exhausted")


def test_duplicate_tells_nothing_new() -> None:
    assert progress_of(event("duplicate", 3)) is None


def test_moment_is_kept_to_the_microsecond() -> None:
    for text in ("2026-11-24T09:00:00Z", "2026-11-24T09:00:00.000000999Z"):
        progress = progress_of({"event": "sent", "attempt": 1, "occurred_at": text})
        assert progress is not None
        assert progress.occurred_at == 1_795_510_800_000_000
