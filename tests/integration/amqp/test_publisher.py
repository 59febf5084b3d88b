import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from aiormq.abc import AbstractChannel, AbstractConnection
from pamqp import commands
from pamqp.frame import marshal

from mailpact.amqp import publisher as publisher_module
from mailpact.amqp.errors import TopologyMismatch
from mailpact.amqp.messages import Message, Outcome
from mailpact.amqp.publisher import Publisher
from mailpact.amqp.topology import declare_all
from mailpact.amqp.transport import Connection
from mailpact.contracts import catalogue
from mailpact.settings import AmqpUrl

QUEUE = "letters"


async def nothing(_: AbstractConnection) -> None:
    """A component that declares nothing."""


def publisher(url: AmqpUrl, declare: Any = nothing) -> Publisher:
    return Publisher(url, "test", declare=declare)


def message(number: int = 0, **more: Any) -> Message:
    return Message(b"%d" % number, message_id=f"id-{number}", **more)


async def bodies(channel: AbstractChannel) -> list[bytes]:
    """Take everything out of the queue."""
    taken = []
    while (got := await channel.basic_get(QUEUE, no_ack=True)).delivery.name == "Basic.GetOk":
        taken.append(got.body)
    return taken


@pytest.fixture
async def queue(channel: AbstractChannel) -> str:
    """Return a quorum queue to publish to through the default exchange."""
    await channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    return QUEUE


async def test_a_message_that_reached_its_queue_is_confirmed(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any
) -> None:
    sender = publisher(broker.url)
    sent = message(1, type="email.v1", headers={"traceparent": "00-1"})
    async with while_running(sender.run()):
        await sender.wait_until_open()
        outcome = await sender.publish(sent, exchange="", routing_key=queue)

    got = await channel.basic_get(queue, no_ack=True)
    received = Message.received(got.body, got.header.properties)
    headers = dict(received.headers)
    headers.pop("x-delivery-count", None)  # RabbitMQ 3.10 counts first deliveries too, as 0
    assert outcome is Outcome.CONFIRMED
    assert replace(received, headers=headers) == sent
    assert got.header.properties.delivery_mode == 2


async def test_a_thousand_at_once_are_all_confirmed_and_each_arrives_once(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any
) -> None:
    sender = publisher(broker.url)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        outcomes = await asyncio.gather(
            *(sender.publish(message(number), exchange="", routing_key=queue) for number in range(1000))
        )

    assert Counter(outcomes) == {Outcome.CONFIRMED: 1000}
    assert Counter(await bodies(channel)) == Counter(b"%d" % number for number in range(1000))


async def test_a_message_without_a_queue_is_unroutable_and_its_neighbours_are_not(
    broker: Any, queue: str, while_running: Any
) -> None:
    sender = publisher(broker.url)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        outcomes = await asyncio.gather(
            *(
                sender.publish(message(number), exchange="", routing_key=queue if number % 2 else "nowhere")
                for number in range(100)
            )
        )

    assert outcomes == [Outcome.UNROUTABLE, Outcome.CONFIRMED] * 50


async def test_a_message_that_a_full_queue_refuses_is_nacked(
    broker: Any, channel: AbstractChannel, while_running: Any
) -> None:
    full = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
    await channel.queue_declare(QUEUE, durable=True, arguments=full)
    sender = publisher(broker.url)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        outcomes = [await sender.publish(message(n), exchange="", routing_key=QUEUE) for n in range(4)]

    assert outcomes[0] is Outcome.CONFIRMED
    assert Outcome.NACKED in outcomes
    assert outcomes[-1] is Outcome.NOT_SENT  # the refused channel accepts no new message


async def test_after_a_nack_a_new_channel_declares_again_and_is_not_refused_any_more(
    broker: Any, channel: AbstractChannel, while_running: Any
) -> None:
    full = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
    await channel.queue_declare(QUEUE, durable=True, arguments=full)
    declared = 0

    async def declare(_: AbstractConnection) -> None:
        nonlocal declared
        declared += 1

    sender = publisher(broker.url, declare)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        while await sender.publish(message(1), exchange="", routing_key=QUEUE) is not Outcome.NACKED:
            pass
        first = sender._link
        await channel.queue_purge(QUEUE)
        async with asyncio.timeout(20):
            await sender.wait_until_open()
            again = await sender.publish(message(2), exchange="", routing_key=QUEUE)

    assert (first, again, declared) == (None, Outcome.CONFIRMED, 2)


