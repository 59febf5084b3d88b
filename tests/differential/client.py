"""What behaviours use: clients, and helper functions for observations that can be equal on two brokers.

An observation is a JSON value: texts, numbers, true, false, null, lists and objects. Values that must differ are taken
out: the vhost's name, times, and generated texts (consumer tags, names of queues).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from aiormq.exceptions import AMQPError
from pamqp import commands
from pamqp.common import FieldTable

LIMIT_SECONDS = 10.0
QUIET_ROUNDS, ROUND_SECONDS = 40, 0.005  # a queue that is empty so many times stays empty

Observation = str | int | bool | None | Sequence["Observation"] | Mapping[str, "Observation"]
Properties = commands.Basic.Properties
Arguments = Mapping[str, str | int]  # of a queue, as `declare` takes them
QUORUM: FieldTable = {"x-queue-type": "quorum"}


class Client:
    """One vhost of one broker, empty at first. `close` closes every connection that was opened."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.vhost = unquote(urlsplit(url).path[1:]) or "/"
        self._connections: list[AbstractConnection] = []

    def move_to(self, url: str) -> None:
        """Use another URL for new connections."""
        self.url = url

    async def connect(self, url: str | None = None) -> AbstractConnection:
        """Open another connection."""
        connection = await asyncio.wait_for(aiormq.connect(url or self.url), LIMIT_SECONDS)
        self._connections.append(connection)
        return connection

    async def channel(self) -> AbstractChannel:
        """Open a channel with confirms on another connection."""
        return await (await self.connect()).channel(on_return_raises=True)

    async def close(self) -> None:
        """Close all connections, whatever state they are in."""
        for connection in self._connections:
            with contextlib.suppress(Exception, asyncio.CancelledError):  # a behaviour may have broken it
                await asyncio.wait_for(connection.close(), LIMIT_SECONDS)

    async def refusal(self, asked: Awaitable[object]) -> Observation:
        """Return how the broker refuses a request: what it closes, with which code and text."""
        try:
            await asyncio.wait_for(asked, LIMIT_SECONDS)
        except AMQPError as error:
            return f"{type(error).__name__}: {self.neutral(_text(error))}"
        return "accepted"

    async def kind_of_refusal(self, asked: Awaitable[object]) -> Observation:
        """Return only what the broker closes, for a text that no program reads."""
        return str(await self.refusal(asked)).partition(":")[0]

    def neutral(self, text: str) -> str:
        """Replace the vhost's name in a text by `/`."""
        return text.replace(f"vhost '{self.vhost}'", "vhost '/'")


