"""How fast transactions may begin. No I/O: the time comes in, the wait goes out."""


class Pace:
    """At most `rate` starts per second, evenly spaced."""

    def __init__(self, rate: int) -> None:
        self._step = 1 / rate
        self._next: float | None = None

    def delay_seconds(self, now: float) -> float:
        """Return how long the next start has to wait from `now`, and count it as begun then."""
        start = now if self._next is None else max(now, self._next)
        self._next = start + self._step
        return start - now