async def test_a_queue_that_somebody_deleted_is_declared_again_after_a_return(
    broker: Any, channel: AbstractChannel, while_running: Any
) -> None:
    async def declare(connection: AbstractConnection) -> None:
        theirs = await connection.channel()
        await theirs.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await theirs.close()

    sender = publisher(broker.url, declare)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        await channel.queue_delete(QUEUE)
        returned = await sender.publish(message(1), exchange="", routing_key=QUEUE)
        async with asyncio.timeout(20):
            await sender.wait_until_open()
            again = await sender.publish(message(1), exchange="", routing_key=QUEUE)

    assert [returned, again] == [Outcome.UNROUTABLE, Outcome.CONFIRMED]


async def test_without_a_connection_nothing_is_sent(broker: Any) -> None:
    assert await publisher(broker.url).publish(message(), exchange="") is Outcome.NOT_SENT


async def test_a_second_publish_of_an_id_in_flight_is_not_sent(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any
) -> None:
    sender = publisher(broker.url)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        twice = [sender.publish(message(), exchange="", routing_key=queue) for _ in range(2)]
        outcomes = await asyncio.gather(*twice)
        again = await sender.publish(message(), exchange="", routing_key=queue)

    assert outcomes == [Outcome.CONFIRMED, Outcome.NOT_SENT]
    assert again is Outcome.CONFIRMED
    assert len(await bodies(channel)) == 2


async def test_a_message_without_an_id_is_a_bug(broker: Any) -> None:
    with pytest.raises(ValueError, match="an id of its own"):
        await publisher(broker.url).publish(Message(b""), exchange="")


async def test_an_unanswered_publish_is_unknown_and_the_next_one_goes_out_on_a_new_channel(
    proxy: Any, channel: AbstractChannel, queue: str, while_running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "CONFIRM_SECONDS", 0.3)
    monkeypatch.setattr(publisher_module, "RPC_SECONDS", 0.3)
    sender = publisher(proxy.url())
    async with while_running(sender.run()):
        await sender.wait_until_open()
        proxy.drop_answers()
        outcomes = await asyncio.gather(
            *(sender.publish(message(number), exchange="", routing_key=queue) for number in range(10))
        )
        proxy.restore_answers()
        await sender.wait_until_open()
        later = await sender.publish(message(10), exchange="", routing_key=queue)

    assert outcomes == [Outcome.UNKNOWN] * 10
    assert later is Outcome.CONFIRMED
    assert sorted(await bodies(channel)) == sorted(b"%d" % number for number in range(11))


async def test_one_late_answer_replaces_the_channel_and_keeps_the_connection(
    proxy: Any, queue: str, while_running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "CONFIRM_SECONDS", 0.2)
    sender = publisher(proxy.url())
    async with while_running(sender.run()):
        await sender.wait_until_open()
        proxy.freeze()
        late = await sender.publish(message(1), exchange="", routing_key=queue)
        proxy.thaw()
        await sender.wait_until_open()
        again = await sender.publish(message(1), exchange="", routing_key=queue)

    assert [late, again] == [Outcome.UNKNOWN, Outcome.CONFIRMED]
    assert proxy.connections == 1


@pytest.mark.parametrize("loss", ["cut", "broker stops"])
async def test_publishes_in_flight_on_a_lost_connection_are_unknown(
    loss: str, broker: Any, proxy: Any, queue: str, while_running: Any, wait_until: Any
) -> None:
    sender = publisher(proxy.url())
    async with while_running(sender.run()):
        await sender.wait_until_open()
        proxy.drop_answers()
        sending = [
            asyncio.create_task(sender.publish(message(number), exchange="", routing_key=queue))
            for number in range(5)
        ]
        await wait_until("they are sent", lambda: len(sender._link.channel.confirmations) == 5)
        if loss == "cut":
            proxy.cut()
        else:
            await broker.stop()
        outcomes = await asyncio.gather(*sending)
        proxy.restore_answers()

    assert outcomes == [Outcome.UNKNOWN] * 5


async def test_a_broker_that_hangs_up_behind_a_burst_of_frames_leaves_the_publish_unknown(
    proxy: Any, queue: str, while_running: Any, wait_until: Any
) -> None:
    """Such a broker ends the stream between two frames, for which aiormq raises a bare `Exception`."""
    sender = publisher(proxy.url())
    async with while_running(sender.run()):
        await sender.wait_until_open()
        channel = sender._link.channel
        proxy.drop_answers()
        sending = asyncio.create_task(sender.publish(message(), exchange="", routing_key=queue))
        await wait_until("it is sent", lambda: channel.confirmations)
        proxy.say(marshal(commands.Basic.Ack(999), channel.number) * 50)
        proxy.hang_up()

        assert await sending is Outcome.UNKNOWN


