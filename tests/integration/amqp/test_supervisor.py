import asyncio
import socket
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

import pytest
from aiormq.abc import AbstractConnection
from pamqp import commands
from pamqp.frame import marshal

from mailpact.amqp import supervisor as supervisor_module
from mailpact.amqp.errors import AccessRefused, BrokerLost, BrokerUnreachable, TopologyMismatch, talking
from mailpact.amqp.supervisor import Supervisor, dial, hang_up
from mailpact.settings import AmqpUrl


class Sessions:
    """Sessions that only wait, and the counts of begun and ended ones; `report_up` reports each as working."""

    def __init__(self, url: AmqpUrl) -> None:
        self.supervisor = Supervisor(url, "test", uniform=lambda low, _: low)
        self.begun = 0
        self.ended = 0

    async def run(self) -> NoReturn:
        await self.supervisor.run(self._session)

    async def _session(self, connection: AbstractConnection) -> NoReturn:
        self.begun += 1
        self.supervisor.report_up()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended += 1
        raise AssertionError


def events(logged: Any) -> list[str]:
    """Return the frames that the client sent."""
    return [entry["event"] for entry in logged if "role" in entry]


def reasons(logged: Any) -> list[str]:
    return [entry["reason"] for entry in logged if entry["event"] in (LOST, AWAY, REFUSED)]


LOST, BACK = "connection to the broker lost, trying again", "connection to the broker restored"
AWAY, REFUSED = "cannot connect to the broker, trying again", "the broker refuses access, trying again"


async def test_a_lost_connection_is_made_again_and_said_once_each_way(
    proxy: Any, while_running: Any, wait_until: Any, logged: Any
) -> None:
    sessions = Sessions(proxy.url())
    async with while_running(sessions.run()):
        await wait_until("it works", lambda: sessions.begun == 1)
        proxy.cut()
        await wait_until("it works again", lambda: sessions.begun == 2)

        assert sessions.ended == 1
        assert events(logged) == [LOST, BACK]


