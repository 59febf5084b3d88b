"""A virtual clock: it stands still while any task can run, and jumps to the next timer when none can.

Event loop, `time.monotonic`, `time.time` and SQLite's functions use this clock, so broker, consumer, inbox and mail
server of one process share the same time. A test may await only sockets and threads of this process.
"""

import asyncio
import selectors
import sqlite3
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

# Bytes sent through a loopback socket can be read at once, unless the kernel of a busy machine is a little late.
QUIET_SECONDS = 0.003


class VirtualClock:
    """The time of all parts of one process, in seconds; the virtual time begins at the real time."""

    def __init__(self) -> None:
        self._monotonic = time.monotonic()
        self._since_1970 = time.time()
        self.passed = 0.0

    def monotonic(self) -> float:
        """Take the place of `time.monotonic`."""
        return self._monotonic + self.passed

    def time(self) -> float:
        """Take the place of `time.time`."""
        return self._since_1970 + self.passed

    def strftime(self, form: str, *_: object) -> str:
        """Take the place of SQLite's function, for the present time and the forms that Mailpact uses."""
        now = datetime.fromtimestamp(self.time(), UTC)
        forms = {"%s": f"{int(now.timestamp())}", "%f": f"{now:%S}.{now.microsecond // 1000:03}"}
        return forms[form]


class _Selector(selectors.DefaultSelector):
    """A selector that moves the clock instead of waiting."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.busy_threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.busy_threads or timeout is None:
            return super().select(1)
        ready = super().select(QUIET_SECONDS)
        if not ready:
            self._clock.passed += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that tells its selector how many threads work for it."""

    def __init__(self, selector: _Selector) -> None:
        super().__init__(selector)
        self._waits = selector

    def run_in_executor(self, executor: Executor | None, func: Any, *args: Any) -> Any:
        self._waits.busy_threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_is_done)
        return future

    def _thread_is_done(self, _future: object) -> None:
        self._waits.busy_threads -= 1


def run(
    story: Callable[[VirtualClock], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch
) -> VirtualClock:
    """Run a test in virtual time; return the clock as it was at the end."""
    clock = VirtualClock()

    def follow(connection: sqlite3.Connection, _record: object) -> None:
        connection.create_function("strftime", 2, clock.strftime)

    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    monkeypatch.setattr(time, "time", clock.time)
    event.listen(Engine, "connect", follow)
    try:
        with asyncio.Runner(loop_factory=lambda: _Loop(_Selector(clock))) as runner:
            runner.run(story(clock))
    finally:
        event.remove(Engine, "connect", follow)
    return clock