async def test_a_publish_to_a_frozen_broker_is_unknown_when_the_heartbeat_is_lost(
    proxy: Any, queue: str, while_running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "HEARTBEAT_GRACE_MULTIPLIER", 1)
    sender = publisher(proxy.url("heartbeat=1"))
    async with while_running(sender.run()) as running:
        await sender.wait_until_open()
        proxy.freeze()
        outcome = await sender.publish(message(), exchange="", routing_key=queue)
        proxy.thaw()
        await sender.wait_until_open()

        assert not running.done()
        assert outcome is Outcome.UNKNOWN
        assert await sender.publish(message(), exchange="", routing_key=queue) is Outcome.CONFIRMED


async def test_an_exchange_that_somebody_deleted_is_declared_again(
    broker: Any, channel: AbstractChannel, while_running: Any
) -> None:
    topology = catalogue.load().topology
    sender = publisher(broker.url, partial(declare_all, topology=topology.declared_by("producer")))
    async with while_running(sender.run()):
        await sender.wait_until_open()
        await channel.exchange_delete("email")
        lost = await sender.publish(message(), exchange="email")
        await sender.wait_until_open()
        again = await sender.publish(message(), exchange="email")

    assert [lost, again] == [Outcome.UNKNOWN, Outcome.UNROUTABLE]


async def test_a_channel_that_the_broker_closes_with_406_is_not_a_wrong_topology(
    proxy: Any, queue: str, while_running: Any, wait_until: Any
) -> None:
    sender = publisher(proxy.url())
    async with while_running(sender.run()) as running:
        await sender.wait_until_open()
        proxy.drop_answers()
        sending = asyncio.create_task(sender.publish(message(), exchange="", routing_key=queue))
        await wait_until("it is sent", lambda: sender._link and sender._link.channel.confirmations)
        number = sender._link.channel.number
        proxy.say(
            marshal(commands.Channel.Close(406, "PRECONDITION_FAILED - message too big", 60, 40), number)
        )
        outcome = await sending
        proxy.restore_answers()
        await sender.wait_until_open()

        assert outcome is Outcome.UNKNOWN
        assert not running.done()


async def test_a_missing_permission_to_publish_is_an_error_and_the_channel_is_replaced(
    proxy: Any, queue: str, while_running: Any, wait_until: Any, logged: Any
) -> None:
    sender = publisher(proxy.url())
    async with while_running(sender.run()):
        await sender.wait_until_open()
        proxy.drop_answers()
        sending = asyncio.create_task(sender.publish(message(), exchange="", routing_key=queue))
        await wait_until("it is sent", lambda: sender._link and sender._link.channel.confirmations)
        number = sender._link.channel.number
        proxy.say(
            marshal(commands.Channel.Close(403, "ACCESS_REFUSED - write access refused", 60, 40), number)
        )
        outcome = await sending
        proxy.restore_answers()
        await sender.wait_until_open()

        assert outcome is Outcome.UNKNOWN
        assert await sender.publish(message(), exchange="", routing_key=queue) is Outcome.CONFIRMED

    refusals = [entry for entry in logged if entry["event"] == "the broker refuses access, trying again"]
    assert [entry["log_level"] for entry in refusals] == ["error"]
    assert "write access refused" in refusals[0]["reason"]


async def test_while_the_broker_blocks_nothing_is_sent_and_the_connection_is_kept(
    proxy: Any, queue: str, while_running: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "CONFIRM_SECONDS", 0.2)
    monkeypatch.setattr(publisher_module, "RPC_SECONDS", 0.2)
    sender = publisher(proxy.url())
    async with while_running(sender.run()):
        await sender.wait_until_open()
        proxy.drop_answers()
        sending = asyncio.create_task(sender.publish(message(0), exchange="", routing_key=queue))
        await wait_until("it is sent", lambda: sender._link and sender._link.channel.confirmations)
        proxy.say(marshal(commands.Connection.Blocked("low on memory"), 0))
        first = await sending
        second = await sender.publish(message(1), exchange="", routing_key=queue)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sender.wait_until_open(), 0.5)
        proxy.restore_answers()
        proxy.say(marshal(commands.Connection.Unblocked(), 0))
        await sender.wait_until_open()
        third = await sender.publish(message(2), exchange="", routing_key=queue)

    assert [first, second, third] == [Outcome.UNKNOWN, Outcome.NOT_SENT, Outcome.CONFIRMED]
    assert proxy.connections == 1


