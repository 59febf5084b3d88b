import asyncio
import struct
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import aiormq
import pytest
from aiormq.abc import AbstractChannel, AbstractConnection
from pamqp import commands
from pamqp.frame import marshal

from mailpact.amqp import channels
from mailpact.amqp import subscriber as subscriber_module
from mailpact.amqp.batch import send
from mailpact.amqp.errors import TopologyMismatch
from mailpact.amqp.messages import Outcome, Routed
from mailpact.amqp.subscriber import Delivery, SettledTwice, Subscriber
from mailpact.amqp.topology import declare_all
from mailpact.amqp.transport import Connection
from mailpact.contracts import catalogue
from mailpact.settings import AmqpUrl

QUEUE = "work"
ARGUMENTS = {"x-queue-type": "quorum", "x-delivery-limit": 20}


async def declare(connection: AbstractConnection) -> None:
    channel = await connection.channel()
    await channel.queue_declare(QUEUE, durable=True, arguments=ARGUMENTS)
    await channel.close()


class Receiver:
    """A subscriber that keeps what it receives."""

    def __init__(self, url: AmqpUrl, *, prefetch: int = 10) -> None:
        self.deliveries: list[Delivery] = []
        self.subscriber = Subscriber(
            url, "test", queue=QUEUE, prefetch=prefetch, declare=declare, receive=self.deliveries.append
        )
        self.run = self.subscriber.run

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.message.body for delivery in self.deliveries]


@pytest.fixture
async def queue(channel: AbstractChannel) -> str:
    await declare(channel.connection)
    return QUEUE


async def publish(channel: AbstractChannel, *bodies: bytes, **properties: Any) -> None:
    for body in bodies:
        await channel.basic_publish(
            body, routing_key=QUEUE, properties=commands.Basic.Properties(**properties)
        )


async def waiting(channel: AbstractChannel) -> int:
    """Return how many messages the queue holds ready."""
    return int((await channel.queue_declare(QUEUE, passive=True)).message_count or 0)


async def test_a_delivery_says_what_it_is_and_is_gone_once_acked(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any
) -> None:
    await publish(channel, b"hello", content_type="text/plain", message_id="m", headers={"a": 1})
    receiver = Receiver(broker.url)
    async with while_running(receiver.run()):
        await wait_until("it is delivered", lambda: receiver.deliveries)
        delivery = receiver.deliveries[0]
        acked = await delivery.ack()

    assert acked
    assert (delivery.message.body, delivery.message.content_type) == (b"hello", "text/plain")
    assert (delivery.message.message_id, delivery.message.headers) == ("m", {"a": 1})
    assert (delivery.exchange, delivery.routing_key) == ("", QUEUE)
    assert (delivery.redelivered, delivery.delivery_count) == (False, 0)
    assert await waiting(channel) == 0


async def test_no_more_than_the_prefetch_is_out_at_once(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any
) -> None:
    await publish(channel, *(b"%d" % number for number in range(9)))
    receiver = Receiver(broker.url, prefetch=3)
    async with while_running(receiver.run()):
        await wait_until("three are delivered", lambda: len(receiver.deliveries) == 3)
        assert await waiting(channel) == 6
        await receiver.deliveries[0].ack()
        await wait_until("a fourth is delivered", lambda: len(receiver.deliveries) == 4)

        assert await waiting(channel) == 5


async def test_what_is_not_acked_when_the_connection_is_lost_comes_again(
    proxy: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any
) -> None:
    await publish(channel, b"a", b"b")
    receiver = Receiver(proxy.url(), prefetch=1)
    async with while_running(receiver.run()):
        await wait_until("one is delivered", lambda: receiver.bodies == [b"a"])
        await receiver.deliveries[0].ack()
        await wait_until("the ack has arrived", lambda: receiver.bodies == [b"a", b"b"])
        proxy.cut()
        await wait_until("one comes again", lambda: receiver.bodies == [b"a", b"b", b"b"])
        _, lost, again = receiver.deliveries

        assert (again.redelivered, again.delivery_count) == (True, 1)
        assert await lost.ack() is False
        assert await again.ack() is True
    assert await waiting(channel) == 0


