"""The canary: a mail that the site sends to an address of its operator every minute, as a test of the whole path. Pure.

    committed ─▶ confirmed ─▶ reported ─▶ sent ─▶ seen
    outbox       broker       consumer    mail    capture server,
                                          server  where there is one to ask

One canary is under way at a time for all processes of the site. A canary ends when it has arrived, when an event tells
that there will be no mail, or after ten minutes. It has arrived when the event `sent` has come and, where a viewer can
be asked, the viewer has the mail; a canary that the mail server has taken is asked for until it is 1.5 intervals old.
All times are microseconds since 1970 by the database's clock.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mailpact_producer.mail_state import MailState

_SECOND: Final = 1_000_000

LIFE_SECONDS: Final = 600
"""A canary that has not arrived by then ends; its message expires at the same moment."""
LATE_INTERVALS: Final = 1.5
"""Mail does not flow when a canary needs longer than this many intervals, 90 s by default."""


class Stage(StrEnum):
    """How far a canary has come, as far as the site knows."""

    COMMITTED = "committed"  # it is in the outbox
    CONFIRMED = "confirmed"  # the broker has it
    REPORTED = "reported"  # a consumer has tried it, and the mail has not been taken
    SENT = "sent"  # the mail server has taken the mail
    SEEN = "seen"  # the viewer has the mail


STUCK: Final = {
    Stage.COMMITTED: "the broker has not confirmed it: look at the relay and the broker",
    Stage.CONFIRMED: "no status event has come: look at the consumer, and at the queue email.status.site",
    Stage.REPORTED: "a consumer could not send it: look at the mail server",
    Stage.SENT: "the viewer does not have it: look at the capture server",
}
"""What an operator is told about a canary that got this far and no further."""


@dataclass(frozen=True, slots=True)
class Canary:
    """What the database knows of the latest canary, and of those before it.

    `told` is the state that status events have told; QUEUED without an event. `waiting_since` is when the first canary
    was begun that has not arrived since the last one that did; None if the latest has arrived.
    """

    message_id: str | None = None
    started_at: int = 0
    told: MailState = MailState.QUEUED
    is_confirmed: bool = False
    ended_at: int | None = None
    arrived_at: int | None = None
    waiting_since: int | None = None

    @property
    def is_under_way(self) -> bool:
        """Return whether a canary has been begun and has not ended."""
        return self.message_id is not None and self.ended_at is None

    @property
    def has_arrived(self) -> bool:
        """Return whether the latest canary has arrived."""
        return self.ended_at is not None and self.waiting_since is None

    def stage(self, *, has_viewer: bool) -> Stage:
        """Return how far the latest canary has come."""
        if self.has_arrived:
            return Stage.SEEN if has_viewer else Stage.SENT
        if self.told is MailState.SENT:
            return Stage.SENT
        if self.told is not MailState.QUEUED:
            return Stage.REPORTED
        return Stage.CONFIRMED if self.is_confirmed else Stage.COMMITTED


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin the next canary."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the viewer whether it has the mail; `is_last` ends the canary if the viewer has not."""

    is_last: bool


@dataclass(frozen=True, slots=True)
class End:
    """End the canary that is under way."""

    has_arrived: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for `seconds`."""

    seconds: float


Step = Begin | Ask | End | Wait

_ENDS: Final = (MailState.FAILED, MailState.EXPIRED)


def next_step(canary: Canary, now: int, *, interval_seconds: float, has_viewer: bool) -> Step:
    """Decide what to do now. A clock that was put back ends a canary and does not delay the next one."""
    age_seconds = (now - canary.started_at) / _SECOND
    if not canary.is_under_way:
        left = interval_seconds - age_seconds
        return Begin() if canary.message_id is None or not 0 < left <= interval_seconds else Wait(left)
    if canary.told is MailState.SENT:
        # The viewer has a mail before the mail server says so: a mail that is not there by now does not come any more.
        is_in_time = 0 <= age_seconds <= LATE_INTERVALS * interval_seconds
        return Ask(is_last=not is_in_time) if has_viewer else End(has_arrived=True)
    if canary.told in _ENDS or not 0 <= age_seconds <= LIFE_SECONDS:
        return End(has_arrived=False)
    return Wait(min(1.0, interval_seconds / 10))


def trouble(
    canary: Canary, now: int, watched_since: int, *, interval_seconds: float, has_viewer: bool
) -> str:
    """Return why mail does not flow, in words for an operator; empty if it flows, as far as canaries tell.

    `watched_since` is when this process has begun to look. A break is told at most LATE_INTERVALS + 1 intervals after
    the last canary that arrived: 150 s by default, also if a busy machine begins the next canary late.
    """
    late_seconds = LATE_INTERVALS * interval_seconds
    silent = (now - max(canary.arrived_at or 0, watched_since)) / _SECOND
    is_silent = silent > interval_seconds + late_seconds
    if canary.waiting_since is None:
        return f"no canary was begun for {silent:.0f} seconds: look at the database" if is_silent else ""
    waiting = (now - canary.waiting_since) / _SECOND
    if not is_silent and waiting <= late_seconds:
        return ""
    stage = canary.stage(has_viewer=has_viewer)
    seconds = max(waiting, silent)
    return f"no canary has arrived for {seconds:.0f} seconds; the last one is {stage}: {STUCK[stage]}"
