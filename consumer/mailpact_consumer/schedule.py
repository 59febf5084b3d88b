"""Decides when a message is tried, and in which retry queue it waits. No I/O: times and durations are arguments.

Each step of the schedule is a queue that keeps a message for the time in its name. After the first failed try the
message waits in the first step, then in the second, and the last step repeats until the time for trying is over. A
message may come back before its time, which its row states. Then it waits again, in the largest step that is not longer
than the remaining time.
"""

import re
from dataclasses import dataclass
from datetime import datetime

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}
LONGEST_STEP_SECONDS = 86_400
MOST_STEPS = 20

_STEP = re.compile(r"([1-9][0-9]{0,5})([smh])")


class ScheduleError(ValueError):
    """A text is not a retry schedule; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One retry queue: its name is `email.retry.` and this name, and its routing key is this name."""

    name: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps in increasing order, at least one."""

    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """Read steps such as `10s 1m 2h`, separated by spaces. Raises ScheduleError."""
        steps = tuple(_step(word) for word in text.split())
        if not 0 < len(steps) <= MOST_STEPS:
            raise ScheduleError(
                f"a retry schedule has 1 to {MOST_STEPS} steps, for example {DEFAULT_SCHEDULE!r}"
            )
        seconds = [step.seconds for step in steps]
        if seconds != sorted(set(seconds)):
            raise ScheduleError(f"the steps of the retry schedule {text!r} do not increase")
        return cls(steps)

    @property
    def shortest(self) -> Step:
        """Return the step for messages that are to be tried again soon."""
        return self.steps[0]

    def after(self, attempts: int) -> Step:
        """Return the step that follows the try of this number, counted from 1."""
        return self.steps[min(max(attempts, 1), len(self.steps)) - 1]

    def step_for(self, seconds: float) -> Step:
        """Return the largest step that is not longer than this wait, or the shortest step."""
        fitting = [step for step in self.steps if step.seconds <= seconds]
        return fitting[-1] if fitting else self.shortest

    def __str__(self) -> str:
        return " ".join(step.name for step in self.steps)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The seconds that are left, counted from now; negative when the time is over.

    `trying` is the consumer's own time for trying, `expiry` the publisher's (None without one).
    """

    trying: float
    expiry: float | None = None


@dataclass(frozen=True, slots=True)
class Period:
    """When the publisher allows the mail to be sent; both moments are aware, and None means that there is no limit."""

    not_before: datetime | None = None
    expires_at: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Return whether it is too late for the mail."""
        return self.expires_at is not None and self.expires_at <= now

    def early_seconds(self, now: datetime) -> float:
        """Return how long it is until the mail may be sent; 0.0 if it may be sent now."""
        return max((self.not_before - now).total_seconds(), 0.0) if self.not_before is not None else 0.0

    def deadlines(self, now: datetime, *, tried_seconds: float, retry_seconds: float) -> Deadlines:
        """Return the rest of `retry_seconds`, which count from `not_before` on, and of the publisher's time."""
        if self.not_before is not None:
            tried_seconds = min(tried_seconds, (now - self.not_before).total_seconds())
        expiry = None if self.expires_at is None else (self.expires_at - now).total_seconds()
        return Deadlines(retry_seconds - tried_seconds, expiry)


def wait_seconds(
    schedule: Schedule, attempts: int, deadlines: Deadlines, *, at_least: float = 0.0
) -> float | None:
    """Return the wait before the next try after `attempts` tries; None if the time for trying is over.

    The wait never passes the end of the time for trying or the publisher's expiry; the last try is made at that time.
    """
    if deadlines.trying <= 0:
        return None
    wait = max(float(schedule.after(attempts).seconds), at_least)
    wait = min(wait, deadlines.trying)
    if deadlines.expiry is not None:
        wait = min(wait, max(deadlines.expiry, 0.0))
    return wait


def _step(word: str) -> Step:
    match = _STEP.fullmatch(word)
    seconds = int(match[1]) * UNIT_SECONDS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST_STEP_SECONDS:
        raise ScheduleError(f"{word!r} is not a step of a retry schedule; write 10s, 5m or 2h, at most 24h")
    return Step(word, seconds)


DEFAULT_SCHEDULE = Schedule.parse("10s 1m 5m 15m 30m 1h 2h 4h")
