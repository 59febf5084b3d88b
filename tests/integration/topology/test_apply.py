"""`mailpact topology apply` on both brokers."""

import asyncio
import socket
import time

import aiormq
import pytest

from mailpact.contracts import catalogue
from tests.timing import at_most

TOPOLOGY = catalogue.load().topology
NAMES = [
    *(f"exchange {exchange.name}" for exchange in TOPOLOGY.exchanges),
    *(f"queue {queue.name}" for queue in TOPOLOGY.queues),
]


def lines(stdout: str, word: str) -> list[str]:
    """Return the rest of each line that begins with this word."""
    return [line.removeprefix(word).strip() for line in stdout.splitlines() if line.startswith(word)]


async def test_makes_everything_once_and_then_finds_it(broker_url, run) -> None:
    first = await asyncio.to_thread(run, "topology", "apply", "--amqp-url", broker_url)
    second = await asyncio.to_thread(run, "topology", "apply", "--amqp-url", broker_url)

    assert (first.returncode, first.stderr) == (0, "")
    assert (second.returncode, second.stderr) == (0, "")
    assert (lines(first.stdout, "made"), lines(first.stdout, "found")) == (NAMES, [])
    assert (lines(second.stdout, "made"), lines(second.stdout, "found")) == ([], NAMES)
    assert len(lines(second.stdout, "bound")) == len(TOPOLOGY.bindings)


async def test_routes_as_the_topology_says(broker_url, run) -> None:
    await asyncio.to_thread(run, "topology", "apply", "--amqp-url", broker_url)

    async with aiormq.connect(broker_url) as connection:
        channel = await connection.channel()
        await channel.basic_publish(b"{}", exchange="email", routing_key="email", mandatory=True)
        await channel.basic_publish(b"{}", exchange="email", routing_key="", mandatory=True)
        await channel.basic_publish(b"{}", exchange="email.dlx", mandatory=True)
        counts = [
            (await channel.queue_declare(name, passive=True)).message_count
            for name in ("email.work", "email.dead")
        ]

    assert counts == [2, 1]


async def test_says_what_differs_and_makes_nothing(broker_url, run) -> None:
    async with aiormq.connect(broker_url) as connection:
        channel = await connection.channel()
        await channel.queue_declare("email.work", durable=True)

    done = await asyncio.to_thread(run, "topology", "apply", "--amqp-url", broker_url)

    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing was created" in done.stderr
    assert "'email.work'" in done.stderr
    async with aiormq.connect(broker_url) as connection:
        channel = await connection.channel()
        with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity):
            await channel.queue_declare("email.dead", passive=True)


async def test_public_exchange_of_another_kind_is_used_as_found(broker_url, run) -> None:
    async with aiormq.connect(broker_url) as connection:
        channel = await connection.channel()
        await channel.exchange_declare("email", exchange_type="fanout", durable=True)

    done = await asyncio.to_thread(run, "topology", "apply", "--amqp-url", broker_url)

    assert (done.returncode, done.stderr) == (0, "")
    assert "exchange email, of another type, used as it is" in done.stdout


@pytest.mark.parametrize("answers", [False, True], ids=["nobody listens", "who listens says nothing"])
def test_exits_3_within_ten_seconds_when_the_broker_cannot_be_reached(run, answers) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if answers:
            silent.listen()
        port = silent.getsockname()[1]
        began = time.monotonic()

        done = run("topology", "apply", "--amqp-url", f"amqp://u:secret@127.0.0.1:{port}/")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("mailpact: ")
    assert "secret" not in done.stderr
    assert time.monotonic() - began < at_most(10)