@pytest.mark.parametrize("closed", ["channel", "connection"])
async def test_an_ack_after_a_loss_that_nobody_has_noticed_yet_is_false(
    closed: str, broker: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any
) -> None:
    await publish(channel, b"a")
    receiver = Receiver(broker.url)
    async with while_running(receiver.run()):
        await wait_until("it is delivered", lambda: receiver.deliveries)
        library_channel = receiver.deliveries[0]._acks.channel
        await (library_channel if closed == "channel" else library_channel.connection).close()

        assert await receiver.deliveries[0].ack() is False


async def test_an_ack_that_waits_when_the_connection_dies_is_false(
    proxy: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any
) -> None:
    await publish(channel, b"a")
    receiver = Receiver(proxy.url())
    async with while_running(receiver.run()):
        await wait_until("it is delivered", lambda: receiver.deliveries)
        connection = receiver.deliveries[0]._acks.channel.connection
        other = await connection.channel(publisher_confirms=False)
        proxy.freeze()
        flood = [asyncio.create_task(other.basic_publish(bytes(1_000_000))) for _ in range(20)]
        await wait_until(
            "the writer is stuck",
            lambda: connection.frames.writer.transport.get_write_buffer_size() > 100_000,
        )
        ack = asyncio.create_task(receiver.deliveries[0].ack())
        await asyncio.sleep(0)
        proxy.cut()

        assert await ack is False
        await asyncio.gather(*flood, return_exceptions=True)


async def test_a_delivery_cannot_be_settled_twice(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any
) -> None:
    await publish(channel, b"a")
    receiver = Receiver(broker.url)
    async with while_running(receiver.run()):
        await wait_until("it is delivered", lambda: receiver.deliveries)
        await receiver.deliveries[0].ack()

        with pytest.raises(SettledTwice):
            await receiver.deliveries[0].ack()


async def test_a_queue_that_somebody_deletes_is_declared_and_consumed_again(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any, logged: Any
) -> None:
    receiver = Receiver(broker.url)
    async with while_running(receiver.run()):
        await receiver.subscriber.started.wait()
        await channel.queue_delete(QUEUE)
        await wait_until("the loss is noticed", lambda: not receiver.subscriber.started.is_set())
        await receiver.subscriber.started.wait()
        await publish(channel, b"a")
        await wait_until("it is delivered", lambda: receiver.bodies == [b"a"])

    assert [entry["reason"] for entry in logged if "role" in entry and "reason" in entry] == [
        "the broker ended the consuming of work: the queue was deleted"
    ]


async def test_a_channel_that_the_broker_closes_is_replaced_and_its_reason_is_said(
    proxy: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any, logged: Any
) -> None:
    receiver = Receiver(proxy.url())
    timed_out = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out"
    async with while_running(receiver.run()) as running:
        await receiver.subscriber.started.wait()
        number = receiver.subscriber._consuming[0].number
        proxy.say(marshal(commands.Channel.Close(406, timed_out, 0, 0), number))
        await wait_until("the loss is noticed", lambda: not receiver.subscriber.started.is_set())
        await receiver.subscriber.started.wait()

        assert not running.done()
    assert [entry["reason"] for entry in logged if "role" in entry and "reason" in entry] == [
        f"the broker ended the consuming of work: {timed_out}"
    ]


async def test_after_stop_receiving_nothing_is_handed_over_and_acks_still_work(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any
) -> None:
    await publish(channel, b"a")
    receiver = Receiver(broker.url)
    async with while_running(receiver.run()):
        await wait_until("it is delivered", lambda: receiver.deliveries)
        await receiver.subscriber.stop_receiving()
        await publish(channel, b"b")

        assert await receiver.deliveries[0].ack() is True
    assert receiver.bodies == [b"a"]
    assert await waiting(channel) == 1


async def test_stopped_it_does_not_consume_again_on_its_next_connection(
    proxy: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any, logged: Any
) -> None:
    receiver = Receiver(proxy.url())
    async with while_running(receiver.run()):
        await receiver.subscriber.started.wait()
        await receiver.subscriber.stop_receiving()
        proxy.cut()
        await wait_until(
            "it is back",
            lambda: any(entry["event"] == "connection to the broker restored" for entry in logged),
        )
        await publish(channel, b"a")

        assert await waiting(channel) == 1