async def test_a_blocked_connection_with_an_open_channel_sends_nothing(
    proxy: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any
) -> None:
    sender = publisher(proxy.url())
    async with while_running(sender.run()):
        await sender.wait_until_open()
        proxy.say(marshal(commands.Connection.Blocked("low on memory"), 0))
        unblocked = sender._link.connection._Connection__connection_unblocked
        await wait_until("the client knows", lambda: not unblocked.is_set())

        assert await sender.publish(message(), exchange="", routing_key=queue) is Outcome.NOT_SENT
        assert await bodies(channel) == []


async def test_a_cancelled_publish_takes_its_channel_along(
    proxy: Any, queue: str, while_running: Any, wait_until: Any
) -> None:
    sender = publisher(proxy.url())
    async with while_running(sender.run()):
        await sender.wait_until_open()
        first = sender._link
        proxy.drop_answers()
        sending = asyncio.create_task(sender.publish(message(), exchange="", routing_key=queue))
        await wait_until("it is sent", lambda: first.channel.confirmations)
        proxy.restore_answers()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await wait_until("there is another channel", lambda: sender._link not in (None, first))

        assert await sender.publish(message(), exchange="", routing_key=queue) is Outcome.CONFIRMED


async def test_a_time_limit_of_the_callers_stays_a_time_limit(
    proxy: Any, queue: str, while_running: Any
) -> None:
    sender = publisher(proxy.url())

    async def in_time() -> None:
        async with asyncio.timeout(0.1):
            await sender.publish(message(), exchange="", routing_key=queue)

    async with while_running(sender.run()):
        await sender.wait_until_open()
        proxy.drop_answers()
        with pytest.raises(TimeoutError):
            await in_time()
        proxy.restore_answers()


async def test_properties_that_amqp_cannot_carry_are_a_bug_and_harm_nobody_else(
    broker: Any, queue: str, while_running: Any
) -> None:
    sender = publisher(broker.url)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        with pytest.raises(TypeError):
            await sender.publish(message(headers={"odd": object()}), exchange="", routing_key=queue)

        assert await sender.publish(message(), exchange="", routing_key=queue) is Outcome.CONFIRMED


async def test_waiting_until_open_outlasts_a_broker_that_is_away(
    broker: Any, channel: AbstractChannel, while_running: Any
) -> None:
    await channel.connection.close()
    await broker.stop()
    sender = publisher(broker.url)
    async with while_running(sender.run()):
        waiting = asyncio.create_task(sender.wait_until_open())
        await asyncio.sleep(0)
        assert not waiting.done()
        await broker.start()

        await waiting


@pytest.mark.parametrize("kind", ["fanout", "topic", "direct"])
async def test_an_ingress_that_somebody_declared_first_is_used_as_found(
    kind: str, broker: Any, channel: AbstractChannel, while_running: Any
) -> None:
    await channel.exchange_declare("email", exchange_type=kind)
    topology = catalogue.load().topology
    sender = publisher(broker.url, partial(declare_all, topology=topology))
    async with while_running(sender.run()):
        await sender.wait_until_open()

        assert await sender.publish(message(), exchange="email") is Outcome.CONFIRMED


@pytest.mark.parametrize("name", ["email.work", "email.dead"])
async def test_a_queue_of_ours_with_other_arguments_ends_the_publisher(
    name: str, broker: Any, channel: AbstractChannel
) -> None:
    await channel.queue_declare(name, durable=True)
    topology = catalogue.load().topology

    with pytest.raises(TopologyMismatch, match=f"inequivalent arg .* for queue '{name}'"):
        await publisher(broker.url, partial(declare_all, topology=topology)).run()


async def test_an_exchange_of_ours_of_another_kind_ends_the_publisher(
    broker: Any, channel: AbstractChannel
) -> None:
    await channel.exchange_declare("email.dlx", exchange_type="topic", durable=True)
    topology = catalogue.load().topology

    with pytest.raises(TopologyMismatch, match=r"exchange 'email\.dlx'"):
        await publisher(broker.url, partial(declare_all, topology=topology)).run()


async def test_the_whole_topology_is_declared_again_without_complaint(
    broker: Any, channel: AbstractChannel, while_running: Any
) -> None:
    declare = partial(declare_all, topology=catalogue.load().topology)
    for _ in range(2):
        sender = publisher(broker.url, declare)
        async with while_running(sender.run()):
            await sender.wait_until_open()
            routes = [("email", ""), ("email", "email"), ("email.dlx", "any")]
            outcomes = [await sender.publish(message(), exchange=e, routing_key=key) for e, key in routes]

            assert outcomes == [Outcome.CONFIRMED] * 3
