"""A batch of messages: one write, one wait, and the correct outcome of each message."""

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import aiormq
import pytest
from aiormq.abc import AbstractChannel, AbstractConnection
from pamqp import commands
from pamqp.frame import marshal

from mailpact.amqp import publisher as publisher_module
from mailpact.amqp.channels import open_channel, publish
from mailpact.amqp.errors import BrokerLost
from mailpact.amqp.messages import Message, Outcome, Routed
from mailpact.amqp.publisher import Publisher
from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue

QUEUE = "letters"


async def nothing(_: AbstractConnection) -> None:
    """Declare nothing."""


def messages(
    count: int, routing_key: str = QUEUE, *, exchange: str = "", mandatory: bool = False
) -> list[Routed]:
    return [
        Routed(Message(b"%d" % n, message_id=f"id-{n}", type="t.v1"), exchange, routing_key, mandatory)
        for n in range(count)
    ]


async def taken(channel: AbstractChannel) -> list[bytes]:
    """Remove all messages from the queue and return them."""
    bodies = []
    while (got := await channel.basic_get(QUEUE, no_ack=True)).delivery.name == "Basic.GetOk":
        bodies.append(got.body)
    return bodies


@pytest.fixture
async def queue(channel: AbstractChannel) -> None:
    await channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})


@pytest.mark.usefixtures("queue")
async def test_batches_and_single_messages_share_a_channel_and_all_arrive_once(
    broker: Any, channel: AbstractChannel, while_running: Any
) -> None:
    sender = Publisher(broker.url, "test", declare=nothing)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        single = [Message(b"single %d" % n, message_id=f"single-{n}") for n in range(50)]
        together, alone = await asyncio.gather(
            asyncio.gather(*(sender.publish_together(messages(100)) for _ in range(5))),
            asyncio.gather(*(sender.publish(one, exchange="", routing_key=QUEUE) for one in single)),
        )

    expected = Counter({b"%d" % n: 5 for n in range(100)}) + Counter(one.body for one in single)
    assert Counter(outcome for outcomes in together for outcome in outcomes) == {Outcome.CONFIRMED: 500}
    assert set(alone) == {Outcome.CONFIRMED}
    assert Counter(await taken(channel)) == expected


@pytest.mark.usefixtures("queue")
async def test_properties_and_a_body_of_several_frames_arrive_whole(
    broker: Any, channel: AbstractChannel, while_running: Any
) -> None:
    sender = Publisher(broker.url, "test", declare=nothing)
    large = Message(
        bytes(range(256)) * 1200, message_id="large", type="t.v1", content_type="application/json"
    )
    async with while_running(sender.run()):
        await sender.wait_until_open()
        batch = [Routed(large, "", QUEUE), Routed(Message(b"", message_id="empty"), "", QUEUE), *messages(1)]
        outcomes = await sender.publish_together(batch)

    first = await channel.basic_get(QUEUE, no_ack=True)
    properties = first.header.properties
    assert outcomes == [Outcome.CONFIRMED] * 3
    assert first.body == large.body
    assert (properties.message_id, properties.message_type, properties.delivery_mode) == ("large", "t.v1", 2)
    assert await taken(channel) == [b"", b"0"]


async def test_a_message_for_nobody_is_confirmed(broker: Any, while_running: Any) -> None:
    sender = Publisher(broker.url, "test", declare=nothing)
    async with while_running(sender.run()):
        await sender.wait_until_open()

        assert await sender.publish_together(messages(3, "nowhere")) == [Outcome.CONFIRMED] * 3


@pytest.mark.usefixtures("queue")
async def test_each_mandatory_message_for_nobody_is_unroutable_and_the_others_arrive(
    broker: Any, channel: AbstractChannel, while_running: Any
) -> None:
    batch = [
        Routed(Message(b"%d" % n, message_id=f"id-{n}"), "", "nowhere" if n % 3 else QUEUE) for n in range(60)
    ]
    sender = Publisher(broker.url, "test", declare=nothing)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        link = sender._link
        outcomes = await sender.publish_together(batch)

    assert outcomes == [Outcome.UNROUTABLE if n % 3 else Outcome.CONFIRMED for n in range(60)]
    assert link is not None
    assert link.channel.message_id_delivery_tag == {}  # type: ignore[attr-defined]  # of aiormq's class
    assert Counter(await taken(channel)) == Counter(b"%d" % n for n in range(0, 60, 3))


@pytest.mark.usefixtures("queue")
async def test_a_mandatory_batch_is_not_sent_while_one_of_its_ids_is_in_flight(
    broker: Any, while_running: Any
) -> None:
    sender = Publisher(broker.url, "test", declare=nothing)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        first, second = await asyncio.gather(
            sender.publish_together(messages(1, mandatory=True)),
            sender.publish_together(messages(2, mandatory=True)),
        )
        again = await sender.publish_together(messages(2, mandatory=True))

    assert (first, second, again) == (
        [Outcome.CONFIRMED],
        [Outcome.NOT_SENT] * 2,
        [Outcome.CONFIRMED] * 2,
    )


async def test_two_mandatory_messages_of_a_batch_with_one_id_are_a_bug(broker: Any) -> None:
    with pytest.raises(ValueError, match="an id of its own"):
        await Publisher(broker.url, "test", declare=nothing).publish_together(
            messages(1, mandatory=True) + messages(1, mandatory=True)
        )


