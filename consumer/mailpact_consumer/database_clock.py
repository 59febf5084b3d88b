"""The database's clock, kept between two readings by a clock of the process that never jumps.

Publishers name moments (`not_before`, `expires_at`), and all consumers of an inbox have to judge them alike. So no
consumer uses its host's clock: the database's time is read every time the sign of life is renewed, every 2 seconds.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DatabaseClock:
    """The database's time; `monotonic` is a clock in seconds that never jumps."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._offset_seconds: float | None = None

    def read(self, microseconds: int) -> None:
        """Take over the database's time, in microseconds since 1970, right after a statement returned it."""
        self._offset_seconds = microseconds / 1_000_000 - self._monotonic()

    def utc_now(self) -> datetime:
        """Return the time, aware. It is late by the way back of one statement at most, and never early.

        Raises RuntimeError before the first reading.
        """
        if self._offset_seconds is None:
            raise RuntimeError("the database's clock has not been read yet")
        return EPOCH + timedelta(seconds=self._offset_seconds + self._monotonic())
