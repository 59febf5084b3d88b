"""`mailpact logs [--follow]`: the log records of all services, in the order in which they were made."""

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from heapq import heappop, heappush
from typing import Annotated, Final

import typer
from rich.console import Console

from mailpact.contracts import catalogue
from mailpact.settings import AmqpUrl
from mailpact_cli import options
from mailpact_cli.log_output import configure_logging
from mailpact_cli.logs.record import CONTRACT, Choice, Level, Reader, Record, as_json, as_text
from mailpact_cli.serving import serve_until_stopped

IN_ORDER_SECONDS: Final = 1.5  # a busy service ships every 0.75 s, so nothing older comes after so long

SHOW_SECONDS: Final = 0.2


def show_logs(
    context: typer.Context,
    follow: Annotated[bool, options.switch("--follow", "Continue with new records until Ctrl-C.")] = False,
    service: Annotated[str, options.argument("--service", "NAME", "Only the records of this service.")] = "",
    level: Annotated[
        Level | None, options.switch("--level", "Only records of this level or a more severe level.")
    ] = None,
    message_id: Annotated[
        str, options.argument("--message-id", "ID", "Only the records about this message.")
    ] = "",
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = options.DEFAULT_AMQP_URL,
    as_objects: Annotated[bool, options.flag("--json", "Print one JSON object for each record.")] = False,
) -> None:
    """Show the log records of all services in order; they stay in the queue."""
    if context.invoked_subcommand is not None:
        return
    configure_logging(verbose=False)
    choice = Choice(service, level, message_id)
    is_coloured = Console().color_system is not None
    write = Writer(as_objects=as_objects, is_coloured=is_coloured)
    if follow:
        serve_until_stopped(partial(_follow, amqp_url, choice, write))
    else:
        asyncio.run(_show(amqp_url, choice, write))


class Writer:
    """Writes records to standard output."""

    def __init__(self, *, as_objects: bool, is_coloured: bool) -> None:
        self._as_objects, self._is_coloured = as_objects, is_coloured

    def write(self, record: Record) -> None:
        """Write one record."""
        text = as_json(record) if self._as_objects else as_text(record, is_coloured=self._is_coloured)
        print(text)  # noqa: T201  # the result

    def flush(self) -> None:
        """Flush standard output, for the reader of a pipe."""
        sys.stdout.flush()


class InOrder:
    """Puts records into the order in which they were made: each waits 1.5 s for older ones of other services."""

    def __init__(self) -> None:
        self._waiting: list[tuple[object, int, float, Record]] = []
        self._count = 0

    def put(self, record: Record, *, now: float) -> None:
        """Add a record that arrived at `now` (seconds)."""
        self._count += 1
        heappush(self._waiting, (record.moment, self._count, now, record))

    def due(self, *, now: float) -> Iterator[Record]:
        """Yield the records that need not wait any longer."""
        while self._waiting and self._waiting[0][2] <= now - IN_ORDER_SECONDS:
            yield heappop(self._waiting)[3]


async def _show(url: AmqpUrl, choice: Choice, writer: Writer) -> None:
    from mailpact_cli.dialling import connected
    from mailpact_cli.logs.queue import waiting

    reader = _reader()
    async with connected(url, "logs") as connection:
        records = [reader.read(message) for message in await waiting(connection)]
    for record in sorted(records, key=lambda one: one.moment):
        if choice.has(record):
            writer.write(record)


async def _follow(url: AmqpUrl, choice: Choice, writer: Writer, stopping: asyncio.Event) -> None:
    from mailpact_cli.dialling import connected
    from mailpact_cli.logs.queue import following

    reader, in_order, clock = _reader(), InOrder(), asyncio.get_running_loop().time
    stopped = asyncio.ensure_future(stopping.wait())
    async with connected(url, "logs") as connection:
        messages = following(connection)
        coming = asyncio.ensure_future(anext(messages))
        while not stopped.done():
            await asyncio.wait({coming, stopped}, timeout=SHOW_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                record = reader.read(coming.result())
                coming = asyncio.ensure_future(anext(messages))
                if choice.has(record):
                    in_order.put(record, now=clock())
            for record in in_order.due(now=clock()):
                writer.write(record)
            writer.flush()
        coming.cancel()
        await asyncio.wait({coming})


def _reader() -> Reader:
    return Reader(
        catalogue.load().contract(CONTRACT), utc_now=lambda: datetime.fromtimestamp(time.time(), UTC)
    )
