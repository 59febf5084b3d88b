"""What only an operator can do to a broker: use up its memory, restart it, shorten its retry interval."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import aiormq
import pytest

from mailpact_devbroker import broker
from mailpact_devbroker.service import running
from tests.servers.rabbitmq import Rabbitmq

MEMORY_BYTES = 1024 * 1024
PATIENCE = "rabbit, dead_letter_worker_publisher_confirm_timeout"


class Operator(Protocol):
    """One broker's operator."""

    url: str

    async def fill_memory(self) -> None:
        """Use up the broker's memory, so that publishers must wait."""

    async def free_memory(self) -> None:
        """End the shortage of memory."""

    async def restart(self) -> None:
        """Restart the broker in the orderly way; its `url` may be another one afterwards."""

    async def retry_soon(self) -> None:
        """Shorten the retry interval for dead letters that no queue takes to seconds, at least for new queues."""


class RabbitmqOperator:
    """The operator of a RabbitMQ node that the tests have started."""

    def __init__(self, node: Rabbitmq, url: str) -> None:
        self.url = url
        self._node = node

    async def fill_memory(self) -> None:
        """Raise the memory alarm."""
        await asyncio.to_thread(self._node.raise_memory_alarm)

    async def free_memory(self) -> None:
        """Clear the memory alarm."""
        await asyncio.to_thread(self._node.clear_memory_alarm)

    async def restart(self) -> None:
        """Restart the broker inside its node, which closes queues and connections as the node's own stop does."""
        await asyncio.to_thread(self._node.stop_application)
        await asyncio.to_thread(self._node.start_application)
        while not await asyncio.to_thread(self._node.has_quorum_leaders):
            await asyncio.sleep(0.05)

    async def retry_soon(self) -> None:
        """Change a value that no setting of RabbitMQ names: with 3 s it retries within a second, not after 180 s."""
        await asyncio.to_thread(self._node.call, f"application:set_env({PATIENCE}, 3000)")

    async def leave(self) -> None:
        """Restore RabbitMQ's default, because without a value every queue with dead letters would fail."""
        await asyncio.to_thread(self._node.call, f"application:set_env({PATIENCE}, 180000)")


class DevbrokerOperator:
    """The operator of a development broker with a journal."""

    def __init__(self, journal: Path, patch: pytest.MonkeyPatch) -> None:
        self.url = ""
        self._journal, self._patch = journal, patch
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Start the broker."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        serving = running(listener, journal=self._journal, memory_bytes=MEMORY_BYTES)
        self.url = (await self._stack.enter_async_context(serving)).url

    async def leave(self) -> None:
        """Stop the broker."""
        await self._stack.aclose()

    async def restart(self) -> None:
        """Stop the broker and start it again."""
        await self.leave()
        await self.start()

    async def fill_memory(self) -> None:
        """Publish a message that is larger than the broker's bound on memory."""
        async with self._channel() as channel:
            await channel.queue_declare("ballast")
            await channel.basic_publish(bytes(MEMORY_BYTES), routing_key="ballast")

    async def free_memory(self) -> None:
        """Delete the queue with that message."""
        async with self._channel() as channel:
            await channel.queue_delete("ballast")

    async def retry_soon(self) -> None:
        """Shorten the broker's constant; there is no setting for it."""
        self._patch.setattr(broker, "LETTER_RETRY_SECONDS", 0.6)

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[aiormq.abc.AbstractChannel]:
        connection = await aiormq.connect(self.url)
        yield await connection.channel()
        await connection.close()