async def test_a_broker_that_is_away_for_long_is_said_once(
    broker: Any, while_running: Any, wait_until: Any, logged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled = 0

    async def counting(url: AmqpUrl, role: str) -> Any:
        nonlocal dialled
        dialled += 1
        return await dial(url, role)

    monkeypatch.setattr(supervisor_module, "dial", counting)
    sessions = Sessions(broker.url)
    async with while_running(sessions.run()):
        await wait_until("it works", lambda: sessions.begun == 1)
        await broker.stop()
        await wait_until("it has dialled in vain", lambda: dialled >= 5)
        assert events(logged).count(LOST) == 1
        await broker.start()
        await wait_until("it works again", lambda: sessions.begun == 2)

        assert events(logged) == [LOST, BACK]


async def test_a_broker_that_is_away_at_the_start_is_waited_for(
    broker: Any, while_running: Any, wait_until: Any, logged: Any
) -> None:
    await broker.stop()
    sessions = Sessions(broker.url)
    async with while_running(sessions.run()):
        await wait_until("it has dialled in vain", lambda: AWAY in events(logged))
        await broker.start()

        await wait_until("it works", lambda: sessions.begun == 1)


async def test_a_frozen_peer_is_noticed_by_its_heartbeat_and_never_taken_for_a_stop(
    proxy: Any, while_running: Any, wait_until: Any, logged: Any
) -> None:
    sessions = Sessions(proxy.url("heartbeat=1"))
    async with while_running(sessions.run()) as task:
        await wait_until("it works", lambda: sessions.begun == 1)
        proxy.freeze()
        await wait_until("the loss is noticed", lambda: LOST in events(logged))
        proxy.thaw()
        await wait_until("it works again", lambda: sessions.begun == 2)

        assert not task.done()
        assert reasons(logged) == ["the broker stopped answering heartbeats"]


async def test_a_wrong_password_is_named_and_tried_again(
    broker: Any, while_running: Any, wait_until: Any, logged: Any
) -> None:
    await broker.stop()
    await broker.start(password="changed")
    sessions = Sessions(broker.url)
    async with while_running(sessions.run()):
        await wait_until("it is said", lambda: REFUSED in events(logged))
        await broker.stop()
        await broker.start()
        await wait_until("it works", lambda: sessions.begun == 1)

    assert [entry["log_level"] for entry in logged if entry["event"] == REFUSED] == ["error"]
    assert reasons(logged)[0].startswith("403 ACCESS_REFUSED - ")
    assert reasons(logged)[0].endswith("check the user, password and virtual host in the broker's URL")


@pytest.mark.parametrize(
    "real_servers", [()], indirect=True, ids=["embedded"]
)  # only a running RabbitMQ can change a password
async def test_a_password_that_is_changed_during_an_outage_is_said_too(
    broker: Any, while_running: Any, wait_until: Any, logged: Any
) -> None:
    sessions = Sessions(broker.url)
    async with while_running(sessions.run()):
        await wait_until("it works", lambda: sessions.begun == 1)
        await broker.stop()
        await wait_until("the loss is said", lambda: events(logged).count(LOST) == 1)
        await broker.start(password="changed")
        await wait_until("the refusal is said", lambda: events(logged).count(REFUSED) == 1)

    assert "403 ACCESS_REFUSED" in reasons(logged)[1]


async def test_a_wrong_topology_passes_through(broker: Any) -> None:
    async def session(_: AbstractConnection) -> NoReturn:
        raise TopologyMismatch("as the broker said")

    with pytest.raises(TopologyMismatch, match="as the broker said"):
        await Supervisor(broker.url, "test").run(session)


async def test_a_bug_in_a_session_is_loud(broker: Any) -> None:
    async def session(_: AbstractConnection) -> NoReturn:
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        await Supervisor(broker.url, "test").run(session)


async def test_a_bug_in_a_sessions_cleaning_up_is_loud(broker: Any, wait_until: Any) -> None:
    waiting = asyncio.Event()

    async def session(_: AbstractConnection) -> NoReturn:
        try:
            waiting.set()
            await asyncio.get_running_loop().create_future()
        finally:
            raise LookupError("a bug in cleaning up")

    task = asyncio.create_task(Supervisor(broker.url, "test").run(session))
    await waiting.wait()
    task.cancel()

    with pytest.raises(LookupError, match="a bug in cleaning up"):
        await task


async def test_a_session_that_keeps_failing_says_so_once_and_is_not_hammered(
    broker: Any, while_running: Any, wait_until: Any, logged: Any
) -> None:
    waits: list[float] = []

    def longest(_: float, high: float) -> float:
        waits.append(high)
        return 0.0

    async def session(_: AbstractConnection) -> NoReturn:
        raise BrokerLost("403 ACCESS_REFUSED")

    async with while_running(Supervisor(broker.url, "test", uniform=longest).run(session)):
        await wait_until("it has failed four times", lambda: len(waits) >= 4)

        assert waits[:4] == [0.2, 0.4, 0.8, 1.6]
        assert events(logged) == [LOST]


@pytest.mark.parametrize("moment", ["dialling", "open", "waiting"])
async def test_cancelled_it_ends_quickly_and_closes_the_connection(
    moment: str, broker: Any, proxy: Any, wait_until: Any, logged: Any
) -> None:
    sessions = Sessions(proxy.url())
    if moment == "dialling":
        proxy.freeze()
    if moment == "waiting":
        await broker.stop()
    task = asyncio.create_task(sessions.run())
    match moment:
        case "dialling":
            await wait_until("it dials", lambda: proxy.connections == 1)
        case "open":
            await wait_until("it works", lambda: sessions.begun == 1)
        case _:
            await wait_until("it waits", lambda: AWAY in events(logged))
    task.cancel()
    async with asyncio.timeout(3):
        with pytest.raises(asyncio.CancelledError):
            await task

    assert sessions.ended == sessions.begun
    proxy.thaw()
    if moment == "open":
        await wait_until("the broker has no connection", lambda: not broker.has_connections())


async def test_cancelled_at_any_moment_of_dialling_it_leaves_no_connection(
    broker: Any, wait_until: Any
) -> None:
    for turns in range(60):
        dialling = asyncio.create_task(dial(broker.url, "test"))
        for _ in range(turns):
            await asyncio.sleep(0)
        if dialling.cancel():
            with pytest.raises(asyncio.CancelledError):
                await dialling
        else:
            await hang_up(await dialling)

    await wait_until("the broker has no connection", lambda: not broker.has_connections())


async def test_cancelled_while_it_hangs_up_on_a_dead_connection_it_ends(proxy: Any) -> None:
    begun, ending = asyncio.Event(), asyncio.Event()

    async def session(_: AbstractConnection) -> NoReturn:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ending.set()
            await asyncio.sleep(0.2)  # the session needs time to clean up
        raise AssertionError

    task = asyncio.create_task(Supervisor(proxy.url(), "test").run(session))
    await begun.wait()
    proxy.cut()
    await ending.wait()
    task.cancel()

    async with asyncio.timeout(4):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_session_that_loses_its_cancellation_is_asked_again(broker: Any) -> None:
    """In Python 3.11 `asyncio.wait_for` loses a cancellation that comes together with the answer (bpo-37658)."""
    asked = 0
    begun = asyncio.Event()

    async def session(_: AbstractConnection) -> NoReturn:
        nonlocal asked
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        asked += 1
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    task = asyncio.create_task(Supervisor(broker.url, "test").run(session))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert asked == 1


async def test_a_frozen_broker_with_full_buffers_is_hung_up_on_in_bounded_time(
    proxy: Any, wait_until: Any
) -> None:
    connection = await dial(proxy.url(), "test")
    channel = await connection.channel(publisher_confirms=False)
    proxy.freeze()
    sending = [asyncio.create_task(channel.basic_publish(bytes(1_000_000), exchange="")) for _ in range(20)]
    await wait_until(
        "the writer is stuck",
        lambda: connection.frames.writer.transport.get_write_buffer_size() > 100_000,
    )

    async with asyncio.timeout(4):
        await hang_up(connection)
        ends = await asyncio.gather(*sending, return_exceptions=True)

    assert connection.is_closed
    assert {type(end) for end in ends} > {type(None)}


@pytest.mark.parametrize(
    "answer",
    [b"", b"220 mail.example ESMTP\r\n", b"HTTP/1.1 400 Bad\r\n\r\n", b"AMQP\x01\x01\x00\x09", bytes(64)],
)
async def test_who_is_no_broker_is_unreachable(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BrokerUnreachable):
            await dial(AmqpUrl.parse(f"amqp://guest:guest@127.0.0.1:{port}/"), "test")


async def test_who_accepts_and_says_nothing_is_unreachable_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor_module, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with asyncio.timeout(4):
            with pytest.raises(BrokerUnreachable, match="does not answer in time"):
                await dial(AmqpUrl.parse(f"amqp://guest:guest@127.0.0.1:{port}/"), "test")


async def test_nobody_there_is_unreachable(broker: Any) -> None:
    await broker.stop()

    with pytest.raises(BrokerUnreachable, match=r"^Connect"):
        await dial(broker.url, "test")


async def test_refused_credentials_are_an_error_of_their_own_without_the_password(broker: Any) -> None:
    url = replace(broker.url, password="hunter2")

    with pytest.raises(AccessRefused, match="check the user, password and virtual host") as caught:
        await dial(url, "test")

    assert "hunter2" not in str(caught.value)


async def test_a_missing_vhost_is_named(broker: Any) -> None:
    with pytest.raises(AccessRefused, match=r"^530 NOT_ALLOWED - .*nowhere"):
        await dial(replace(broker.url, vhost="nowhere"), "test")


async def test_a_missing_permission_is_an_error_that_quotes_the_broker(
    proxy: Any, while_running: Any, wait_until: Any, logged: Any
) -> None:
    declaring = asyncio.Event()

    async def session(connection: AbstractConnection) -> NoReturn:
        channel = await connection.channel()
        proxy.drop_answers()
        declaring.set()
        await channel.queue_declare("forbidden")
        raise AssertionError

    supervisor = Supervisor(proxy.url(), "test", uniform=lambda low, _: low)
    async with while_running(supervisor.run(session)):
        await declaring.wait()
        proxy.say(marshal(commands.Channel.Close(403, "ACCESS_REFUSED - access to queue refused", 50, 10), 1))
        proxy.restore_answers()
        await wait_until("it is said", lambda: REFUSED in events(logged))

    assert reasons(logged)[0] == (
        "ACCESS_REFUSED - access to queue refused; check the permissions of the broker's user"
    )


async def test_a_brokers_own_words_are_the_reason(
    proxy: Any, while_running: Any, wait_until: Any, logged: Any
) -> None:
    sessions = Sessions(proxy.url())
    async with while_running(sessions.run()):
        await wait_until("it works", lambda: sessions.begun == 1)
        proxy.say(marshal(commands.Connection.Close(320, "CONNECTION_FORCED - by an operator", 0, 0), 0))
        await wait_until("the loss is said", lambda: LOST in events(logged))

    assert "CONNECTION_FORCED - by an operator" in reasons(logged)[0]


async def test_a_time_limit_inside_a_session_means_a_lost_broker() -> None:
    with pytest.raises(BrokerLost, match="TimeoutError"), talking():
        async with asyncio.timeout(0.001):
            await asyncio.get_running_loop().create_future()


async def test_a_time_limit_around_a_conversation_stays_a_time_limit() -> None:
    async def conversation() -> None:
        async with asyncio.timeout(0.001):
            with talking():
                await asyncio.get_running_loop().create_future()

    with pytest.raises(TimeoutError):
        await conversation()


async def test_a_librarys_cancellation_is_a_loss_and_a_callers_is_not() -> None:
    rejected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    rejected.set_exception(asyncio.CancelledError())
    with pytest.raises(BrokerLost, match="heartbeats"), talking():
        await rejected

    async def conversation() -> None:
        with talking():
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(conversation())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("a bug"), KeyError("a bug")])
async def test_a_bug_in_a_conversation_stays_a_bug(error: Exception) -> None:
    with pytest.raises(type(error), match="a bug"), talking():
        raise error
