"""Consuming: who gets which message, in which order, and how many at a time."""

import aiormq
from pamqp import commands

from tests.differential.client import (
    Client,
    Inbox,
    Observation,
    declare,
    drain,
    put,
    ready,
    take,
    taken,
    text,
    until,
)


async def messages_come_in_the_order_of_publishing(amqp: Client) -> Observation:
    channel, inbox = await amqp.channel(), Inbox()
    await declare(channel, queue_type="quorum")
    await put(channel, *"abcdefghij")
    await channel.basic_consume("q", inbox)
    return await inbox.bodies(10)


async def an_empty_queue_answers_get_empty(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    return type((await channel.basic_get("q")).delivery).__name__


async def get_says_how_many_are_left(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    await put(channel, "one", "two", "three")
    return [taken(await take(channel)).message_count for _ in range(3)]


async def getting_from_a_missing_queue_is_not_found(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.refusal(channel.basic_get("missing"))


async def consuming_from_a_missing_queue_is_not_found(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.refusal(channel.basic_consume("missing", Inbox()))


async def _prefetched(amqp: Client, kind: str) -> Observation:
    channel, inbox = await amqp.channel(), Inbox()
    await declare(channel, queue_type=kind)
    await channel.basic_qos(prefetch_count=2)
    await channel.basic_consume("q", inbox)
    await put(channel, *"abcde")
    first = [await inbox.next() for _ in range(2)]
    held = await inbox.rest(channel)
    await channel.basic_ack(first[0].delivery_tag or 0)
    return [[text(each) for each in first], held, await inbox.bodies(1), await inbox.rest(channel)]


async def a_consumer_of_a_classic_queue_holds_no_more_than_its_prefetch(amqp: Client) -> Observation:
    return await _prefetched(amqp, "classic")


async def a_consumer_of_a_quorum_queue_holds_no_more_than_its_prefetch(amqp: Client) -> Observation:
    return await _prefetched(amqp, "quorum")


async def _shared(amqp: Client, kind: str) -> Observation:
    channel = await amqp.channel()
    await declare(channel, queue_type=kind)
    inboxes = [Inbox(), Inbox()]
    for inbox in inboxes:
        other = await amqp.channel()
        await other.basic_qos(prefetch_count=2)
        await other.basic_consume("q", inbox)
    await put(channel, *"abcdef")
    return [[await inbox.rest(channel) for inbox in inboxes], await ready(channel)]


async def two_consumers_of_a_classic_queue_take_turns(amqp: Client) -> Observation:
    return await _shared(amqp, "classic")


async def two_consumers_of_a_quorum_queue_take_turns(amqp: Client) -> Observation:
    return await _shared(amqp, "quorum")


async def a_slow_consumer_does_not_hold_up_a_quick_one(amqp: Client) -> Observation:
    channel, slow, quick = await amqp.channel(), Inbox(), Inbox()
    await declare(channel, queue_type="quorum")
    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume("q", slow)
    await put(channel, "a")
    await slow.next()
    other = await amqp.channel()
    await other.basic_consume("q", quick, no_ack=True)
    await put(channel, *"bcd")
    return [await quick.bodies(3), await slow.rest(channel)]


async def a_changed_prefetch_is_for_new_consumers(amqp: Client) -> Observation:
    channel, early, late = await amqp.channel(), Inbox(), Inbox()
    await declare(channel, "early")
    await declare(channel, "late")
    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume("early", early)
    await channel.basic_qos(prefetch_count=3)
    await channel.basic_consume("late", late)
    for queue in ("early", "late"):
        await put(channel, *"abcd", queue=queue)
    return [await early.rest(channel, "early"), await late.rest(channel, "late")]


async def a_prefetch_for_the_channel_is_shared_by_its_consumers(amqp: Client) -> Observation:
    channel, publisher, one, two = await amqp.channel(), await amqp.channel(), Inbox(), Inbox()
    await declare(channel, "one")
    await declare(channel, "two")
    await channel.basic_qos(prefetch_count=2, global_=True)
    await channel.basic_consume("one", one)
    await channel.basic_consume("two", two)
    await put(publisher, "a", "b", "c", queue="one")
    held = await one.rest(publisher, "one")
    await put(publisher, "d", queue="two")
    blocked = await two.rest(publisher, "two")
    await channel.basic_ack(2, multiple=True)
    return [held, blocked, await one.rest(publisher, "one"), await two.rest(publisher, "two")]


async def a_quorum_queue_knows_no_prefetch_for_the_channel(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel, queue_type="quorum")
    await channel.basic_qos(prefetch_count=2, global_=True)
    return await amqp.refusal(channel.basic_consume("q", Inbox()))


async def a_consumer_without_acks_ignores_its_prefetch(amqp: Client) -> Observation:
    channel, inbox = await amqp.channel(), Inbox()
    await declare(channel)
    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume("q", inbox, no_ack=True)
    await put(channel, *"abc")
    return [await inbox.bodies(3), await ready(channel)]


async def a_consumer_tag_is_used_once_in_a_channel(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    await channel.basic_consume("q", Inbox(), consumer_tag="tag")
    assert isinstance(channel, aiormq.Channel)
    return await amqp.refusal(channel.rpc(commands.Basic.Consume(queue="q", consumer_tag="tag")))


async def an_exclusive_consumer_stays_alone(amqp: Client) -> Observation:
    channel, second = await amqp.channel(), await amqp.channel()
    await declare(channel)
    await channel.basic_consume("q", Inbox(), exclusive=True)
    return await amqp.refusal(second.basic_consume("q", Inbox()))


async def nobody_consumes_exclusively_beside_another(amqp: Client) -> Observation:
    channel, second = await amqp.channel(), await amqp.channel()
    await declare(channel)
    await channel.basic_consume("q", Inbox())
    return await amqp.refusal(second.basic_consume("q", Inbox(), exclusive=True))


async def consumers_are_counted(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel, queue_type="quorum")
    tags = [(await channel.basic_consume("q", Inbox())).consumer_tag or "" for _ in range(2)]

    async def count() -> int | None:
        return (await channel.queue_declare("q", passive=True)).consumer_count

    async def are_two() -> bool:
        return await count() == 2

    async def is_one() -> bool:
        return await count() == 1

    both = await until(are_two)
    await channel.basic_cancel(tags[0])
    return [both, await until(is_one)]


async def a_cancelled_consumer_still_holds_its_messages(amqp: Client) -> Observation:
    channel, inbox = await amqp.channel(), Inbox()
    await declare(channel, queue_type="quorum")
    await channel.basic_consume("q", inbox, consumer_tag="tag")
    await put(channel, "one")
    held = await inbox.next()
    await channel.basic_cancel("tag")
    waiting = await ready(channel)
    await channel.basic_ack(held.delivery_tag or 0)
    return [waiting, await drain(channel)]


async def a_consumer_is_told_when_its_queue_is_deleted(amqp: Client) -> Observation:
    channel, other = await amqp.channel(), await amqp.channel()
    await declare(channel)
    await channel.basic_consume("q", Inbox(), consumer_tag="tag")
    await other.queue_delete("q")
    assert isinstance(channel, aiormq.Channel)
    consumers = channel.consumers

    async def is_told() -> bool:
        return "tag" not in consumers

    return await until(is_told)


async def deleting_a_queue_forgets_what_was_held(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    await put(channel, "one")
    held = await take(channel)
    counted = (await channel.queue_delete("q")).message_count
    await channel.basic_ack(held.delivery_tag or 0)
    await declare(channel)
    return [counted, await drain(channel)]


async def a_prefetch_in_bytes_is_not_implemented(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.refusal(channel.basic_qos(prefetch_size=5))


async def stopping_the_flow_is_not_implemented(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.refusal(channel.flow(active=False))


async def a_publish_that_must_be_consumed_at_once_is_not_implemented(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    return await amqp.refusal(channel.basic_publish(b"one", routing_key="q", immediate=True))


async def recovering_without_requeue_is_not_implemented(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.refusal(channel.basic_recover(requeue=False))
