"""Fixtures: a broker that can stop and start, a network that can fail, and clients to inspect the broker."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import aiormq
import pytest
import structlog
from aiormq.abc import AbstractChannel

from mailpact.settings import AmqpUrl
from mailpact_devbroker.service import running

PATIENCE_SECONDS = 20


async def wait_until(what: str, fact: Callable[[], object]) -> None:
    """Wait for a fact; if the wait fails, the error names the fact."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not fact():  # facts inside a broker or a client have no event to wait for
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited in vain until {what}") from None


class DevelopmentBroker:
    """The development broker in this process, which can be stopped and started again on its port."""

    path = "/"

    def __init__(self) -> None:
        self.port = 0
        self.login = "guest:guest"
        self._running = AsyncExitStack()

    async def start(self, *, password: str = "guest") -> None:
        """Start it; its user's password may have been changed meanwhile."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        starting = running(listener, journal=None, users={"guest": password})
        self._inside = await self._running.enter_async_context(starting)

    async def stop(self) -> None:
        await self._running.aclose()

    async def end(self) -> None:
        await self.stop()

    def has_connections(self) -> bool:
        return bool(self._inside._connections)

    @property
    def url(self) -> AmqpUrl:
        return AmqpUrl.parse(f"amqp://{self.login}@127.0.0.1:{self.port}{self.path}")


class RabbitmqBroker:
    """A RabbitMQ node, and a vhost on it."""

    def __init__(self, node: Any, url: str) -> None:
        self.url = AmqpUrl.parse(url)
        self._node = node
        parts = urlsplit(url)
        self.login, self.path, self.port = parts.netloc.rpartition("@")[0], parts.path, int(parts.port or 0)

    async def start(self, *, password: str = "") -> None:
        """Start it; its user's password may have been changed meanwhile."""
        await asyncio.to_thread(self._node.start_application)
        self._set_password(password or self._node.password)

    async def stop(self) -> None:
        await asyncio.to_thread(self._node.stop_application)

    async def end(self) -> None:
        """Restore the node to the state that other tests expect."""
        await asyncio.to_thread(self._node.recover)
        self._set_password(self._node.password)

    def has_connections(self) -> bool:
        vhost = self.path.removeprefix("/")
        connections = "rabbit_networking:connection_info_all([vhost])"
        query = f'length([I || I <- {connections}, proplists:get_value(vhost, I) == <<"{vhost}">>])'
        return bool(self._node.call(query) != "0")

    def _set_password(self, password: str) -> None:
        user = self.login.partition(":")[0]
        words = ", ".join(f'<<"{word}">>' for word in (user, password, "test"))
        self._node.call(f"rabbit_auth_backend_internal:change_password({words})")


Broker = DevelopmentBroker | RabbitmqBroker


class Proxy:
    """A network between client and broker: it can delay, drop or insert bytes, and close connections."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._flows = asyncio.Event()
        self._flows.set()
        self._answers = True
        self._writers: list[asyncio.StreamWriter] = []
        self._clients: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def url(self, options: str = "heartbeat=10") -> AmqpUrl:
        return AmqpUrl.parse(
            f"amqp://{self._broker.login}@127.0.0.1:{self.port}{self._broker.path}?{options}"
        )

    def freeze(self) -> None:
        """Stop forwarding in both directions, and stop reading."""
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    def drop_answers(self) -> None:
        """Discard the broker's bytes on the existing connections."""
        self._answers = False

    def restore_answers(self) -> None:
        """Forward the broker's bytes again."""
        self._answers = True

    def cut(self) -> None:
        """Close all connections abruptly, like a failing router."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        self._clients.clear()

    def say(self, frame: bytes) -> None:
        """Send a frame to the newest client, as if the broker had sent it."""
        self._clients[-1].write(frame)

    def hang_up(self) -> None:
        """Close the newest client's connection without AMQP's close method."""
        self._clients[-1].close()

    async def stop(self) -> None:
        self._server.close()
        self.thaw()
        self.cut()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker.port)
            self._writers.append(broker_writer)
            self._clients.append(writer)
            await asyncio.gather(
                self._pump(reader, broker_writer, answers=False),
                self._pump(broker_reader, writer, answers=True),
            )
        except OSError:
            writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        try:
            while data := await self._read(reader):
                if self._answers or not answers:
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        await self._flows.wait()
        data = await reader.read(65536)
        await self._flows.wait()
        return data


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """Check after each test that no task is left and that asyncio reported no error."""
    loop = asyncio.get_running_loop()
    complaints: list[MutableMapping[str, Any]] = []
    loop.set_debug(True)
    loop.slow_callback_duration = 60
    ours = "Error on transport creation for incoming connection"  # our client refused the test's TLS server
    loop.set_exception_handler(
        lambda _, context: complaints.append(context) if context["message"] != ours else None
    )
    before = asyncio.all_tasks()

    yield

    def left() -> set[asyncio.Task[Any] | None]:
        return {*asyncio.all_tasks()} - before - {asyncio.current_task()}

    with suppress(AssertionError):
        await wait_until("no task is left", lambda: not left())
    gc.collect()
    await asyncio.sleep(0)
    assert left() == set()
    assert complaints == []


@pytest.fixture
async def broker(
    real_servers: Any, request: pytest.FixtureRequest, nothing_is_left: None
) -> AsyncIterator[Broker]:
    """Yield a broker without queues."""
    broker: Broker = DevelopmentBroker()
    if real_servers is not None:
        broker = RabbitmqBroker(request.getfixturevalue("rabbitmq_node"), real_servers.amqp_url)
    else:
        await broker.start()
    yield broker
    await broker.end()


@pytest.fixture
async def proxy(broker: Broker) -> AsyncIterator[Proxy]:
    """Yield a network before the broker that can fail."""
    proxy = Proxy(broker)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def channel(broker: Broker) -> AsyncIterator[AbstractChannel]:
    """Yield a direct channel to the broker, to declare, inspect and publish like another program."""
    async with aiormq.connect(broker.url.url) as connection:
        yield await connection.channel()


@pytest.fixture
def while_running() -> Callable[[Awaitable[Any]], AbstractAsyncContextManager[asyncio.Task[Any]]]:
    """Run a coroutine during the test. At the end it is cancelled and must finish within four seconds."""

    @asynccontextmanager
    async def running_beside(coroutine: Any) -> AsyncIterator[asyncio.Task[Any]]:
        task = asyncio.create_task(coroutine)
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=4)
            assert task.done(), f"still runs four seconds after it was cancelled: {task}"
            if not task.cancelled():
                task.exception()

    return running_beside


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[[str, Callable[[], object]], Awaitable[None]]:
    """Return the function that waits for a fact and names it in its error."""
    return wait_until


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """Return the list of the entries that are logged through structlog while the test runs."""
    with structlog.testing.capture_logs() as entries:
        yield entries
