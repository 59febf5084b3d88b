import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys

import pytest
from aiormq.exceptions import ChannelPreconditionFailed
from pamqp import commands

from mailpact_devbroker.errors import JournalError
from mailpact_devbroker.journal import Journal
from mailpact_devbroker.service import running

PERSISTENT = commands.Basic.Properties(delivery_mode=2, headers={"kept": True})
WORK = {"x-queue-type": "quorum", "x-delivery-limit": 20}
SERVE = """
import asyncio, socket, sys
from pathlib import Path
from mailpact_devbroker.service import running

async def main():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    async with running(listener, journal=Path(sys.argv[1])) as server:
        Path(sys.argv[2]).write_text(server.url)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def start(tmp_path, journal_file, eventually):
    """Start a broker process on the journal and return it with its URL."""
    started: list[subprocess.Popen] = []

    def spawn(said) -> subprocess.Popen:
        command = [sys.executable, "-c", SERVE, str(journal_file), str(said)]
        with (tmp_path / "broker.log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    async def begin() -> tuple[subprocess.Popen, str]:
        said = tmp_path / f"url{len(started)}"
        started.append(spawn(said))
        await eventually(lambda: said.exists() and said.read_text())
        return started[-1], said.read_text()

    yield begin
    for process in started:
        process.kill()
        process.wait()


def bound() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener


async def test_a_killed_broker_loses_nothing_that_was_confirmed(start, connect, take):
    process, url = await start()
    channel = await (await connect(url)).channel()
    await channel.exchange_declare("email", exchange_type="direct", durable=True)
    await channel.queue_declare("email.work", durable=True, arguments=WORK)
    await channel.queue_bind("email.work", "email", "k")
    await channel.queue_declare("gone")
    publish = (channel.basic_publish(b"%d" % n, exchange="email", routing_key="k") for n in range(1_000))
    confirmed = await asyncio.gather(*publish)
    assert {type(each) for each in confirmed} == {commands.Basic.Ack}

    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, url = await start()

    channel = await (await connect(url)).channel()
    found = [await take(channel, "email.work") for _ in range(1_000)]
    assert [int(message.body) for message in found] == list(range(1_000))
    assert all(message.redelivered for message in found)
    assert (await channel.queue_declare("email.work", durable=True, arguments=WORK)).message_count == 0
    await channel.basic_publish(b"bound", exchange="email", routing_key="k", mandatory=True)
    with pytest.raises(ChannelPreconditionFailed, match="received none but current is '20'"):
        await channel.queue_declare("email.work", durable=True, arguments={"x-queue-type": "quorum"})


async def test_a_stopped_broker_goes_on_where_it_was(journal_file, connect, take):
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    async with running(bound(), journal=journal_file) as server:
        channel = await (await connect(server.url)).channel()
        await channel.queue_declare("dead", durable=True)
        await channel.queue_declare("q", durable=True, arguments=WORK | letters)
        for body in (b"returned", b"acked", b"rejected"):
            await channel.basic_publish(body, routing_key="q", properties=PERSISTENT)
        await channel.basic_publish(b"transient", routing_key="dead")
        _, acked, rejected = [await take(channel, "q", no_ack=False) for _ in range(3)]
        await channel.basic_ack(acked.delivery_tag)
        await channel.basic_reject(rejected.delivery_tag, requeue=False)
        assert (await channel.queue_declare("dead", passive=True)).message_count == 2

    async with running(bound(), journal=journal_file) as server:
        channel = await (await connect(server.url)).channel()
        returned, letter = await take(channel, "q"), await take(channel, "dead")
        left = [(await channel.queue_declare(name, passive=True)).message_count for name in ("q", "dead")]

    assert (returned.body, returned.header.properties.headers["x-delivery-count"]) == (b"returned", 1)
    assert (letter.body, letter.header.properties.headers["x-death"][0]["count"]) == (b"rejected", 1)
    assert left == [0, 0]


async def test_a_cancelled_broker_still_writes_down_what_it_takes_back(journal_file, connect, take):
    ready = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with running(bound(), journal=journal_file) as server:
            ready.set_result(server.url)
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    channel = await (await connect(await ready)).channel()
    await channel.queue_declare("q", durable=True, arguments=WORK)
    await channel.basic_publish(b"m", routing_key="q")
    await take(channel, "q", no_ack=False)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    async with running(bound(), journal=journal_file) as server:
        assert [message.deliveries for message in server.broker.topology.queues["q"].ready] == [1]


async def test_a_letter_that_waits_for_its_target_is_tried_again_after_a_restart(journal_file, connect, take):
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    strategy = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    async with running(bound(), journal=journal_file) as server:
        channel = await (await connect(server.url)).channel()
        await channel.queue_declare("q", durable=True, arguments=WORK | letters | strategy)
        await channel.basic_publish(b"m", routing_key="q")
        await channel.basic_reject((await take(channel, "q", no_ack=False)).delivery_tag, requeue=False)
        assert (await channel.queue_declare("q", passive=True)).message_count == 0

    async with running(bound(), journal=journal_file) as server:
        held = server.broker.topology.queues["q"].held

    assert [(message.publication.body, message.held_for) for message in held] == [(b"m", "rejected")]


async def test_what_was_deleted_stays_deleted(journal_file, connect):
    async with running(bound(), journal=journal_file) as server:
        channel = await (await connect(server.url)).channel()
        await channel.exchange_declare("x", exchange_type="fanout", durable=True)
        for name in ("a", "b"):
            await channel.queue_declare(name, durable=True)
            await channel.queue_bind(name, "x")
        await channel.basic_publish(b"m", exchange="x", properties=PERSISTENT)
        await channel.queue_delete("a")
        await channel.queue_unbind("b", "x")

    async with running(bound(), journal=journal_file) as server:
        topology = server.broker.topology
        assert list(topology.queues) == ["b"]
        assert topology.exchanges["x"].bindings == {}
        assert len(topology.queues["b"].ready) == 1


@pytest.mark.parametrize("harm", ["torn", "foreign database", "not a database", "later schema"])
async def test_a_journal_that_cannot_be_used_is_refused_and_left_alone(journal_file, connect, harm: str):
    if harm in ("torn", "later schema"):
        async with running(bound(), journal=journal_file) as server:
            channel = await (await connect(server.url)).channel()
            await channel.queue_declare("q", durable=True)
            for _ in range(50):
                await channel.basic_publish(b"x" * 1_000, routing_key="q", properties=PERSISTENT)
    if harm == "torn":
        os.truncate(journal_file, journal_file.stat().st_size // 2 // 4_096 * 4_096)
    elif harm == "not a database":
        journal_file.write_bytes(b"dear diary\n" * 100)
    else:
        database = sqlite3.connect(journal_file)
        database.execute(
            "CREATE TABLE mine (id)" if harm == "foreign database" else "PRAGMA user_version = 99"
        )
        database.commit()
        database.close()
    before = journal_file.read_bytes()

    with pytest.raises(JournalError, match=str(journal_file)):
        async with running(bound(), journal=journal_file):
            pytest.fail("started")

    assert journal_file.read_bytes() == before


async def test_a_journal_in_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(JournalError, match="its folder must exist"):
        async with running(bound(), journal=tmp_path / "nowhere" / "journal.db"):
            pytest.fail("started")


async def publish_onto_a_full_disk(journal_file, connect) -> None:
    async with running(bound(), journal=journal_file) as server:
        channel = await (await connect(server.url)).channel()
        await channel.queue_declare("q", durable=True)
        server._journal._database.execute("PRAGMA max_page_count = 8")
        confirmed = await channel.basic_publish(b"x" * 100_000, routing_key="q", properties=PERSISTENT)
        pytest.fail(f"confirmed: {confirmed}")


async def test_a_journal_that_cannot_be_written_confirms_nothing_and_stops_the_broker(journal_file, connect):
    with pytest.raises(ExceptionGroup) as stopped:
        await publish_onto_a_full_disk(journal_file, connect)

    assert stopped.group_contains(JournalError, match="cannot be written: database or disk is full")


def test_commits_reach_the_disk(journal_file):
    with contextlib.closing(Journal(journal_file)) as journal:
        found = [
            journal._database.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")
        ]

    assert found == [("wal",), (2,)]


async def test_a_second_broker_is_kept_off_the_file(journal_file, connect):
    async with running(bound(), journal=journal_file) as server:
        await (await (await connect(server.url)).channel()).queue_declare("q", durable=True)

        with pytest.raises(JournalError, match="no other broker may use it"):
            async with running(bound(), journal=journal_file):
                pytest.fail("started")
