"""The development broker as a service: one listening socket, one model, perhaps a journal.

After each turn (frames read, a deadline passed, a client gone) `settle` handles the results of the turn: changes
go to the journal, confirms wait for them, the clock is set to the next deadline, and the bound on memory is watched.
"""

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import structlog

from mailpact_devbroker.broker import Broker
from mailpact_devbroker.connection import Connection
from mailpact_devbroker.journal import Journal

DEFAULT_USERS: Mapping[str, str] = MappingProxyType({"guest": "guest"})
MEMORY_BYTES = 256 * 1024 * 1024
_LOW_MARK = 0.8  # of the bound: below it publishers go on
_FAREWELL_SECONDS = 1.0

log = structlog.get_logger()


class DevBroker:
    """A development broker that is running. `url` is where its first user reaches it."""

    def __init__(
        self, url: str, broker: Broker, journal: Journal | None, users: Mapping[str, str], memory_bytes: int
    ) -> None:
        self.url = url
        self.broker = broker
        self.users = users
        self.short_of_memory = False
        self._journal = journal
        self._memory_bytes = memory_bytes
        self._connections: set[Connection] = set()
        self._owners = itertools.count(1)
        self._stopping = False
        self._waiting: list[Callable[[], None]] = []
        self._deadline: float | None = None
        self._deadline_changed = asyncio.Event()
        self._deserted = asyncio.Event()

    def connection(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(next(self._owners), self)

    # What connections ask for.

    def now(self) -> float:
        """Return the time, in seconds since 1970: deadlines outlive the process."""
        return time.time()

    def attach(self, connection: Connection) -> None:
        """Register a connection."""
        self._connections.add(connection)
        if self._stopping:  # it was accepted in the last moment
            connection.abort()

    def detach(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._deserted.set()

    def confirm(self, confirmed: Callable[[], None]) -> None:
        """Call back when every earlier change is journalled."""
        self._waiting.append(confirmed)

    def settle(self) -> None:
        """Journal and apply what the last turn changed."""
        changes, waiting = self.broker.take_changes(), self._waiting
        self._waiting = []
        if self._journal is not None:
            self._journal.submit(changes, waiting)
        else:
            for release in waiting:
                release()
        self._watch_memory()
        deadline = self.broker.next_deadline()
        if deadline != self._deadline:
            self._deadline = deadline
            self._deadline_changed.set()

    def _watch_memory(self) -> None:
        held = self.broker.held_bytes
        if not self.short_of_memory and held > self._memory_bytes:
            self.short_of_memory = True
            log.warning("publishers have to wait: messages fill the memory limit", held_bytes=held)
        elif self.short_of_memory and held < self._memory_bytes * _LOW_MARK:
            self.short_of_memory = False
            log.info("publishers continue: memory is free again", held_bytes=held)
            for connection in self._connections:
                connection.unblock()

    def look(self) -> dict[str, object]:
        """Return how many are connected, and what messages take of the memory."""
        return {
            "connections": len(self._connections),
            "memory": {
                "held_bytes": self.broker.held_bytes,
                "limit_bytes": self._memory_bytes,
                "publishers_wait": self.short_of_memory,
            },
        }

    # Its own tasks.

    async def watch_clock(self) -> None:
        """Apply what is due: messages expire, letters are tried again."""
        while True:
            self._deadline_changed.clear()
            delay = None if self._deadline is None else max(0.0, self._deadline - self.now())
            try:
                async with asyncio.timeout(delay):
                    await self._deadline_changed.wait()
            except TimeoutError:
                self.broker.tick(self.now())
                self.settle()

    async def say_farewell(self) -> None:
        """Close each connection with a reason; a client that does not answer within a second is cut off."""
        self._stopping = True
        if not self._connections:
            return
        self._deserted.clear()
        for connection in tuple(self._connections):
            connection.shut_down()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self._deserted.wait()
        for connection in tuple(self._connections):
            connection.abort()
        await self._deserted.wait()
        self.settle()


@asynccontextmanager
async def running(
    listener: socket.socket,
    *,
    journal: Path | None,
    users: Mapping[str, str] = DEFAULT_USERS,
    memory_bytes: int = MEMORY_BYTES,
    status: socket.socket | None = None,
) -> AsyncIterator[DevBroker]:
    """Serve AMQP 0-9-1 on a bound TCP socket until the context is left.

    Args:
        listener: taken over and closed in the end. Bind it to loopback: there is no TLS.
        journal: the file for durable queues and persistent messages; None keeps everything in memory.
        users: passwords by name; the first is the one in `url`.
        memory_bytes: above it publishers have to wait.
        status: taken over too, for `/healthz` and `/status` over HTTP; bind it to loopback as well.

    Raises:
        JournalError: the journal cannot be used (on entering), or cannot be written any more.
    """
    broker = Broker()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(listener)
        store = None
        if journal is not None:
            store = await asyncio.to_thread(_load, journal, broker)
            stack.callback(store.close)
        server = DevBroker(_url(listener, users), broker, store, users, memory_bytes)
        async with asyncio.TaskGroup() as tasks:
            clock = tasks.create_task(server.watch_clock())
            writer = None if store is None else tasks.create_task(store.run())
            server.broker.proceed(server.now())
            server.settle()
            endpoint = await asyncio.get_running_loop().create_server(server.connection, sock=listener)
            try:
                async with _showing(server, status):
                    yield server
            finally:
                endpoint.close()
                await server.say_farewell()
                await endpoint.wait_closed()
                clock.cancel()
                if store is not None and writer is not None:
                    store.finish()
                    await asyncio.wait([writer])  # when we are cancelled, the group would not let it finish


@asynccontextmanager
async def _showing(server: DevBroker, listener: socket.socket | None) -> AsyncIterator[None]:
    """Serve the status pages if a socket for them was given."""
    if listener is None:
        yield
        return
    # Only here: aiohttp takes longer to import than the whole broker.
    from mailpact.web.serving import serving
    from mailpact_devbroker import status

    rates = status.Rates()

    async def sample() -> None:
        while True:
            rates.sample(server.broker, time.monotonic())
            await asyncio.sleep(status.SAMPLE_SECONDS)

    def look() -> dict[str, object]:
        return {**server.look(), "queues": status.queues(server.broker, rates)}

    async with serving(status.application(look), listener), asyncio.TaskGroup() as tasks:
        sampler = tasks.create_task(sample())
        try:
            yield
        finally:
            sampler.cancel()


def _load(path: Path, broker: Broker) -> Journal:
    journal = Journal(path)
    try:
        count = journal.load(broker)
    except BaseException:
        journal.close()
        raise
    log.info("journal is loaded", path=str(path), queues=len(broker.topology.queues), messages=count)
    return journal


def _url(listener: socket.socket, users: Mapping[str, str]) -> str:
    host, port = listener.getsockname()[:2]
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    login = next((f"{quote(user, safe='')}:{quote(word, safe='')}@" for user, word in users.items()), "")
    # No slash at the end: to clients in Java and Rust it would name a vhost whose name is empty.
    return f"amqp://{login}{place}"
