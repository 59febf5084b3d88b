"""Keeps the log short: frequent events of one kind make one line in a minute, with a count. Pure."""

from typing import Final

MINUTE_SECONDS: Final = 60.0


class Reports:
    """When each kind of event was last logged, and how many events of each kind were not logged since."""

    def __init__(self) -> None:
        self._next_seconds: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def due(self, kind: str, now_seconds: float) -> int | None:
        """Count one event; return how many were not logged since the last line, or None if no line is due."""
        if now_seconds < self._next_seconds.get(kind, float("-inf")):
            self._unlogged[kind] = self._unlogged.get(kind, 0) + 1
            return None
        self._next_seconds[kind] = now_seconds + MINUTE_SECONDS
        return self._unlogged.pop(kind, 0)