async def test_stopped_at_any_moment_of_its_beginning_it_hands_nothing_over(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any
) -> None:
    await publish(channel, *(b"%d" % number for number in range(20)))
    for turns in range(0, 200, 5):
        receiver = Receiver(broker.url)
        async with while_running(receiver.run()):
            for _ in range(turns):
                await asyncio.sleep(0)
            await receiver.subscriber.stop_receiving()
            had = len(receiver.deliveries)
            for _ in range(50):
                await asyncio.sleep(0)

            assert len(receiver.deliveries) == had
            for delivery in receiver.deliveries:
                assert await delivery.ack()


async def test_stopping_is_bounded_when_the_broker_is_frozen(
    proxy: Any, queue: str, while_running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber_module, "CANCEL_SECONDS", 0.2)
    receiver = Receiver(proxy.url())
    async with while_running(receiver.run()):
        await receiver.subscriber.started.wait()
        proxy.freeze()

        async with asyncio.timeout(1):
            await receiver.subscriber.stop_receiving()


async def test_a_frozen_broker_is_noticed_and_consumed_from_again(
    proxy: Any,
    channel: AbstractChannel,
    queue: str,
    while_running: Any,
    wait_until: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Connection, "HEARTBEAT_GRACE_MULTIPLIER", 1)
    receiver = Receiver(proxy.url("heartbeat=1"))
    async with while_running(receiver.run()):
        await receiver.subscriber.started.wait()
        proxy.freeze()
        await wait_until("the loss is noticed", lambda: not receiver.subscriber.started.is_set())
        proxy.thaw()
        await publish(channel, b"a")

        await wait_until("it is delivered", lambda: receiver.bodies == [b"a"])


async def test_a_receiver_that_raises_is_a_bug_that_is_not_swallowed(
    broker: Any, channel: AbstractChannel, queue: str
) -> None:
    def receive(_: Delivery) -> None:
        raise LookupError("a bug")

    await publish(channel, b"a")
    subscriber = Subscriber(broker.url, "test", queue=QUEUE, prefetch=1, declare=declare, receive=receive)

    with pytest.raises(LookupError, match="a bug"):
        await subscriber.run()


async def test_a_wrong_topology_ends_the_subscriber_at_once(broker: Any, channel: AbstractChannel) -> None:
    await channel.queue_declare("email.work", durable=True)
    whole = partial(declare_all, topology=catalogue.load().topology)
    subscriber = Subscriber(
        broker.url, "test", queue="email.work", prefetch=1, declare=whole, receive=lambda _: None
    )

    with pytest.raises(TopologyMismatch, match=r"queue 'email\.work'"):
        await subscriber.run()


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def table(entries: bytes) -> bytes:
    return struct.pack(">I", len(entries)) + entries


FLAG = commands.Basic.Properties.flags
ODD = {
    "timestamp in microseconds": (FLAG["timestamp"], struct.pack(">Q", 1_700_000_000_000_000)),
    "timestamp of all bits": (FLAG["timestamp"], b"\xff" * 8),
    "message id in latin-1": (FLAG["message_id"], short(b"caf\xe9")),
    "content type of garbage": (FLAG["content_type"], short(b"\xff" * 255)),
    "header name in latin-1": (FLAG["headers"], table(b"\x01\xe9V")),
    "header with a double": (FLAG["headers"], table(b"\x01ad" + struct.pack(">d", 1e300))),
    "header with bytes": (FLAG["headers"], table(b"\x01aS" + struct.pack(">I", 1) + b"\xe9")),
    "headers nested": (FLAG["headers"], table(b"\x01aF" + table(b"\x01bA" + table(b"V")))),
}


