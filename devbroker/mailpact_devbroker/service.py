"""The development broker as a service: one listening socket, one model, optionally a journal.

After each event (frames received, a deadline passed, a client disconnected) `settle` handles the results. It passes
the changes to the journal, on which the confirms wait; sets the timer to the next deadline; and checks the memory
limit.
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
_LOW_MARK = 0.8  # of the memory limit; below this mark publishers continue
_FAREWELL_SECONDS = 1.0

log = structlog.get_logger()


class DevBroker:
    """A running development broker. `url` is the AMQP URL with the first user."""

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
        """Return the protocol object of a new connection."""
        return Connection(next(self._owners), self)

    # Called by connections.

    def now(self) -> float:
        """Return the time in seconds since 1970 (not a monotonic time, because deadlines survive the process)."""
        return time.time()

    def attach(self, connection: Connection) -> None:
        """Register a connection."""
        self._connections.add(connection)
        if self._stopping:  # accepted just before the listener closed
            connection.abort()

    def detach(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._connections.discard(connection)
        if not self._connections:
            self._deserted.set()

    def confirm(self, confirmed: Callable[[], None]) -> None:
        """Call `confirmed` as soon as every earlier change is journalled."""
        self._waiting.append(confirmed)

    def settle(self) -> None:
        """Journal and apply the changes of the last event."""
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
        """Return the number of connections, and the memory that messages use."""
        return {
            "connections": len(self._connections),
            "memory": {
                "held_bytes": self.broker.held_bytes,
                "limit_bytes": self._memory_bytes,
                "publishers_wait": self.short_of_memory,
            },
        }

    # The broker's own tasks.

    async def watch_clock(self) -> None:
        """Apply all changes that are due: messages expire, and dead letters are tried again."""
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
        """Close each connection with a reason.

        After one second the sockets of clients that have not answered are closed.
        """
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
    """Serve AMQP 0-9-1 on a bound TCP socket until the context ends.

    Args:
        listener: the broker owns this socket and closes it at the end. Bind it to loopback: there is no TLS.
        journal: the file for durable queues and persistent messages; None keeps everything in memory.
        users: passwords by user name; `url` contains the first user.
        memory_bytes: the memory limit; above this limit publishers must wait.
        status: a socket for `/healthz` and `/status` over HTTP, owned and closed, too; bind it to loopback as well.

    Raises:
        JournalError: the journal cannot be used (at the start), or can no longer be written.
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
                    # after a cancellation, the task group would cancel this task, too
                    await asyncio.wait([writer])


@asynccontextmanager
async def _showing(server: DevBroker, listener: socket.socket | None) -> AsyncIterator[None]:
    """Serve the status pages if there is a socket for them."""
    if listener is None:
        yield
        return
    # Imported only when needed: aiohttp takes longer to import than the whole broker.
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
    # The URL has no slash at the end: for clients in Java and Rust a slash would name a vhost with an empty name.
    return f"amqp://{login}{place}"
