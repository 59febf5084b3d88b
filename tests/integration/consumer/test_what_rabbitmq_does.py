"""The behaviours of RabbitMQ that the consumer relies on, each in its own test, without code of Mailpact.

`make test` runs these tests on RabbitMQ 3.10, `make test-trixie` on 4.0, `make test-sid` on the newest in Debian. If a
test fails on a newer RabbitMQ, its name says what the consumer cannot rely on any more.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiormq
import pytest
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity, DeliveryError, PublishError
from pamqp import commands

PATIENCE_SECONDS = 20
PERSISTENT = 2
QUORUM = {"x-queue-type": "quorum"}
LIMITED = QUORUM | {"x-delivery-limit": 20}
LETTERS_GO_ON = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


@pytest.fixture
async def connection(rabbitmq_url: str) -> AsyncIterator[AbstractConnection]:
    connection = await aiormq.connect(rabbitmq_url)
    yield connection
    await connection.close()


@pytest.fixture
async def channel(connection: AbstractConnection) -> AbstractChannel:
    return await connection.channel()


async def declare(channel: AbstractChannel, queue: str, **arguments: Any) -> None:
    """Declare a durable quorum queue and bind it to a fanout exchange of its name."""
    given = {name.replace("_", "-"): value for name, value in arguments.items()}
    await channel.queue_declare(queue, durable=True, arguments=QUORUM | given)
    await channel.exchange_declare(f"to {queue}", exchange_type="fanout", durable=True)
    await channel.queue_bind(queue, f"to {queue}", "")


async def put(
    channel: AbstractChannel, queue: str, body: bytes = b"m", headers: Mapping[str, Any] | None = None
) -> None:
    """Publish to a queue, and wait for the confirm."""
    properties = commands.Basic.Properties(delivery_mode=PERSISTENT, headers=dict(headers or {}))
    await channel.basic_publish(body, exchange=f"to {queue}", properties=properties, mandatory=True)


async def take(channel: AbstractChannel, queue: str) -> DeliveredMessage:
    """Take a message, waiting for it; it stays unsettled."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            got = await channel.basic_get(queue)
            if not isinstance(got.delivery, commands.Basic.GetEmpty):
                return got
            await asyncio.sleep(0.02)


async def eventually_has(channel: AbstractChannel, queue: str, ready: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await channel.queue_declare(queue, passive=True)).message_count != ready:
            await asyncio.sleep(0.02)


def tag(message: DeliveredMessage) -> int:
    return int(message.delivery_tag or 0)


def headers(message: DeliveredMessage) -> dict[str, Any]:
    return dict(message.header.properties.headers or {})


# --- returned messages ---


@pytest.mark.parametrize("how", ["rejected", "channel closed"])
async def test_a_message_comes_twenty_times_again_with_its_count_and_is_then_a_letter(
    connection: AbstractConnection, channel: AbstractChannel, how: str
) -> None:
    await declare(channel, "dead", x_delivery_limit=1_000_000)
    await declare(channel, "work", x_delivery_limit=20, x_dead_letter_exchange="to dead", **LETTERS_GO_ON)
    await put(channel, "work")

    counts = []
    for _ in range(21):
        taking = await connection.channel()
        message = await take(taking, "work")
        counts.append((headers(message).get("x-delivery-count", 0), bool(message.delivery.redelivered)))
        if how == "rejected":
            await taking.basic_reject(tag(message), requeue=True)
        await taking.close()
    letter = await take(channel, "dead")

    assert counts == [(0, False), *((times, True) for times in range(1, 21))]
    assert headers(letter)["x-death"][0]["reason"] == "delivery_limit"


async def test_what_is_given_back_by_a_nack_comes_again_at_least_twenty_times(
    channel: AbstractChannel,
) -> None:
    await declare(channel, "work", x_delivery_limit=20)
    await put(channel, "work")

    for _ in range(20):  # RabbitMQ 3.10 and 4.0 count each return, 4.3 counts none
        await channel.basic_nack(tag(await take(channel, "work")), requeue=True)

    assert (await take(channel, "work")).delivery.redelivered


async def test_a_queue_with_a_limit_of_a_million_may_be_looked_at_again_and_again(
    connection: AbstractConnection, channel: AbstractChannel
) -> None:
    await declare(channel, "dead", x_delivery_limit=1_000_000)
    await put(channel, "dead")

    for _ in range(30):
        looking = await connection.channel()
        await take(looking, "dead")
        await looking.close()

    await eventually_has(channel, "dead", 1)


async def test_what_a_lost_connection_held_comes_again_marked_as_redelivered(
    rabbitmq_url: str, channel: AbstractChannel
) -> None:
    await declare(channel, "work", x_delivery_limit=20)
    await put(channel, "work")
    other = await aiormq.connect(rabbitmq_url)
    await take(await other.channel(), "work")

    await other.close()

    assert (await take(channel, "work")).delivery.redelivered


# --- dead letters ---


