"""Bounds the processor time of a comparison.

The search counts its steps, but a step can be short or long. So the search, the walk over two schemas and the engines
also check the deadline regularly. The clock is an argument. By default the clock counts the processor time of this
thread, so that other programs on the machine change no verdict.
"""

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Returns seconds since any fixed moment."""

PROCESSOR_TIME: Clock = time.thread_time

SECONDS_TO_READ = 1.0
SECONDS_TO_JUDGE = 1.0


class OutOfTime(Exception):
    """The time limit is reached. The results so far prove nothing."""


class Deadline:
    """The end of the current time limit."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._end = 0.0
        self.begin(SECONDS_TO_READ)

    def begin(self, seconds: float) -> None:
        """Begin a time limit of so many seconds."""
        self._end = self._clock() + seconds

    def check(self) -> None:
        """Raise OutOfTime if the time limit is reached."""
        if self._clock() > self._end:
            raise OutOfTime("there was not enough time to check all cases")