@pytest.mark.parametrize(("flags", "properties"), ODD.values(), ids=ODD)
async def test_no_properties_of_a_stranger_cost_the_connection_or_a_neighbour(
    flags: int,
    properties: bytes,
    proxy: Any,
    channel: AbstractChannel,
    queue: str,
    while_running: Any,
    wait_until: Any,
) -> None:
    receiver = Receiver(proxy.url())
    payload = struct.pack(">HHQH", 60, 0, 3, flags) + properties
    async with while_running(receiver.run()):
        await receiver.subscriber.started.wait()
        library_channel, tag = receiver.subscriber._consuming
        odd = marshal(commands.Basic.Deliver(tag, 1, False, "", QUEUE), library_channel.number)
        odd += struct.pack(">BHI", 2, library_channel.number, len(payload)) + payload + b"\xce"
        odd += struct.pack(">BHI", 3, library_channel.number, 3) + b"odd" + b"\xce"
        proxy.say(odd)
        await publish(channel, b"neighbour")
        await wait_until(
            "both are delivered", lambda: Counter(receiver.bodies) == {b"odd": 1, b"neighbour": 1}
        )

        again = replace(receiver.deliveries[0].message, message_id="m", headers={"x-error-code": "schema"})
        await send(channel, [Routed(again, "", "nobody", mandatory=False)], [Outcome.UNKNOWN])
        assert proxy.connections == 1


async def test_a_message_cut_short_is_lost_with_its_connection_and_tried_again(
    proxy: Any, queue: str, while_running: Any, wait_until: Any, logged: Any
) -> None:
    receiver = Receiver(proxy.url())
    async with while_running(receiver.run()) as running:
        await receiver.subscriber.started.wait()
        number = receiver.subscriber._consuming[0].number
        payload = struct.pack(">HHQH", 60, 0, 3, FLAG["timestamp"])
        proxy.say(struct.pack(">BHI", 2, number, len(payload)) + payload + b"\xce")
        await wait_until("it connects again", lambda: proxy.connections == 2)
        await receiver.subscriber.started.wait()

        assert not running.done()
    assert "cut short at timestamp" in next(e["reason"] for e in logged if "reason" in e and "role" in e)


async def test_what_aiormq_does_without_us_to_a_timestamp_in_microseconds(
    proxy: Any, channel: AbstractChannel, queue: str, wait_until: Any
) -> None:
    """If this test fails, aiormq or pamqp has been fixed, and `content_header` can be removed."""
    connection = await aiormq.connect(proxy.url().url)
    consumer = await connection.channel()
    payload = struct.pack(">HHQH", 60, 0, 0, FLAG["timestamp"]) + b"\xff" * 8
    consumed = await consumer.basic_consume(QUEUE, lambda _: None)
    proxy.say(marshal(commands.Basic.Deliver(consumed.consumer_tag, 1, False, "", QUEUE), consumer.number))
    proxy.say(struct.pack(">BHI", 2, consumer.number, len(payload)) + payload + b"\xce")

    await wait_until("the connection is lost", lambda: connection.is_closed)


async def test_acks_in_any_order_leave_exactly_what_was_not_acked(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any
) -> None:
    await publish(channel, *(b"%d" % number for number in range(10)))
    receiver = Receiver(broker.url)
    async with while_running(receiver.run()):
        await wait_until("all are delivered", lambda: len(receiver.deliveries) == 10)
        await asyncio.gather(*(receiver.deliveries[number].ack() for number in (3, 0, 1, 7)))
        await asyncio.gather(*(receiver.deliveries[number].ack() for number in (9, 2)))
    again = Receiver(broker.url)
    async with while_running(again.run()):
        await wait_until("the rest is delivered again", lambda: len(again.deliveries) == 4)

    assert sorted(again.bodies) == [b"4", b"5", b"6", b"8"]


async def test_what_is_given_back_comes_again_and_what_is_rejected_does_not(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any
) -> None:
    await publish(channel, b"back", b"gone", b"done")
    receiver = Receiver(broker.url)
    async with while_running(receiver.run()):
        await wait_until("all are delivered", lambda: len(receiver.deliveries) == 3)
        back, gone, done = receiver.deliveries
        settled = await asyncio.gather(done.ack(), back.requeue(), gone.reject())
        await wait_until("one comes again", lambda: len(receiver.deliveries) == 4)
        await receiver.deliveries[3].ack()

    assert settled == [True] * 3
    assert (receiver.deliveries[3].message.body, receiver.deliveries[3].redelivered) == (b"back", True)
    assert await waiting(channel) == 0


