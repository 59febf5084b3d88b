"""Mutated streams: whatever a client sends, the broker runs on in bounded memory, and other clients notice nothing.

`fuzz_seeds.jsonl` holds whole conversations of real clients (aiormq, amqp091-go, amqplib, pika). Each conversation is
broken in a reproducible way: a failing run names the number of its batch. `MAILPACT_TEST_FUZZ_STREAMS` says how many
streams; 10,000 take about a minute.
"""

import asyncio
import contextlib
import json
import os
import random
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import aiormq
import pytest
import structlog

from mailpact_devbroker import frames
from mailpact_devbroker.service import DevBroker, running

STREAMS = int(os.environ.get("MAILPACT_TEST_FUZZ_STREAMS", "300"))
BATCH, AT_A_TIME = 100, 10
MEMORY_MIB = 32  # how much more memory the last nine tenths may take than the first tenth
LIMIT_SECONDS = 15.0
SEEDS = [
    bytes.fromhex(json.loads(line)["sent"])
    for line in (Path(__file__).parent / "fuzz_seeds.jsonl").read_text().splitlines()
]


def pieces(stream: bytes) -> list[bytes]:
    """Cut a stream at its frames; the protocol header is the first piece."""
    cut, at = [stream[:8]], 8
    while at < len(stream):
        end = at + 8 + int.from_bytes(stream[at + 3 : at + 7])
        cut.append(stream[at:end])
        at = end
    return cut


def choose(chance: random.Random, cut: list[bytes]) -> int:
    """Return a frame to break; each kind (method, header, body) is equally likely, though most are methods."""
    kind = chance.choice(sorted({piece[:1] for piece in cut}))
    return chance.choice([at for at, piece in enumerate(cut) if piece[:1] == kind])


Mutation = Callable[[random.Random, list[bytes]], None]


def swap(chance: random.Random, cut: list[bytes]) -> None:
    one, other = chance.randrange(len(cut)), chance.randrange(len(cut))
    cut[one], cut[other] = cut[other], cut[one]


def repeat(chance: random.Random, cut: list[bytes]) -> None:
    cut.insert(chance.randrange(len(cut)), chance.choice(cut))


def leave_out(chance: random.Random, cut: list[bytes]) -> None:
    del cut[chance.randrange(len(cut))]


def splice(chance: random.Random, cut: list[bytes]) -> None:
    cut[chance.randrange(len(cut)) :] = chance.choice(pieces_of_seeds)[4:]


def set_bytes(chance: random.Random, cut: list[bytes]) -> None:
    at = choose(chance, cut)
    broken = bytearray(cut[at])
    for _ in range(chance.choice((1, 1, 2, 8))):
        if broken:
            broken[chance.randrange(len(broken))] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
    cut[at] = bytes(broken)


def resize(chance: random.Random, cut: list[bytes]) -> None:
    """Insert bytes into a frame or remove some, and correct the frame's length: the fault is inside the frame."""
    at = choose(chance, cut)
    payload = cut[at][7:-1]
    place = chance.randrange(len(payload) + 1)
    payload = payload[:place] + chance.randbytes(chance.randrange(6)) + payload[place + chance.randrange(6) :]
    cut[at] = cut[at][:3] + len(payload).to_bytes(4) + payload + b"\xce"


def change_channel(chance: random.Random, cut: list[bytes]) -> None:
    at = choose(chance, cut)
    cut[at] = cut[at][:1] + chance.choice((0, 1, 2, 7, 0xFFFF)).to_bytes(2) + cut[at][3:]


def cut_off(chance: random.Random, cut: list[bytes]) -> None:
    at = chance.randrange(len(cut))
    cut[at:] = [cut[at][: chance.randrange(len(cut[at]) + 1)]]


MUTATIONS: tuple[Mutation, ...] = (
    *(swap, repeat, leave_out, splice, set_bytes, set_bytes, resize, resize, change_channel, cut_off),
)
pieces_of_seeds = [pieces(seed) for seed in SEEDS]


def mutated(chance: random.Random) -> bytes:
    """Return a broken conversation; mostly a frame after the handshake is broken, because there are more of these."""
    whole = list(chance.choice(pieces_of_seeds))
    head = whole[:4] if chance.random() < 0.8 else []
    cut = whole[len(head) :]
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        if cut:
            chance.choice(MUTATIONS)(chance, cut)
    return b"".join(head + cut)


async def send(port: int, stream: bytes) -> None:
    """Send a stream, and read until the broker sends nothing more."""
    with contextlib.suppress(ConnectionError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(stream)
        writer.write_eof()
        async with asyncio.timeout(LIMIT_SECONDS):
            while await reader.read(65_536):
                pass
        writer.close()


async def assert_undisturbed(channel: aiormq.abc.AbstractChannel, arrived: asyncio.Queue[bytes]) -> None:
    """Check that the bystander, a second client, gets a message that it publishes."""
    await channel.basic_publish(b"mine", routing_key="own")
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await arrived.get() == b"mine"


def assert_accounts_are_right(server: DevBroker) -> None:
    queues = server.broker.topology.queues.values()
    messages = [each for queue in queues for each in (*queue.ready, *queue.held, *queue.unacked.values())]
    assert [queue.name for queue in queues if queue.unacked] == []
    assert server.broker.held_bytes == sum(message.held_bytes for message in messages)


async def run_batch(number: int, journal: Path | None) -> None:
    chance = random.Random(number)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    async with running(listener, journal=journal) as server:
        port = int(server.url.rstrip("/").rpartition(":")[2])
        bystander = await aiormq.connect(server.url)
        channel, arrived = await bystander.channel(), asyncio.Queue[bytes]()

        async def arrive(message: aiormq.abc.DeliveredMessage) -> None:
            arrived.put_nowait(message.body)

        await channel.queue_declare("own", exclusive=True)
        await channel.basic_consume("own", arrive, no_ack=True)
        for _ in range(BATCH // AT_A_TIME):
            await asyncio.gather(*(send(port, mutated(chance)) for _ in range(AT_A_TIME)))
            await assert_undisturbed(channel, arrived)
        while len(server._connections) > 1:
            await asyncio.sleep(0.005)
        assert_accounts_are_right(server)
        await bystander.close()


def memory_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


@pytest.mark.timeout(60 + STREAMS // 50)
async def test_no_stream_breaks_the_broker_or_harms_another_client(tmp_path: Path) -> None:
    loop_faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: loop_faults.append(fault))
    batches = max(1, STREAMS // BATCH)
    early = 0.0

    with structlog.testing.capture_logs() as logged:
        for number in range(batches):
            async with asyncio.timeout(60):
                await run_batch(number, tmp_path / f"{number}.db" if number % 2 else None)
            if number == batches // 10:
                early = memory_mib()

    assert [entry for entry in logged if entry["log_level"] in ("error", "critical")] == []
    assert loop_faults == []
    assert memory_mib() - early < MEMORY_MIB


def test_seeds_are_whole_conversations() -> None:
    for seed in SEEDS:
        assert seed.startswith(frames.PREAMBLE)
        assert b"".join(pieces(seed)) == seed
