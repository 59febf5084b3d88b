"""The broker for the program under test: the development broker in its own process, or a broker named by a URL.

The kit declares the contract's topology before the program starts, reads dead letters through a queue of its own, and
refuses a broker whose queues are in use. Otherwise the kit could mistake other messages for messages of the program,
and other programs could receive messages of the kit.
"""

import asyncio
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from aiormq.exceptions import AMQPError
from pamqp import commands

from mailpact.amqp.errors import BrokerError
from mailpact.amqp.supervisor import dial, hang_up
from mailpact.amqp.topology import declare_all
from mailpact.contracts.catalogue import QueueBinding, Topology
from mailpact.settings import AmqpUrl
from mailpact_kit.changes import Changes
from mailpact_kit.errors import InfrastructureDown
from mailpact_kit.frames import named_properties
from mailpact_kit.messages import Letter, Sent
from mailpact_kit.process import Process

START_SECONDS = 30
REQUEST_SECONDS = 10
LOOK_AGAIN_SECONDS = 0.05
MAX_LETTERS = 10_000
_READY = re.compile(r"development broker on (amqp://\S+)")


class Broker:
    """The kit's own connection to the broker, which bypasses the tap."""

    def __init__(self, url: AmqpUrl, topology: Topology, exchange: str, changes: Changes) -> None:
        self.url = url
        self.letters: list[Letter] = []
        self._letters_by_id: dict[object, list[Letter]] = defaultdict(list)
        self.queue, self.dead_exchange, self._dead_queue = _names(topology, exchange)
        self._topology = topology
        self._exchange = exchange
        self._changes = changes
        self._channel: AbstractChannel | None = None
        self._connection: AbstractConnection | None = None

    async def open(self, connection: AbstractConnection) -> None:
        """Declare the topology and begin to read dead letters; raises InfrastructureDown if the queues are in use."""
        self._connection = connection
        await declare_all(connection, self._topology)
        async with asyncio.timeout(REQUEST_SECONDS):
            self._channel = await connection.channel(publisher_confirms=True)
        for queue in (self.queue, self._dead_queue):
            found = await self._look(queue)
            if found.message_count or found.consumer_count:
                raise InfrastructureDown(
                    f"the queue {queue} is in use: {found.message_count} messages, {found.consumer_count} consumers; "
                    "the kit needs a broker, or a virtual host, to itself"
                )
        await self._read_letters(self._channel)

    async def publish(self, sent: Sent) -> None:
        """Publish a message as its writer would, and wait for the confirm."""
        await self._opened().basic_publish(
            sent.body,
            exchange=self._exchange,
            routing_key="",
            properties=_basic_properties(sent.properties),
            mandatory=True,
            timeout=REQUEST_SECONDS,
        )

    async def read_all_letters(self) -> None:
        """Return when every dead letter that was confirmed until now has been read, by waiting for a marker message."""
        marker = str(uuid4())
        await self._opened().basic_publish(
            b"",
            exchange=self.dead_exchange,
            properties=commands.Basic.Properties(message_id=marker, delivery_mode=1),
            timeout=REQUEST_SECONDS,
        )
        await self._changes.wait_for(lambda: marker in self._letters_by_id, seconds=REQUEST_SECONDS)

    def letters_about(self, sent: Sent) -> list[Letter]:
        """Return the dead letters of a message, found by its id, or by its nonce if a letter has no id."""
        nameless = [letter for letter in self._letters_by_id.get(None, ()) if letter.is_about(sent)]
        return [*self._letters_by_id.get(sent.message_id, ()), *nameless]

    async def consumers(self) -> int:
        """Return how many consumers the queue has."""
        return (await self._look(self.queue)).consumer_count or 0

    async def unbind(self) -> None:
        """Unbind the queue from the exchange. After this, published messages reach no queue."""
        for route in self._routes():
            await self._opened().queue_unbind(
                route.queue, route.exchange, route.routing_key, timeout=REQUEST_SECONDS
            )

    async def bind(self) -> None:
        """Bind the queue to the exchange again."""
        for route in self._routes():
            await self._opened().queue_bind(
                route.queue, route.exchange, route.routing_key, timeout=REQUEST_SECONDS
            )

    async def delete_queue(self) -> None:
        """Delete the program's queue; the broker cancels the queue's consumers."""
        await self._opened().queue_delete(self.queue, timeout=REQUEST_SECONDS)

    async def declare(self) -> None:
        """Declare the topology again."""
        assert self._connection is not None  # noqa: S101  # `open` was called before
        await declare_all(self._connection, self._topology)

    def _routes(self) -> list[QueueBinding]:
        return [
            each
            for each in self._topology.bindings
            if (each.exchange, each.queue) == (self._exchange, self.queue)
        ]

    async def leave(self) -> None:
        """Wait until the program's consumers have ended, then purge the queues, which were empty before the run."""
        async with asyncio.timeout(REQUEST_SECONDS):
            while await self.consumers():  # noqa: ASYNC110  # a broker sends no notification when a consumer ends
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
        for queue in (each.name for each in self._topology.queues):
            await self._opened().queue_purge(queue, timeout=REQUEST_SECONDS)

    async def _look(self, queue: str) -> commands.Queue.DeclareOk:
        return await self._opened().queue_declare(queue, passive=True, timeout=REQUEST_SECONDS)

    async def _read_letters(self, channel: AbstractChannel) -> None:
        declared = await channel.queue_declare("", exclusive=True, auto_delete=True, timeout=REQUEST_SECONDS)
        queue = declared.queue or ""
        await channel.queue_bind(queue, self.dead_exchange, timeout=REQUEST_SECONDS)
        await channel.basic_consume(queue, self._keep_letter, no_ack=True, timeout=REQUEST_SECONDS)

    async def _keep_letter(self, message: DeliveredMessage) -> None:
        if len(self.letters) < MAX_LETTERS:
            properties = message.header.properties
            letter = Letter(named_properties(properties), message.body)
            self.letters.append(letter)
            self._letters_by_id[letter.properties.get("message_id")].append(letter)
            self._changes.notify()

    def _opened(self) -> AbstractChannel:
        if self._channel is None:
            raise InfrastructureDown("the kit has no channel to the broker")
        return self._channel


