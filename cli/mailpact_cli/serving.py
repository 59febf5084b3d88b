"""Runs a command that serves until Ctrl-C or SIGTERM."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable

import structlog

Serve = Callable[[asyncio.Event], Awaitable[None]]

GARBAGE_THRESHOLDS = (20_000, 20, 20)
"""For `gc.set_threshold`: objects of a request or a mail rarely form cycles, and reference counts free them.

At Python's defaults (700, 10, 10) the search for cycles took about a tenth of the consumer's CPU time.
"""


def serve_until_stopped(serve: Serve) -> None:
    """Run `serve` with an event that Ctrl-C or SIGTERM sets; a second one ends the process at once."""
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_with_signals(serve))


async def _with_signals(serve: Serve) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopping.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    await serve(stopping)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def announce(line: str) -> None:
    """Log that a service has started and where it listens, in the same format as later log records."""
    structlog.get_logger().info(line)


def say(line: str) -> None:
    """Write a line to standard error for the person who started a command; standard output is for results."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201  # this is where the line is written
