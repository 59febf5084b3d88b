"""Connects to the broker, reads the dead letters one by one for a command, and shows the progress."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from mailpact.settings import AmqpUrl
from mailpact_cli.dialling import connected
from mailpact_cli.log_output import configure_logging

if TYPE_CHECKING:
    from mailpact_consumer.dead_letter import DeadLetter
    from mailpact_consumer.dead_queue import DeadQueue

T = TypeVar("T")
Job = Callable[["DeadQueue", datetime], Awaitable[T]]


def walk(url: AmqpUrl, job: Job[T]) -> T:
    """Run `job` with an open walk and the time now. Raises BrokerUnreachable and what `job` raises."""
    configure_logging(verbose=False)
    return asyncio.run(_walk(url, job))


async def _walk(url: AmqpUrl, job: Job[T]) -> T:
    from mailpact_consumer.dead_queue import dead_queue

    async with connected(url, "dead letters") as connection, dead_queue(connection) as queue:
        return await job(queue, datetime.fromtimestamp(time.time(), UTC))


async def with_progress(queue: "DeadQueue") -> "AsyncIterator[tuple[int, DeadLetter]]":
    """Yield the letters, and show on a terminal how many of them are done."""
    if not sys.stderr.isatty():
        async for found in queue.letters():
            yield found
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("letters", total=queue.waiting)
        async for found in queue.letters():
            yield found
            progress.advance(task)