async def test_a_rejected_message_is_a_letter_that_says_so_and_is_not_marked_as_redelivered(
    channel: AbstractChannel,
) -> None:
    await declare(channel, "dead")
    await declare(channel, "work", x_dead_letter_exchange="to dead", **LETTERS_GO_ON)
    await put(channel, "work", headers={"ours": "kept"})

    await channel.basic_reject(tag(await take(channel, "work")), requeue=False)
    letter = await take(channel, "dead")

    death = headers(letter)["x-death"][0]
    assert (death["reason"], death["queue"], headers(letter)["ours"]) == ("rejected", "work", "kept")


async def test_a_letter_that_reaches_nobody_stays_at_its_source_until_somebody_is_bound(
    rabbitmq_node: Any, channel: AbstractChannel
) -> None:
    again = "application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, {})"
    await asyncio.to_thread(rabbitmq_node.call, again.format(500))
    try:
        await declare(channel, "dead")
        await channel.queue_unbind("dead", "to dead", "")
        await declare(channel, "work", x_dead_letter_exchange="to dead", **LETTERS_GO_ON)
        await put(channel, "work", b"kept")
        await channel.basic_reject(tag(await take(channel, "work")), requeue=False)
        await eventually_has(channel, "work", 0)

        await channel.queue_bind("dead", "to dead", "")

        assert (await take(channel, "dead")).body == b"kept"
    finally:
        await asyncio.to_thread(rabbitmq_node.call, again.format(180_000))


# --- retry queues ---


async def _retrying(channel: AbstractChannel, milliseconds: int) -> None:
    await declare(channel, "work", x_delivery_limit=20)
    await declare(
        channel,
        "retry",
        x_message_ttl=milliseconds,
        x_delivery_limit=1_000_000,
        x_dead_letter_exchange="to work",
        **LETTERS_GO_ON,
    )


async def test_a_retry_copy_comes_back_after_its_time_as_a_new_delivery_of_the_exchange_behind(
    channel: AbstractChannel,
) -> None:
    await _retrying(channel, 300)
    began = asyncio.get_running_loop().time()
    await put(channel, "retry", headers={"ours": "kept"})

    message = await take(channel, "work")

    assert asyncio.get_running_loop().time() - began >= 0.29
    assert (message.delivery.exchange, message.delivery.redelivered) == ("to work", False)
    assert (headers(message)["ours"], headers(message).get("x-delivery-count", 0)) == ("kept", 0)


async def test_retry_copies_come_back_in_the_order_in_which_they_were_written(
    channel: AbstractChannel,
) -> None:
    await _retrying(channel, 200)
    for number in range(20):
        await put(channel, "retry", b"%d" % number)

    assert [(await take(channel, "work")).body for _ in range(20)] == [b"%d" % number for number in range(20)]


async def test_a_copy_without_x_death_comes_back_as_often_as_it_is_written_although_the_way_is_a_circle(
    channel: AbstractChannel,
) -> None:
    await _retrying(channel, 20)
    await put(channel, "retry")

    for _ in range(8):
        message = await take(channel, "work")
        await put(channel, "retry", message.body)
        await channel.basic_ack(tag(message))

    await take(channel, "work")


# --- consuming ---


async def test_a_consumer_is_told_that_its_queue_was_deleted_also_if_it_is_declared_again_at_once(
    channel: AbstractChannel, connection: AbstractConnection
) -> None:
    await declare(channel, "work", x_delivery_limit=20)
    consuming = await connection.channel()
    cancelled = asyncio.Event()
    consuming.on_consumer_cancel_callbacks.add(lambda _: cancelled.set())

    async def receive(_message: DeliveredMessage) -> None:
        pass

    await consuming.basic_qos(prefetch_count=10)
    limited = str(connection.server_properties["version"]).startswith("3.")
    if limited:  # `mailpact.amqp.channels.consume` sets this limit, too; RabbitMQ 4 refuses such a limit
        await consuming.basic_qos(prefetch_count=0, global_=True)
    await consuming.basic_consume("work", receive)
    if limited:
        await consuming.basic_qos(prefetch_count=65_535, global_=True)

    await channel.queue_delete("work")
    await declare(channel, "work", x_delivery_limit=20)

    await asyncio.wait_for(cancelled.wait(), PATIENCE_SECONDS)


async def test_a_consumer_gets_no_more_than_its_prefetch_and_the_next_when_it_acks(
    channel: AbstractChannel, connection: AbstractConnection
) -> None:
    await declare(channel, "work", x_delivery_limit=20)
    for number in range(9):
        await put(channel, "work", b"%d" % number)
    consuming, got = await connection.channel(), asyncio.Queue[DeliveredMessage]()
    await consuming.basic_qos(prefetch_count=4)
    await consuming.basic_consume("work", got.put)

    first = [await asyncio.wait_for(got.get(), PATIENCE_SECONDS) for _ in range(4)]
    await eventually_has(channel, "work", 5)
    await consuming.basic_ack(tag(first[2]))  # in any order
    fifth = await asyncio.wait_for(got.get(), PATIENCE_SECONDS)

    assert [message.body for message in (*first, fifth)] == [b"0", b"1", b"2", b"3", b"4"]
    assert got.empty()


