"""`mailpact status` without an id: looks at the whole system once, or every two seconds on a terminal."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

import aiohttp
import typer
from rich.console import Console
from rich.live import Live

from mailpact.settings import AmqpUrl, DatabaseUrl, HostPort
from mailpact_cli.errors import UNREACHABLE
from mailpact_cli.screen.broker import BrokerWatch
from mailpact_cli.screen.inbox import InboxWatch
from mailpact_cli.screen.services import ServiceWatch
from mailpact_cli.screen.show import as_text, drawn
from mailpact_cli.screen.situation import Situation, as_json
from mailpact_cli.serving import serve_until_stopped

EVERY_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look."""

    amqp_url: AmqpUrl
    inbox_url: DatabaseUrl
    health: Sequence[HostPort]


def show_screen(places: Places, *, as_object: bool) -> None:
    """Show the situation: again and again on a terminal, else once. Exit code 3 if nothing could be reached."""
    console = Console(highlight=False)
    if console.is_terminal and not as_object:
        serve_until_stopped(lambda stopping: _keep_showing(places, console, stopping))
        return
    situation = asyncio.run(_once(places))
    if as_object:
        print(json.dumps(as_json(situation)))  # noqa: T201  # the result
    else:
        print(as_text(situation))  # noqa: T201  # the result
    if situation.is_all_unknown:
        raise typer.Exit(UNREACHABLE)


class Watch:
    """Everything that is looked at."""

    def __init__(self, broker: BrokerWatch, inbox: InboxWatch, services: Sequence[ServiceWatch]) -> None:
        self._broker, self._inbox, self._services = broker, inbox, services

    async def look(self) -> Situation:
        """Look at everything at the same time."""
        broker, inbox, services = await asyncio.gather(
            self._broker.look(),
            self._inbox.look(),
            asyncio.gather(*(service.look() for service in self._services)),
        )
        return Situation(
            at=f"{datetime.fromtimestamp(time.time(), UTC):%Y-%m-%dT%H:%M:%SZ}",
            release=version("mailpact"),
            broker=broker,
            inbox=inbox,
            services=services,
        )


@asynccontextmanager
async def watching(places: Places) -> AsyncIterator[Watch]:
    """Yield what is looked at; close all connections at the end."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        broker, inbox = BrokerWatch(places.amqp_url), InboxWatch(places.inbox_url)
        stack.push_async_callback(broker.close)
        stack.push_async_callback(inbox.close)
        yield Watch(broker, inbox, [ServiceWatch(session, address) for address in places.health])


async def _once(places: Places) -> Situation:
    async with watching(places) as watch:
        return await watch.look()


async def _keep_showing(places: Places, console: Console, stopping: asyncio.Event) -> None:
    before = None
    stopped = asyncio.ensure_future(stopping.wait())
    async with watching(places) as watch:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while not stopped.done():
                looking = asyncio.ensure_future(watch.look())
                await asyncio.wait({looking, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if looking.done():
                    situation = looking.result()
                    live.update(drawn(situation, before), refresh=True)
                    before = situation
                    await asyncio.wait({stopped}, timeout=EVERY_SECONDS)
                looking.cancel()
                await asyncio.wait({looking})
