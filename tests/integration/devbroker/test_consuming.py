import asyncio

import pytest
from aiormq.exceptions import ConnectionNotImplemented
from pamqp import commands

from mailpact_devbroker.frames import Frame, Kind
from tests.timing import at_most


class Inbox:
    """Collects deliveries without acknowledging them."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue = asyncio.Queue()

    async def __call__(self, message) -> None:
        await self._messages.put(message)

    async def next(self):
        return await asyncio.wait_for(self._messages.get(), 10)

    def waiting(self) -> int:
        return self._messages.qsize()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


async def test_what_is_published_is_delivered_and_gone_once_acked(channel, inbox):
    await channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    await channel.basic_consume("q", inbox)

    await channel.basic_publish(b"m", routing_key="q")
    message = await inbox.next()
    await channel.basic_ack(message.delivery_tag)

    assert (message.body, message.redelivered) == (b"m", False)
    assert (await channel.queue_delete("q")).message_count == 0


async def test_a_consumer_gets_no_more_than_its_prefetch(channel, inbox):
    await channel.queue_declare("q")
    for n in range(3):
        await channel.basic_publish(b"%d" % n, routing_key="q")
    await channel.basic_qos(prefetch_count=2)
    await channel.basic_consume("q", inbox)
    first, second = await inbox.next(), await inbox.next()

    await channel.queue_declare("q", passive=True)
    assert inbox.waiting() == 0
    await channel.basic_ack(first.delivery_tag)

    assert [first.body, second.body, (await inbox.next()).body] == [b"0", b"1", b"2"]


async def test_a_vanished_client_leaves_its_messages_to_the_next(devbroker, connect, channel, inbox):
    await channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    await channel.basic_publish(b"m", routing_key="q")
    doomed = await connect(devbroker.url)
    held = Inbox()
    await (await doomed.channel()).basic_consume("q", held)
    assert (await held.next()).header.properties.headers is None

    doomed._writer_task.cancel()
    await channel.basic_consume("q", inbox)
    message = await inbox.next()

    assert (message.redelivered, message.header.properties.headers) == (True, {"x-delivery-count": 1})


async def test_the_21st_failed_delivery_of_a_quorum_queue_is_the_last(channel, inbox, take):
    await channel.queue_declare("dead")
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    await channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum", **letters})
    await channel.basic_consume("q", inbox)
    await channel.basic_publish(b"m", routing_key="q")

    counts = []
    for _ in range(21):
        message = await inbox.next()
        counts.append((message.header.properties.headers or {}).get("x-delivery-count"))
        await channel.basic_nack(message.delivery_tag, requeue=True)
    letter = await take(channel, "dead")

    assert counts == [None, *range(1, 21)]
    assert letter.header.properties.headers["x-death"][0]["reason"] == "delivery_limit"
    assert inbox.waiting() == 0


async def test_a_message_outlives_its_time_and_is_a_letter(channel, take):
    await channel.queue_declare("dead")
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    await channel.queue_declare("q", arguments={"x-message-ttl": 50, **letters})

    published = asyncio.get_running_loop().time()
    await channel.basic_publish(b"m", routing_key="q")
    letter = await take(channel, "dead")

    assert letter.header.properties.headers["x-death"][0]["reason"] == "expired"
    assert 0.045 < asyncio.get_running_loop().time() - published < at_most(2)


async def test_a_consumer_is_told_that_its_queue_is_gone(devbroker, connect, raw):
    await raw.shake_hands(capabilities=("consumer_cancel_notify",))
    await raw.open_channel()
    raw.say(
        commands.Queue.Declare(queue="q"), commands.Basic.Consume(queue="q", consumer_tag="mine"), channel=1
    )
    assert [(await raw.hear()).name for _ in range(2)] == ["Queue.DeclareOk", "Basic.ConsumeOk"]

    await (await (await connect(devbroker.url)).channel()).queue_delete("q")
    told = await raw.hear()

    assert (told.name, told.consumer_tag) == ("Basic.Cancel", "mine")


async def test_a_global_prefetch_on_a_quorum_queue_closes_the_connection(channel, inbox):
    await channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    await channel.basic_qos(prefetch_count=1, global_=True)

    with pytest.raises(ConnectionNotImplemented, match="queue 'q' in vhost '/' does not support global qos"):
        await channel.basic_consume("q", inbox)


async def test_recover_delivers_again(channel, inbox):
    await channel.queue_declare("q")
    await channel.basic_consume("q", inbox)
    await channel.basic_publish(b"m", routing_key="q")
    first = await inbox.next()

    await channel.basic_recover(requeue=True)
    second = await inbox.next()

    assert (first.redelivered, second.redelivered, second.body) == (False, True, b"m")


async def test_a_consumer_that_does_not_read_is_not_filled_up(devbroker, channel, raw, eventually):
    await channel.queue_declare("q")
    for _ in range(40):
        await channel.basic_publish(b"x" * 1_000_000, routing_key="q")
    queue = devbroker.broker.topology.queues["q"]
    await raw.shake_hands()
    await raw.open_channel()

    raw.say(commands.Basic.Consume(queue="q", no_ack=True), channel=1)
    await eventually(lambda: len(queue.ready) < 40)
    await channel.queue_declare("q", passive=True)
    assert len(queue.ready) > 0

    received = 0
    while received < 40_000_000:
        frame = await raw.hear()
        received += len(frame.payload) if isinstance(frame, Frame) and frame.kind is Kind.BODY else 0
    assert (received, len(queue.ready)) == (40_000_000, 0)
