"""Programs that declare the queue `email` themselves need no change: each of their messages becomes one mail."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiormq
import pika
import pytest
from sqlalchemy import select

from mailpact.database.engine import open_database
from mailpact_consumer import bridge
from mailpact_consumer.schema import bridges

Work = Callable[[Any], object]


@pytest.fixture
def legacy(stage: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Work], Any]:
    """Return a function that runs work through pika, as an older program does; the bridge checks its queue often."""
    monkeypatch.setattr(bridge, "PROBE_SECONDS", 0.1)

    async def do(work: Work) -> Any:
        def connected() -> object:
            with pika.BlockingConnection(pika.URLParameters(stage.amqp_url)) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                return work(channel)

        return await asyncio.to_thread(connected)

    return do


def publish(exchange: str, key: str, name: str, **properties: Any) -> Work:
    """Return work that publishes one message, without an id unless an id is given."""
    body = b'{"email": "%s@example.org", "message": "m"}' % name.encode()
    return lambda channel: channel.basic_publish(exchange, key, body, pika.BasicProperties(**properties))


def declare(channel: Any) -> None:
    """Return work that declares exchange and queue as an older program does."""
    channel.exchange_declare("email", "direct", durable=True)
    channel.queue_declare("email", durable=True)
    channel.queue_bind("email", "email", "")


def names(stage: Any) -> list[str]:
    return sorted(recipient.partition("@")[0] for recipient, _ in stage.mail_server.mails)


async def test_message_to_the_queue_and_message_through_the_exchange_are_one_mail_each(
    stage: Any, eventually: Any, legacy: Any
) -> None:
    async with stage.consumer():
        await stage.order("first@example.org")
        await eventually("the queues are there", lambda: stage.mail_server.mails)
        await eventually(
            "the bridge has noted that there is no legacy queue", lambda: _knows_of_no_queue(stage)
        )
        await legacy(declare)
        await legacy(publish("", "email", "direct"))
        await legacy(publish("email", "", "through"))
        await eventually("all are mails", lambda: len(stage.mail_server.mails) == 3)
        await eventually("the legacy queue is empty", lambda: _is_empty(stage))
        await stage.order("last@example.org")
        await eventually("the last is a mail", lambda: "last" in names(stage))

    assert names(stage) == ["direct", "first", "last", "through"]


async def test_what_came_before_the_first_consumer_is_forwarded(
    stage: Any, eventually: Any, legacy: Any
) -> None:
    await legacy(declare)
    for number in range(3):
        await legacy(publish("email", "", f"old{number}"))

    async with stage.consumer():
        await eventually("all are mails", lambda: len(stage.mail_server.mails) == 3)
        await legacy(publish("email", "", "new"))
        await eventually("the new one is a mail", lambda: len(stage.mail_server.mails) == 4)
        await eventually("the legacy queue is empty", lambda: _is_empty(stage))

    assert names(stage) == ["new", "old0", "old1", "old2"]


async def test_queue_that_another_program_consumes_is_left_alone(
    stage: Any, eventually: Any, legacy: Any
) -> None:
    await legacy(declare)
    theirs: list[Any] = []

    async def keep(message: Any) -> None:
        theirs.append(message)

    connection = await aiormq.connect(stage.amqp_url)
    channel = await connection.channel()
    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume("email", keep)

    async with stage.consumer() as running:
        await running.consuming.wait()
        await legacy(publish("", "email", "theirs"))
        await legacy(publish("", "email", "theirs-too"))
        await eventually("they have one", lambda: theirs)
        await stage.order("ours@example.org")
        await eventually("ours is a mail", lambda: stage.mail_server.mails)
        await connection.close()
        await eventually("the rest is moved", lambda: len(stage.mail_server.mails) == 3)

    assert stage.mail_server.mails[0][0] == "ours@example.org"


async def test_message_with_an_id_of_its_own_keeps_it_across_the_bridge(
    stage: Any, eventually: Any, legacy: Any
) -> None:
    async with stage.consumer():
        await stage.order("first@example.org")
        await eventually("the queues are there", lambda: stage.mail_server.mails)
        await eventually(
            "the bridge has noted that there is no legacy queue", lambda: _knows_of_no_queue(stage)
        )
        await legacy(declare)
        await legacy(publish("", "email", "ada", message_id="order-43"))
        await legacy(publish("", "email", "ada", message_id="order-43"))
        await eventually("it is a mail", lambda: "ada" in names(stage))
        await eventually("the legacy queue is empty", lambda: _is_empty(stage))

    assert names(stage) == ["ada", "first"]
    assert ("sent", "order-43") in await stage.rows("state, publisher_id")


async def _is_empty(stage: Any) -> bool:
    return bool(await stage.waiting("email") == 0)


async def _knows_of_no_queue(stage: Any) -> bool:
    """Return whether the bridge has looked: before that it forwards what has a twin, because it cannot know."""
    async with open_database(stage.inbox_url) as database:
        rows = await database.transact(lambda c: c.execute(select(bridges.c.to_forward)).scalars().all())
    return list(rows) == [0]
