"""The broker's queue or disk is full, or its answers are lost: mail is still sent, none is lost or sent twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aiormq
import pytest

from tests.conftest import REAL
from tests.integration.amqp.conftest import Proxy, RabbitmqBroker

on_rabbitmq = pytest.mark.parametrize("real_servers", [REAL], ids=["real servers"], indirect=True)


async def letters(stage: Any) -> int:
    return int(await stage.waiting("email.dead"))


async def is_empty(stage: Any) -> bool:
    return bool(await stage.waiting("email.work") == 0)


def recipients(stage: Any) -> Counter[str]:
    return Counter(recipient for recipient, _ in stage.mail_server.mails)


@on_rabbitmq
async def test_dead_letters_that_are_full_by_policy_hold_up_no_good_mail_and_each_is_written_once_there_is_room(
    stage: Any, eventually: Any, rabbitmq_node: Any
) -> None:
    vhost = stage.amqp_url.rpartition("/")[2]
    async with stage.consumer():
        await stage.publish(b"the queues are there")
        await eventually("it is a letter", lambda: letters(stage))
        policy = {"name": "full", "queues": "^email.dead$"}
        limit = '{<<"max-length">>, 1}, {<<"overflow">>, <<"reject-publish">>}'
        await asyncio.to_thread(rabbitmq_node.set_policy, vhost, **policy, definition=limit)
        await asyncio.gather(*(stage.publish(b"invalid", message_id=str(uuid4())) for _ in range(40)))
        await asyncio.gather(*(stage.order(f"r{number}@example.org") for number in range(20)))
        await eventually("the good ones are mails", lambda: len(stage.mail_server.mails) == 20)
        full = await letters(stage)
        await asyncio.to_thread(rabbitmq_node.delete_policy, vhost, name="full")
        await eventually("each is a letter", lambda: has_letters(stage, 41))

    assert full < 41
    assert set(recipients(stage).values()) == {1}


async def has_letters(stage: Any, count: int) -> bool:
    return await letters(stage) == count


@pytest.mark.long
@on_rabbitmq
async def test_disk_alarm_behind_invalid_messages_holds_up_no_good_mail(
    stage: Any, eventually: Any, rabbitmq_node: Any
) -> None:
    limit = "rabbit_disk_monitor:set_disk_free_limit({})"
    async with stage.consumer():
        await stage.order("first@example.org")
        await eventually("the queues are there", lambda: stage.mail_server.mails)
    await asyncio.gather(*(stage.publish(b"invalid") for _ in range(40)))
    await asyncio.gather(*(stage.order(f"r{number}@example.org") for number in range(20)))
    await asyncio.to_thread(rabbitmq_node.call, limit.format("999999999999999"))
    try:
        alarms = "rabbit_alarm:get_alarms()"
        await eventually("there is an alarm", lambda: "disk" in rabbitmq_node.call(alarms))
        async with stage.consumer():
            await eventually("the good ones are mails", lambda: len(stage.mail_server.mails) == 21)
    finally:
        await asyncio.to_thread(rabbitmq_node.call, limit.format("50000000"))

    async with stage.consumer():
        await eventually("each invalid one is a letter", lambda: is_at_least(stage, 40))


async def is_at_least(stage: Any, count: int) -> bool:
    # The first consumer was stopped while the answer to one letter was still to come.
    return count <= await letters(stage) <= count + 1


@pytest.fixture
async def network(stage: Any) -> AsyncIterator[Proxy]:
    """Yield a network between consumer and broker that can drop the broker's answers."""
    proxy = Proxy(RabbitmqBroker(None, stage.amqp_url))
    await proxy.start()
    yield proxy
    await proxy.stop()


async def test_confirms_that_get_lost_one_way_lose_no_mail_and_send_none_twice(
    stage: Any, network: Proxy, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailpact.amqp.publisher.CONFIRM_SECONDS", 0.3)
    monkeypatch.setattr("mailpact.amqp.publisher.RPC_SECONDS", 0.3)
    stage.mail_server.rcpt_replies = ["451 4.7.1 greylisted"] * 10
    async with stage.consumer(amqp_url=network.url("heartbeat=2")) as running:
        await asyncio.wait_for(running.consuming.wait(), 20)
        await asyncio.gather(
            *(stage.order(f"r{number}@example.org", message_id=str(uuid4())) for number in range(10))
        )
        await eventually("all were refused for now", lambda: not stage.mail_server.rcpt_replies)
        network.drop_answers()  # the broker takes the retry copies, but its confirms are lost
        await asyncio.sleep(1)  # time for some publishes, which get no confirm
        network.restore_answers()
        network.cut()
        await eventually("all are mails", lambda: len(recipients(stage)) == 10)
        await eventually("nothing is left", lambda: is_empty(stage))

    assert set(recipients(stage).values()) == {1}
    assert {state for (state,) in await stage.rows("state")} == {"sent"}
    assert await stage.rows("sum(uncertain), sum(unanswered)") == [(0, 0)]


async def test_storm_of_refusals_for_good_is_a_letter_and_an_event_each_and_good_mail_goes_on(
    stage: Any, eventually: Any
) -> None:
    stage.mail_server.rcpt_replies = ["550 5.1.1 no such user"] * 100
    seen: list[str] = []
    async with stage.consumer() as consumer, aiormq.connect(stage.amqp_url) as connection:
        await asyncio.wait_for(consumer.consuming.wait(), 20)
        channel = await connection.channel()
        declared = await channel.queue_declare(exclusive=True)
        await channel.queue_bind(declared.queue, "email.status", "#")

        async def note(message: Any) -> None:
            seen.append(str(message.delivery.routing_key))

        await channel.basic_consume(declared.queue, note, no_ack=True)
        await asyncio.gather(*(stage.order(f"r{number}@example.org") for number in range(100)))
        await eventually("each is a letter", lambda: has_letters(stage, 100))
        await asyncio.gather(*(stage.order(f"good{number}@example.org") for number in range(20)))
        await eventually("the good ones are mails", lambda: len(stage.mail_server.mails) == 20)
        await eventually("each outcome is an event", lambda: len(seen) == 120)

    assert Counter(seen) == {"failed": 100, "sent": 20}
    assert Counter(await stage.rows("state, attempts")) == {("failed", 1): 100, ("sent", 1): 20}
