"""Limits how fast transactions begin. No I/O: the time is an argument, the wait is the result."""


class Pace:
    """At most `rate` starts per second, evenly spaced."""

    def __init__(self, rate: int) -> None:
        self._step = 1 / rate
        self._next: float | None = None

    def delay_seconds(self, now: float) -> float:
        """Return how many seconds after `now` the next transaction may begin, and count it as begun then."""
        start = now if self._next is None else max(now, self._next)
        self._next = start + self._step
        return start - now
