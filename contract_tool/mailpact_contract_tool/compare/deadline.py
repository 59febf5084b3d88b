"""Bounds the processor time of a comparison.

The search counts its steps, but a step can be short or long. So the search, the walk over two schemas and the engines
also ask the deadline, again and again, whether their share of the time is over. The clock comes in as an argument. By
default the clock counts the processor time of this thread, so that other programs on the machine change no verdict.
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
    """The share of the time is over; nothing is concluded from what was found so far."""


class Deadline:
    """The end of the running share of the time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._end = 0.0
        self.begin(SECONDS_TO_READ)

    def begin(self, seconds: float) -> None:
        """Begin a share of the time."""
        self._end = self._clock() + seconds

    def check(self) -> None:
        """Raise OutOfTime if the share is over."""
        if self._clock() > self._end:
            raise OutOfTime("there was not enough time to check all cases")
