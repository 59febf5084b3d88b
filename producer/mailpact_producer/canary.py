"""The canary: a mail that the site sends to an address of its operator every minute, as a test of the whole path. Pure.

    committed ─▶ confirmed ─▶ reported ─▶ sent ─▶ seen
    outbox       broker       consumer    mail    capture server,
                                          server  if there is one

One canary is under way at a time for all processes of the site. A canary ends when it has arrived, when an event says
that there will be no mail, or after ten minutes. It has arrived when the event `sent` has come and, if the site asks a
viewer, the viewer has the mail. The viewer is asked for a canary until the canary is 1.5 intervals old. All times are
microseconds since 1970 by the database's clock.
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
    """The last stage that a canary has reached, as far as the site knows."""

    COMMITTED = "committed"  # the message is in the outbox
    CONFIRMED = "confirmed"  # the broker has the message
    REPORTED = "reported"  # a consumer has tried to send the mail, and the server has not accepted it
    SENT = "sent"  # the mail server has accepted the mail
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
    """The database's data about the latest canary and the ones before it.

    `told` is the state according to status events; QUEUED without an event. `waiting_since` is when the first canary
    was begun that has not arrived, counted after the last one that arrived; None if the latest canary has arrived.
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
        """Return the last stage that the latest canary has reached."""
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
    """Ask the viewer whether it has the mail; if `is_last` and the viewer does not have the mail, end the canary."""

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
    """Decide the next step. A clock that was set back ends a canary and does not delay the next one."""
    age_seconds = (now - canary.started_at) / _SECOND
    if not canary.is_under_way:
        left = interval_seconds - age_seconds
        return Begin() if canary.message_id is None or not 0 < left <= interval_seconds else Wait(left)
    if canary.told is MailState.SENT:
        # The viewer has a mail before the mail server's event arrives: a mail that is missing now will not come.
        is_in_time = 0 <= age_seconds <= LATE_INTERVALS * interval_seconds
        return Ask(is_last=not is_in_time) if has_viewer else End(has_arrived=True)
    if canary.told in _ENDS or not 0 <= age_seconds <= LIFE_SECONDS:
        return End(has_arrived=False)
    return Wait(min(1.0, interval_seconds / 10))


def trouble(
    canary: Canary, now: int, watched_since: int, *, interval_seconds: float, has_viewer: bool
) -> str:
    """Return why mail does not flow, in words for an operator; empty if mail flows, as far as canaries show.

    `watched_since` is when this process began to watch. An outage is reported at most LATE_INTERVALS + 1 intervals
    after the last canary that arrived: 150 s by default, also if a busy machine begins the next canary late.
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