async def test_what_a_full_queue_refuses_is_nacked_and_the_channel_takes_nothing_new(
    broker: Any, channel: AbstractChannel, while_running: Any
) -> None:
    full = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
    await channel.queue_declare(QUEUE, durable=True, arguments=full)
    sender = Publisher(broker.url, "test", declare=nothing)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        outcomes = [
            outcome
            for _ in range(4)
            for outcome in await sender.publish_together(messages(1) + messages(1, "nowhere"))
        ]

    assert outcomes[:2] == [Outcome.CONFIRMED, Outcome.CONFIRMED]
    assert Outcome.NACKED in outcomes
    assert outcomes[outcomes.index(Outcome.NACKED) + 1] is Outcome.CONFIRMED
    assert outcomes[-2:] == [Outcome.NOT_SENT, Outcome.NOT_SENT]


async def test_without_a_connection_nothing_is_sent(broker: Any) -> None:
    sender = Publisher(broker.url, "test", declare=nothing)

    assert await sender.publish_together(messages(2)) == [Outcome.NOT_SENT] * 2


@pytest.mark.usefixtures("queue")
async def test_an_unanswered_batch_is_unknown_and_the_next_one_goes_out_on_a_new_channel(
    proxy: Any, channel: AbstractChannel, while_running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "CONFIRM_SECONDS", 0.3)
    monkeypatch.setattr(publisher_module, "RPC_SECONDS", 0.3)
    sender = Publisher(proxy.url(), "test", declare=nothing)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        proxy.drop_answers()
        unanswered = await sender.publish_together(messages(10))
        proxy.restore_answers()
        await sender.wait_until_open()
        later = await sender.publish_together(messages(1))

    assert unanswered == [Outcome.UNKNOWN] * 10
    assert later == [Outcome.CONFIRMED]
    assert Counter(await taken(channel)) == Counter(b"%d" % n for n in [0, *range(10)])


@pytest.mark.usefixtures("queue")
async def test_a_batch_that_is_answered_in_part_keeps_the_answers(
    proxy: Any, while_running: Any, wait_until: Any
) -> None:
    sender = Publisher(proxy.url(), "test", declare=nothing)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        channel = sender._link.channel  # type: ignore[union-attr]  # it is open
        proxy.drop_answers()
        sending = asyncio.create_task(sender.publish_together(messages(3)))
        await wait_until("they are sent", lambda: len(channel.confirmations) == 3)
        proxy.say(marshal(commands.Basic.Ack(2, multiple=True), channel.number))
        await wait_until("two are confirmed", lambda: len(channel.confirmations) == 1)
        proxy.cut()
        outcomes = await sending
        proxy.restore_answers()

    assert outcomes == [Outcome.CONFIRMED, Outcome.CONFIRMED, Outcome.UNKNOWN]


async def test_an_exchange_that_somebody_deleted_leaves_the_batch_unknown_and_is_declared_again(
    broker: Any, channel: AbstractChannel, while_running: Any
) -> None:
    topology = catalogue.load().topology
    sender = Publisher(
        broker.url, "test", declare=partial(declare_all, topology=topology.declared_by("producer"))
    )
    async with while_running(sender.run()):
        await sender.wait_until_open()
        await channel.exchange_delete("email")
        lost = await sender.publish_together(messages(2, exchange="email"))
        await sender.wait_until_open()
        again = await sender.publish_together(messages(2, exchange="email"))

    assert lost == [Outcome.UNKNOWN] * 2
    assert again == [Outcome.CONFIRMED] * 2


@pytest.mark.usefixtures("queue")
async def test_a_cancelled_batch_takes_its_channel_along(
    proxy: Any, while_running: Any, wait_until: Any
) -> None:
    sender = Publisher(proxy.url(), "test", declare=nothing)
    async with while_running(sender.run()):
        await sender.wait_until_open()
        first = sender._link
        assert first is not None
        proxy.drop_answers()
        sending = asyncio.create_task(sender.publish_together(messages(2)))
        await wait_until("they are sent", lambda: first.channel.confirmations)  # type: ignore[attr-defined]  # of aiormq's class
        proxy.restore_answers()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await wait_until("there is another channel", lambda: sender._link not in (None, first))

        assert await sender.publish_together(messages(1)) == [Outcome.CONFIRMED]


@pytest.mark.parametrize("message_id", [None, ""])
async def test_mandatory_message_without_an_id_is_refused_and_not_taken_for_confirmed(
    broker: Any, message_id: str | None
) -> None:
    for_nobody = Routed(Message(b"x", message_id=message_id), "", "nowhere")
    async with aiormq.connect(broker.url.url) as connection:
        sending = await open_channel(connection, confirms=True)

        with pytest.raises(ValueError, match="needs an id"):
            await publish(sending, for_nobody, 20)
        assert await publish(sending, replace(for_nobody, message=Message(b"x", message_id="a")), 20) == (
            Outcome.UNROUTABLE
        )


async def test_publish_on_a_channel_that_ends_without_a_reason_is_a_lost_broker_and_no_bare_exception(
    broker: Any,
) -> None:
    async with aiormq.connect(broker.url.url) as connection:
        sending = await open_channel(connection, confirms=True)
        publishing = asyncio.ensure_future(publish(sending, messages(1)[0], 20))
        while not sending.confirmations:
            await asyncio.sleep(0)
        await sending._cancel_tasks(None)  # as aiormq does when its reader ends

        with pytest.raises(BrokerLost, match="the channel was closed"):
            await publishing
