"""Who may do to a broker what no client can: let its memory run out, stop and start it, shorten its patience."""

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
        """Let the broker's memory be full."""

    async def free_memory(self) -> None:
        """Let there be enough memory again."""

    async def restart(self) -> None:
        """Stop the broker in order and start it again, perhaps at another `url`."""

    async def retry_soon(self) -> None:
        """Let letters that no queue takes be tried again within seconds, those of new queues at least."""


class RabbitmqOperator:
    """The operator of a node of our own."""

    def __init__(self, node: Rabbitmq, url: str) -> None:
        self.url = url
        self._node = node

    async def fill_memory(self) -> None:
        """Raise the alarm."""
        await asyncio.to_thread(self._node.raise_memory_alarm)

    async def free_memory(self) -> None:
        """Clear the alarm."""
        await asyncio.to_thread(self._node.clear_memory_alarm)

    async def restart(self) -> None:
        """Stop the broker inside its node, which closes queues and connections as the end of the node does."""
        await asyncio.to_thread(self._node.stop_application)
        await asyncio.to_thread(self._node.start_application)
        while not await asyncio.to_thread(self._node.has_quorum_leaders):
            await asyncio.sleep(0.05)

    async def retry_soon(self) -> None:
        """Set what has no setting in its file; 3 s turn the retry after 180 s into one after less than a second."""
        await asyncio.to_thread(self._node.call, f"application:set_env({PATIENCE}, 3000)")

    async def leave(self) -> None:
        """Set RabbitMQ's default again. Without any value every queue with dead letters would fail."""
        await asyncio.to_thread(self._node.call, f"application:set_env({PATIENCE}, 180000)")


class DevbrokerOperator:
    """The operator of a development broker with a journal."""

    def __init__(self, journal: Path, patch: pytest.MonkeyPatch) -> None:
        self.url = ""
        self._journal, self._patch = journal, patch
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Start it."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        serving = running(listener, journal=self._journal, memory_bytes=MEMORY_BYTES)
        self.url = (await self._stack.enter_async_context(serving)).url

    async def leave(self) -> None:
        """Stop it."""
        await self._stack.aclose()

    async def restart(self) -> None:
        """Stop it and start it again."""
        await self.leave()
        await self.start()

    async def fill_memory(self) -> None:
        """Leave a message that is larger than its bound."""
        async with self._channel() as channel:
            await channel.queue_declare("ballast")
            await channel.basic_publish(bytes(MEMORY_BYTES), routing_key="ballast")

    async def free_memory(self) -> None:
        """Take the message away."""
        async with self._channel() as channel:
            await channel.queue_delete("ballast")

    async def retry_soon(self) -> None:
        """Shorten what is no setting."""
        self._patch.setattr(broker, "LETTER_RETRY_SECONDS", 0.6)

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[aiormq.abc.AbstractChannel]:
        connection = await aiormq.connect(self.url)
        yield await connection.channel()
        await connection.close()
