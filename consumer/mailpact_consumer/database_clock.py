"""The database's clock. Between two readings, the process's monotonic clock measures the time.

Publishers name times (`not_before`, `expires_at`), and all consumers of an inbox must compare them with the same
clock. So no consumer uses its host's clock. The database's time is read every 2 seconds, together with the heartbeat
in the database (see `liveness.py`).
"""

from collections.abc import Callable
from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DatabaseClock:
    """The database's time; `monotonic` is a clock in seconds that never jumps."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._offset_seconds: float | None = None

    def read(self, microseconds: int) -> None:
        """Set the database's time in microseconds since 1970.

        Call this at once after a statement has returned the time.
        """
        self._offset_seconds = microseconds / 1_000_000 - self._monotonic()

    def utc_now(self) -> datetime:
        """Return the time in UTC.

        The time is never ahead of the database, and at most one statement's return time behind.

        Raises RuntimeError before the first reading.
        """
        if self._offset_seconds is None:
            raise RuntimeError("the database's clock has not been read yet")
        return datetime.fromtimestamp(self._offset_seconds + self._monotonic(), UTC)