async def test_paused_it_gets_nothing_and_can_settle_and_resumed_it_gets_the_rest(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any
) -> None:
    receiver = Receiver(broker.url)
    async with while_running(receiver.run()):
        await receiver.subscriber.started.wait()
        await publish(channel, b"1")
        await wait_until("one is delivered", lambda: receiver.deliveries)
        receiver.subscriber.pause()
        await wait_until("it consumes no more", lambda: not receiver.subscriber.started.is_set())
        await publish(channel, b"2")
        acked = await receiver.deliveries[0].ack()
        meanwhile = await waiting(channel)
        receiver.subscriber.resume()
        await wait_until("the other is delivered", lambda: len(receiver.deliveries) == 2)

    assert (acked, meanwhile, receiver.bodies) == (True, 1, [b"1", b"2"])


async def test_a_queue_that_is_deleted_and_declared_again_at_once_is_consumed_again(
    broker: Any, channel: AbstractChannel, queue: str, while_running: Any, wait_until: Any
) -> None:
    """RabbitMQ 3 would renew the subscription by itself and then deliver nothing."""
    receiver = Receiver(broker.url)
    async with while_running(receiver.run()):
        await receiver.subscriber.started.wait()
        for turn in range(2):
            await channel.queue_delete(QUEUE)
            await declare(channel.connection)
            await publish(channel, b"%d" % turn)
            await wait_until(f"message {turn} is delivered", lambda: len(receiver.deliveries) > turn)  # noqa: B023  # asked at once

    assert receiver.bodies == [b"0", b"1"]


async def lose_subscription(receiver: Receiver) -> None:
    """Make the broker lose the subscription without a notification to the subscriber."""
    library_channel, tag = receiver.subscriber._consuming
    library_channel.consumers.clear()  # the library must not report the cancellation either
    callbacks = [*library_channel.on_consumer_cancel_callbacks]
    library_channel.on_consumer_cancel_callbacks.clear()
    await library_channel.basic_cancel(tag)
    assert callbacks


@pytest.mark.parametrize("others", [0, 1])
async def test_a_subscription_that_the_broker_loses_without_a_word_is_found_and_made_again(
    others: int,
    broker: Any,
    channel: AbstractChannel,
    queue: str,
    while_running: Any,
    wait_until: Any,
    logged: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber_module, "LOOK_SECONDS", 0.1)
    receiver = Receiver(broker.url)
    await channel.basic_qos(prefetch_count=1)
    for _ in range(others):  # each of these consumers takes one message and never settles it
        await channel.basic_consume(QUEUE, lambda _: asyncio.sleep(0))
    async with while_running(receiver.run()):
        await receiver.subscriber.started.wait()
        await lose_subscription(receiver)
        await publish(channel, b"a", b"b")
        await wait_until("what the others leave is delivered", lambda: len(receiver.deliveries) == 2 - others)
        await receiver.subscriber.started.wait()

    why = "messages wait and none is delivered" if others else "the queue has no consumer any more"
    reasons = [entry["reason"] for entry in logged if "role" in entry and "reason" in entry]
    assert len(reasons) == 1
    assert reasons[0].startswith("the broker has lost the subscription to work: ")
    assert reasons[0].endswith(why)
    assert [entry["event"] for entry in logged].count("consuming has begun") == 2


async def test_nothing_is_asked_of_the_broker_while_consuming_is_paused(
    broker: Any,
    channel: AbstractChannel,
    queue: str,
    while_running: Any,
    wait_until: Any,
    logged: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber_module, "LOOK_SECONDS", 0.01)
    looks = Counter[str]()

    async def look_at(connection: AbstractConnection, name: str) -> tuple[int, int] | None:
        looks["asked"] += 1
        return await channels.look_at(connection, name)

    monkeypatch.setattr(subscriber_module, "look_at", look_at)
    receiver = Receiver(broker.url)
    async with while_running(receiver.run()):
        await wait_until("the broker is asked", lambda: looks["asked"] > 3)
        receiver.subscriber.pause()
        await wait_until("it consumes no more", lambda: not receiver.subscriber.started.is_set())
        await publish(channel, b"a")
        asked = looks["asked"]
        await asyncio.sleep(0.3)  # long enough for thirty checks
        asked_meanwhile = looks["asked"] - asked
        receiver.subscriber.resume()
        await wait_until("it is delivered", lambda: receiver.bodies == [b"a"])

    assert asked_meanwhile <= 1  # the check that ran when consuming was paused
    assert [entry for entry in logged if "reason" in entry] == []