async def test_a_passive_declare_counts_consumers_and_notices_when_one_goes(
    channel: AbstractChannel, connection: AbstractConnection
) -> None:
    async def receive(_message: DeliveredMessage) -> None:
        pass

    async def consumers() -> int:
        return int((await channel.queue_declare("work", passive=True)).consumer_count or 0)

    await declare(channel, "work", x_delivery_limit=20)
    consuming = await connection.channel()
    await consuming.basic_consume("work", receive)
    assert await consumers() == 1

    await consuming.close()

    async with asyncio.timeout(PATIENCE_SECONDS):
        while await consumers():
            await asyncio.sleep(0.02)


# --- publishing ---


async def test_a_full_queue_refuses_and_a_new_channel_is_served_when_the_limit_is_gone(
    rabbitmq_node: Any, rabbitmq_url: str, channel: AbstractChannel, connection: AbstractConnection
) -> None:
    vhost = rabbitmq_url.rpartition("/")[2]
    await declare(channel, "work", x_overflow="reject-publish")
    definition = '{<<"max-length">>, 1}'
    await asyncio.to_thread(
        rabbitmq_node.set_policy, vhost, name="short", queues="^work$", definition=definition
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await is_taken(channel):  # the limit is not exact, and the queue gets the policy a moment later
            await asyncio.sleep(0.02)

    await asyncio.to_thread(rabbitmq_node.delete_policy, vhost, name="short")

    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await is_taken(await connection.channel()):
            await asyncio.sleep(0.05)


async def is_taken(channel: AbstractChannel) -> bool:
    try:
        await put(channel, "work")
    except DeliveryError:
        return False
    return True


async def test_a_message_for_nobody_is_returned_before_it_is_confirmed(channel: AbstractChannel) -> None:
    await channel.exchange_declare("nowhere", exchange_type="fanout")
    sends = [channel.basic_publish(b"m", exchange="nowhere", mandatory=True) for _ in range(100)]

    answers = await asyncio.gather(*sends, return_exceptions=True)

    assert {type(answer) for answer in answers} == {
        PublishError
    }  # if the ack came first, the answer would be an ack


async def test_a_publish_to_a_missing_exchange_closes_its_channel_and_no_other(
    channel: AbstractChannel, connection: AbstractConnection
) -> None:
    other = await connection.channel()

    with pytest.raises(ChannelNotFoundEntity):
        await channel.basic_publish(b"m", exchange="missing")

    await declare(other, "work")
    await put(other, "work")


async def is_blocked(connection: AbstractConnection) -> None:
    """Wait until the broker reports that it blocks; RabbitMQ reports this after it has read a publish."""
    while True:
        try:
            await asyncio.wait_for(connection.ready(), 0.05)
            await asyncio.sleep(0.02)
        except TimeoutError:
            return


async def test_during_a_memory_alarm_a_consumer_goes_on_and_a_first_publish_is_answered_after_the_alarm(
    rabbitmq_node: Any, rabbitmq_url: str, channel: AbstractChannel, connection: AbstractConnection
) -> None:
    await declare(channel, "work", x_delivery_limit=20)
    for _ in range(5):
        await put(channel, "work")
    publishing = await aiormq.connect(rabbitmq_url)
    first = await publishing.channel()
    consuming, got = await aiormq.connect(rabbitmq_url), asyncio.Queue[DeliveredMessage]()
    acking = await consuming.channel()
    await asyncio.to_thread(rabbitmq_node.raise_memory_alarm)

    await acking.basic_consume("work", got.put)
    for _ in range(5):
        await acking.basic_ack(tag(await asyncio.wait_for(got.get(), PATIENCE_SECONDS)))
    answer = asyncio.create_task(put(first, "work", b"late"))
    await asyncio.wait_for(is_blocked(publishing), PATIENCE_SECONDS)
    assert not answer.done()
    await asyncio.to_thread(rabbitmq_node.clear_memory_alarm)

    await asyncio.wait_for(answer, PATIENCE_SECONDS)
    assert (await asyncio.wait_for(got.get(), PATIENCE_SECONDS)).body == b"late"
    await publishing.close()
    await consuming.close()


async def test_what_was_confirmed_is_there_after_a_kill(
    rabbitmq_node: Any, rabbitmq_url: str, channel: AbstractChannel
) -> None:
    await declare(channel, "work", x_delivery_limit=20)
    await asyncio.gather(*(put(channel, "work", b"%d" % number) for number in range(50)))

    await asyncio.to_thread(rabbitmq_node.kill)
    await asyncio.to_thread(rabbitmq_node.start)

    again = await aiormq.connect(rabbitmq_url)
    taking = await again.channel()
    bodies = {(await take(taking, "work")).body for _ in range(50)}
    await again.close()
    assert bodies == {b"%d" % number for number in range(50)}
