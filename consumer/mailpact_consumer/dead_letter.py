"""Reads dead letters for operators: the message, the reason why there is no mail, and the message to publish again.

Two parties write letters. The consumer writes the reason into the headers (`letter.py`). The broker dead-letters a
message by itself when the queue's delivery limit is reached, when the publisher's `expiration` is over, or when the
consumer rejects a message while publishing is blocked; then `x-death` is the only information.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import cast

from mailpact.amqp.messages import Message
from mailpact_consumer.headers import republished

KEY_HEADER = "x-mailpact-id"
MAYBE_SENT_HEADER = "x-maybe-sent"
REASON_HEADERS = frozenset({"x-attempts"})
REASON_PREFIX = "x-error-"

BROKER_REASONS = {
    "delivery_limit": "the message came back to its queue too often; it may have crashed a consumer",
    "rejected": "a consumer rejected the message while the broker accepted no letters; the consumer's log says why",
    "expired": "the publisher gave the message an expiration, and no consumer took the message before",
    "maxlen": "the queue was full, and its policy drops the oldest message",
}


class WrittenBy(StrEnum):
    """The writer of a letter."""

    CONSUMER = "consumer"
    BROKER = "broker"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter for operators.

    `key` is the id that the consumer uses for the message; None if the message never had an id. `code` is a code of
    `contracts/errors.json`, or the broker's reason. `died_at` is when the letter was written, if this is known.
    """

    message: Message
    key: str | None
    written_by: WrittenBy
    code: str
    detail: str
    pointer: str | None
    keyword: str | None
    recipient: str | None
    attempts: int | None
    died_at: datetime | None


def read_letter(message: Message) -> DeadLetter:
    """Parse a letter from the queue of dead letters. Never raises, whatever the headers contain."""
    headers = message.headers
    key = _text(headers.get(KEY_HEADER)) or message.message_id or None
    death = _first_death(headers)
    code = _text(headers.get("x-error-code"))
    if code is not None:
        return DeadLetter(
            message=message,
            key=key,
            written_by=WrittenBy.CONSUMER,
            code=code,
            detail=_text(headers.get("x-error-detail")) or "",
            pointer=_text(headers.get("x-error-pointer")),
            keyword=_text(headers.get("x-error-keyword")),
            recipient=_text(headers.get("x-recipient")),
            attempts=_whole_number(headers.get("x-attempts")),
            died_at=_time(headers.get("x-error-time")),
        )
    reason = _text(death.get("reason")) or "unknown"
    queue = _text(death.get("queue"))
    meaning = BROKER_REASONS.get(reason, "the letter does not say why the message died")
    return DeadLetter(
        message=message,
        key=key,
        written_by=WrittenBy.BROKER,
        code=reason,
        detail=f"{meaning} (queue {queue})" if queue else meaning,
        pointer=None,
        keyword=None,
        recipient=None,
        attempts=None,
        died_at=_time(death.get("time")),
    )


def replayed(letter: DeadLetter, *, new_key: str) -> Message:
    """Return the publisher's message, without the letter's reason, to be published again.

    `x-recipient` and `x-failed-token` are kept. They name the recipient to try again, and the failure that the replay
    refers to. `new_key` is the id for a message that never had an id. Nobody can know whether the mail of such a
    message was sent, and a header of the message says so.
    """
    headers = {
        name: value
        for name, value in letter.message.headers.items()
        if name not in REASON_HEADERS and not name.startswith(REASON_PREFIX)
    }
    if letter.key is None:
        headers |= {KEY_HEADER: new_key, MAYBE_SENT_HEADER: True}
    # Without an id, a broker that leads the message to no queue could return it to nobody.
    message_id = letter.message.message_id or new_key
    return replace(letter.message, message_id=message_id, headers=republished(headers))


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects letters that fulfil all conditions. An empty selection selects every letter."""

    ids: frozenset[str] = frozenset()
    code: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None

    def takes(self, letter: DeadLetter, *, now: datetime) -> bool:
        """Return whether a letter is selected. A letter of unknown age matches no condition about the age."""
        if self.ids and self.ids.isdisjoint(_ids(letter)):
            return False
        if self.code is not None and letter.code != self.code:
            return False
        if self.older_than is None and self.newer_than is None:
            return True
        age = age_of(letter, now=now)
        if age is None:
            return False
        is_old_enough = self.older_than is None or age > self.older_than
        return is_old_enough and (self.newer_than is None or age < self.newer_than)


def age_of(letter: DeadLetter, *, now: datetime) -> timedelta | None:
    """Return how long ago a letter was written, None if the letter does not say."""
    return None if letter.died_at is None else now - letter.died_at


def is_forgotten(letter: DeadLetter, *, now: datetime, inbox_days: int) -> bool:
    """Return whether the consumer may have forgotten the message, so that a replay could send a second mail.

    `inbox_days` is how long the consumers remember finished messages.

    The publisher's timestamp is used if the letter has no time. A letter without any time counts as forgotten.
    """
    since = letter.died_at or letter.message.timestamp
    return since is None or now - since > timedelta(days=inbox_days)


def _ids(letter: DeadLetter) -> set[str]:
    return {given.lower() for given in (letter.key, letter.message.message_id) if given}


def _first_death(headers: Mapping[str, object]) -> Mapping[str, object]:
    """Return the newest entry of `x-death`, which RabbitMQ writes first; an empty entry if there is none."""
    deaths = headers.get("x-death")
    if isinstance(deaths, Sequence) and not isinstance(deaths, str | bytes) and deaths:
        newest = deaths[0]
        if isinstance(newest, Mapping):
            return cast("Mapping[str, object]", newest)
    return {}


def _text(value: object) -> str | None:
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _whole_number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time(value: object) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
