"""Fixtures: a broker with the topology and dead letters, and the command as a process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import aiormq
import pytest
from pamqp import commands

from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from mailpact_devbroker.service import running as devbroker_running
from tests import command


@pytest.fixture
async def amqp_url(real_servers: Any) -> AsyncIterator[str]:
    """Yield the AMQP URL of a broker without queues."""
    if real_servers is not None:
        yield real_servers.amqp_url
        return
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0)
    async with devbroker_running(listener, journal=None) as broker:
        yield broker.url


@dataclass(frozen=True)
class Broker:
    """A broker with our topology."""

    url: str

    async def publish(self, body: bytes, *, exchange: str, routing_key: str = "", **properties: Any) -> None:
        """Publish one persistent message."""
        async with aiormq.connect(self.url) as connection:
            channel = await connection.channel()
            await channel.basic_publish(
                body,
                exchange=exchange,
                routing_key=routing_key,
                properties=commands.Basic.Properties(delivery_mode=2, **properties),
                mandatory=True,
            )

    async def letter(self, message_id: str, code: str, died_at: datetime | None = None, **more: Any) -> None:
        """Put a letter into the queue of dead letters, as the consumer writes it."""
        headers = {
            "x-error-code": code,
            "x-error-detail": f"detail of {code}",
            "x-error-time": died_at or datetime.now(UTC),  # the letter is new by default
            **more,
        }
        await self.publish(b'{"secret": 1}', exchange="email.dlx", message_id=message_id, headers=headers)

    async def take(self, queue: str) -> list[Any]:
        """Take all messages out of a queue."""
        taken = []
        async with aiormq.connect(self.url) as connection:
            channel = await connection.channel()
            while (got := await channel.basic_get(queue, no_ack=True)).delivery_tag is not None:
                taken.append(got)
        return taken

    async def ids(self, queue: str) -> list[str]:
        """Take all messages out of a queue, and return their ids in order."""
        return [message.header.properties.message_id for message in await self.take(queue)]


@pytest.fixture
async def broker(amqp_url: str) -> Broker:
    """Return the broker with our topology."""
    async with aiormq.connect(amqp_url) as connection:
        await declare_all(connection, catalogue.load().topology)
    return Broker(amqp_url)


@pytest.fixture
def dead(amqp_url: str, tmp_path: Path) -> Callable[..., Awaitable[CompletedProcess[str]]]:
    """Run `mailpact dead …` to its end."""

    async def run(*words: str) -> CompletedProcess[str]:
        job = partial(command.run, "dead", *words, "--amqp-url", amqp_url, cwd=tmp_path)
        return await asyncio.to_thread(job)

    return run
