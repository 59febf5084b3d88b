"""Fixtures: a broker with the whole topology, shippers in this process, and the command in a process of its own."""

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiormq
import pytest
from aiormq.abc import DeliveredMessage

from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from mailpact.settings import AmqpUrl
from mailpact_cli.log_shipping import LogShipper
from mailpact_devbroker.service import running as devbroker_running
from tests import command

PATIENCE_SECONDS = 50
Run = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]


def line(event: str, *, at: str = "09:00:00", level: str = "info", **members: object) -> tuple[str, str]:
    """Return a record in the form that `LogShipper.take` expects."""
    record = {"timestamp": f"2026-11-24T{at}Z", "level": level, "event": event, **members}
    return level, json.dumps(record)


@pytest.fixture
async def amqp_url(real_servers: Any) -> AsyncIterator[str]:
    """Yield the AMQP URL of a broker without queues."""
    if real_servers is not None:
        yield real_servers.amqp_url
        return
    listener = socket.create_server(("127.0.0.1", 0))
    async with devbroker_running(listener, journal=None) as broker:
        yield broker.url


@pytest.fixture
async def broker(amqp_url: str) -> "Broker":
    """Return the broker with our topology."""
    async with aiormq.connect(amqp_url) as connection:
        await declare_all(connection, catalogue.load().topology)
    return Broker(amqp_url)


@pytest.fixture
def run(amqp_url: str, tmp_path: Path) -> Run:
    """Run `mailpact …` on the broker to its end."""

    async def run_to_the_end(*words: str) -> subprocess.CompletedProcess[str]:
        job = partial(command.run, *words, cwd=tmp_path, seconds=150, MAILPACT_AMQP_URL=amqp_url)
        return await asyncio.to_thread(job)

    return run_to_the_end


class Broker:
    """A broker with our topology."""

    def __init__(self, url: str) -> None:
        self.url = url

    def shipper(self, service: str, url: str = "") -> LogShipper:
        """Return a shipper to this broker."""
        return LogShipper(AmqpUrl.parse(url or self.url), service)

    async def ship(self, service: str, *records: tuple[str, str]) -> None:
        """Ship records, and wait until the broker has them."""
        shipper = self.shipper(service)
        for record in records:
            shipper.take(*record)
        async with shipper.shipping():
            await until(lambda: shipper.shipped == len(records))

    async def take(self, count: int, queue: str = "logs.all") -> list[DeliveredMessage]:
        """Return that many messages of a queue, waiting for them."""
        taken: list[DeliveredMessage] = []
        async with aiormq.connect(self.url) as connection, asyncio.timeout(PATIENCE_SECONDS):
            channel = await connection.channel()
            while len(taken) < count:
                got = await channel.basic_get(queue, no_ack=True)
                if got.delivery_tag is None:
                    await asyncio.sleep(0.02)
                else:
                    taken.append(got)
        return taken

    async def waiting(self, queue: str = "logs.all") -> int:
        """Return how many messages are in a queue."""
        async with aiormq.connect(self.url) as connection:
            channel = await connection.channel()
            return (await channel.queue_declare(queue, passive=True)).message_count or 0


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def started(*words: str, cwd: Path, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `mailpact …` until the context ends; it writes to `cwd/out` and `cwd/err`."""
    with (cwd / "out").open("wb") as out, (cwd / "err").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *command.MAILPACT,
            *words,
            cwd=cwd,
            env=command.environment(**variables),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