@asynccontextmanager
async def running(
    url: AmqpUrl | None, topology: Topology, exchange: str, *, variables: Mapping[str, str], changes: Changes
) -> AsyncIterator[Broker]:
    """Return the broker with the topology declared; without a URL, a development broker. Raises InfrastructureDown."""
    async with AsyncExitStack() as stack:
        if url is None:
            url = await stack.enter_async_context(_devbroker(variables, changes))
        broker = Broker(url, topology, exchange, changes)
        try:
            connection = await dial(url, "contract-tests")
            stack.push_async_callback(hang_up, connection)
            await broker.open(connection)
        except (BrokerError, AMQPError, OSError, TimeoutError) as error:
            raise InfrastructureDown(f"the broker {url} cannot be used: {error}") from error
        try:
            yield broker
        finally:
            await _leave(broker)


async def _leave(broker: Broker) -> None:
    try:
        await broker.leave()
    except (AMQPError, OSError, TimeoutError) as error:
        raise InfrastructureDown(f"the broker {broker.url} was lost: {error}") from error


@asynccontextmanager
async def _devbroker(variables: Mapping[str, str], changes: Changes) -> AsyncIterator[AmqpUrl]:
    command = [sys.executable, "-m", "mailpact_cli", "devbroker", "--listen", "127.0.0.1:0"]
    own = {name: text for name, text in variables.items() if not name.startswith("MAILPACT_")}
    process = await Process.start(command, own, changes)
    try:
        yield await _told_url(process, changes)
    finally:
        await process.stop()


async def _told_url(process: Process, changes: Changes) -> AmqpUrl:
    def found() -> re.Match[str] | None:
        return _READY.search("\n".join(process.tail(10)))

    await changes.wait_for(lambda: found() or process.exit_code is not None, seconds=START_SECONDS)
    ready = found()
    if ready is None:
        raise InfrastructureDown("the development broker does not start:\n" + "\n".join(process.tail(20)))
    return AmqpUrl.parse(ready[1])


def _names(topology: Topology, exchange: str) -> tuple[str, str, str]:
    """Return the names of the queue behind the exchange, of the exchange for its dead letters, and of their queue."""
    queue = next(binding.queue for binding in topology.bindings if binding.exchange == exchange)
    arguments = next(row.arguments for row in topology.queues if row.name == queue)
    dead_exchange = str(arguments["x-dead-letter-exchange"])
    dead_queue = next(binding.queue for binding in topology.bindings if binding.exchange == dead_exchange)
    return queue, dead_exchange, dead_queue


def _basic_properties(properties: Mapping[str, object]) -> commands.Basic.Properties:
    named = {"message_type" if name == "type" else name: value for name, value in properties.items()}
    return commands.Basic.Properties(**named)  # type: ignore[arg-type]  # pamqp checks each value when it encodes the value
