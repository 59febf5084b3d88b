"""Runs a walk through the letters for a command: connects, counts, shows progress, and disconnects."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from mailpact.settings import AmqpUrl
from mailpact.telemetry import configure_logging

if TYPE_CHECKING:
    from aiormq.abc import AbstractConnection

    from mailpact_consumer.dead_letter import DeadLetter
    from mailpact_consumer.dead_queue import DeadQueue

DIAL_SECONDS = 5  # the command ends within ten: starting and giving up take their time on a busy machine

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


@asynccontextmanager
async def connected(url: AmqpUrl, role: str) -> "AsyncIterator[AbstractConnection]":
    """Open a connection for a command that ends soon; raise BrokerUnreachable, also when the broker goes away."""
    from mailpact.amqp.errors import BrokerLost, BrokerUnreachable
    from mailpact.amqp.supervisor import dial, hang_up

    try:
        async with asyncio.timeout(DIAL_SECONDS):
            connection = await dial(url, role)
    except TimeoutError as error:
        raise BrokerUnreachable("the broker does not answer in time") from error
    try:
        yield connection
    except BrokerLost as error:
        raise BrokerUnreachable(f"the connection to the broker broke: {error}") from error
    finally:
        await hang_up(connection)


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