class Inbox:
    """A consumer's callback that keeps the deliveries."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()

    async def __call__(self, message: DeliveredMessage) -> None:
        """Keep a delivery."""
        await self._arrived.put(message)

    async def next(self) -> DeliveredMessage:
        """Wait for the next delivery."""
        return await asyncio.wait_for(self._arrived.get(), LIMIT_SECONDS)

    async def bodies(self, count: int) -> Observation:
        """Wait for some deliveries and return their bodies."""
        return [text(await self.next()) for _ in range(count)]

    async def rest(self, channel: AbstractChannel, queue: str = "q") -> Observation:
        """Return the bodies of all deliveries until no more come."""
        found: list[Observation] = []
        vain = 0
        while vain < QUIET_ROUNDS:
            await channel.queue_declare(queue, passive=True)  # the broker sends deliveries before this answer
            vain = 0 if not self._arrived.empty() else vain + 1
            while not self._arrived.empty():
                found.append(text(self._arrived.get_nowait()))
            await asyncio.sleep(ROUND_SECONDS)
        return found


async def declare(channel: AbstractChannel, queue: str = "q", /, **arguments: str | int) -> None:
    """Declare a durable queue; `dead_letter_exchange` becomes `x-dead-letter-exchange`."""
    named: FieldTable = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    await channel.queue_declare(queue, durable=True, arguments=named)


async def put(channel: AbstractChannel, *bodies: str, queue: str = "q", **properties: Any) -> None:
    """Publish bodies to a queue one by one, each after the confirm of the one before."""
    for body in bodies:
        await channel.basic_publish(
            body.encode(), routing_key=queue, properties=Properties(delivery_mode=2, **properties)
        )


async def take(channel: AbstractChannel, *queues: str, no_ack: bool = False) -> DeliveredMessage:
    """Wait for the next message of a queue, `q` by default; of several queues, use the first that has a message."""
    ends = asyncio.get_running_loop().time() + LIMIT_SECONDS
    while asyncio.get_running_loop().time() < ends:
        for queue in queues or ("q",):
            message = await channel.basic_get(queue, no_ack=no_ack)
            if isinstance(message.delivery, commands.Basic.GetOk):
                return message
        await asyncio.sleep(ROUND_SECONDS)
    raise TimeoutError(f"nothing comes to {queues or 'q'}")


async def drain(channel: AbstractChannel, queue: str = "q") -> Observation:
    """Take messages from a queue until no more come, and return the bodies."""
    found: list[Observation] = []
    vain = 0
    while vain < QUIET_ROUNDS:
        message = await channel.basic_get(queue, no_ack=True)
        if isinstance(message.delivery, commands.Basic.GetOk):
            found.append(text(message))
            vain = 0
        else:
            vain += 1
            await asyncio.sleep(ROUND_SECONDS)
    return found


async def drained(channel: AbstractChannel, queues: Iterable[str]) -> Observation:
    """Drain several queues at the same time; return the bodies by queue."""
    names = list(queues)
    bodies = await asyncio.gather(*(drain(channel, queue) for queue in names))
    return dict(zip(names, bodies, strict=True))


async def ready(channel: AbstractChannel, queue: str = "q") -> int:
    """Return how many messages are ready in a queue, once no more come."""
    for _ in range(QUIET_ROUNDS):
        counted = await channel.queue_declare(queue, passive=True)
        await asyncio.sleep(ROUND_SECONDS)
    return counted.message_count or 0


async def until(is_so: Callable[[], Awaitable[bool]]) -> bool:
    """Wait until the condition is true; return False if it does not become true in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LIMIT_SECONDS / 2):
            while not await is_so():
                await asyncio.sleep(0.01)
            return True
    return False


async def exists(client: Client, queue: str) -> bool:
    """Return whether there is a queue of that name."""
    async with passing_channel(client) as channel:
        return await client.kind_of_refusal(channel.queue_declare(queue, passive=True)) == "accepted"


@asynccontextmanager
async def passing_channel(client: Client) -> AsyncIterator[AbstractChannel]:
    """Yield a channel on a connection that is closed afterwards."""
    connection = await client.connect()
    yield await connection.channel()
    with contextlib.suppress(AMQPError, asyncio.CancelledError):
        await connection.close()


def taken(message: DeliveredMessage) -> commands.Basic.GetOk:
    """Return the fields of basic.get-ok for a message."""
    assert isinstance(message.delivery, commands.Basic.GetOk)
    return message.delivery


def text(message: DeliveredMessage) -> str:
    """Return a message's body."""
    return message.body.decode()


def seen(message: DeliveredMessage) -> Observation:
    """Return all that a consumer sees of a message."""
    delivery, properties = message.delivery, message.header.properties
    assert isinstance(delivery, commands.Basic.Deliver | commands.Basic.GetOk)
    return {
        "body": text(message),
        "exchange": delivery.exchange,
        "routing_key": delivery.routing_key,
        "redelivered": delivery.redelivered,
        "expiration": properties.expiration,
        "headers": timeless(properties.headers or {}),
    }


def headers(message: DeliveredMessage) -> Observation:
    """Return a message's headers."""
    return timeless(message.header.properties.headers or {})


def timeless(value: Any) -> Observation:
    """Replace each time, which differs between two runs, by the text `a time`."""
    match value:
        case dict():
            return {name: timeless(each) for name, each in value.items()}
        case list():
            return [timeless(each) for each in value]
        case datetime():
            return "a time"
        case bytes() | bytearray():
            return value.decode("latin-1")
        case _:
            found: Observation = value
            return found


def _text(error: BaseException) -> str:
    return next((argument for argument in error.args if isinstance(argument, str)), "")
