"""Settling: acknowledged, returned, rejected or requeued messages, and what counts towards the delivery limit."""

from collections.abc import Awaitable, Callable

from aiormq.abc import AbstractChannel, DeliveredMessage

from tests.differential.client import (
    Client,
    Inbox,
    Observation,
    declare,
    drain,
    headers,
    passing_channel,
    put,
    seen,
    take,
    taken,
    text,
)

KINDS = ("classic", "quorum")
LETTERS = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}


def _tag(message: DeliveredMessage) -> int:
    return message.delivery_tag or 0


async def an_unknown_delivery_tag_is_a_precondition_failed(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await channel.basic_ack(77)
    return await amqp.refusal(channel.basic_get("q"))


async def a_delivery_is_acknowledged_once(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    await put(channel, "one")
    tag = _tag(await take(channel))
    await channel.basic_ack(tag)
    await channel.basic_ack(tag)
    return await amqp.refusal(channel.basic_get("q"))


async def tag_zero_alone_is_no_delivery(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    await channel.basic_ack(0)
    return await amqp.refusal(channel.basic_get("q"))


async def tag_zero_with_multiple_is_everything(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    await channel.basic_ack(0, multiple=True)
    await put(channel, *"abc")
    for _ in range(2):
        await take(channel)
    await channel.basic_ack(0, multiple=True)
    await channel.basic_recover(requeue=True)
    return await drain(channel)


async def multiple_acknowledges_all_up_to_a_tag(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    await put(channel, *"abcd")
    tags = [_tag(await take(channel)) for _ in range(4)]
    await channel.basic_ack(tags[2], multiple=True)
    await channel.basic_recover(requeue=True)
    return await drain(channel)


async def a_delivery_tag_counts_in_its_channel(amqp: Client) -> Observation:
    connection = await amqp.connect()
    one, two = await connection.channel(), await connection.channel()
    await declare(one)
    await put(one, *"abc")
    return [(await take(channel)).delivery_tag for channel in (one, two, one)]


async def _in_both_kinds(
    amqp: Client, act: Callable[[AbstractChannel, str], Awaitable[Observation]]
) -> Observation:
    """Make the same observation with a classic and with a quorum queue."""
    channel = await amqp.channel()
    found: dict[str, Observation] = {}
    for kind in KINDS:
        await declare(channel, kind, queue_type=kind)
        found[kind] = await act(channel, kind)
    return found


async def a_returned_message_is_redelivered_before_the_others(amqp: Client) -> Observation:
    async def act(channel: AbstractChannel, queue: str) -> Observation:
        await put(channel, *"abc", queue=queue)
        first = await take(channel, queue)
        await channel.basic_nack(_tag(first), requeue=True)
        return [seen(first), seen(await take(channel, queue, no_ack=True)), await drain(channel, queue)]

    return await _in_both_kinds(amqp, act)


async def a_message_returned_to_a_limited_queue_is_next_and_counted(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel, queue_type="quorum", delivery_limit=20)
    await put(channel, *"ab")
    told: list[Observation] = []
    for _ in range(3):
        message = await take(channel)
        told.append(seen(message))
        await channel.basic_nack(_tag(message), requeue=True)
    return [*told, await drain(channel)]


async def messages_returned_together_keep_their_order(amqp: Client) -> Observation:
    async def act(channel: AbstractChannel, queue: str) -> Observation:
        await put(channel, *"abcd", queue=queue)
        taken = [await take(channel, queue) for _ in range(3)]
        await channel.basic_nack(_tag(taken[-1]), multiple=True, requeue=True)
        return await drain(channel, queue)

    return await _in_both_kinds(amqp, act)


async def messages_returned_one_by_one_come_back(amqp: Client) -> Observation:
    async def act(channel: AbstractChannel, queue: str) -> Observation:
        await put(channel, *"abcd", queue=queue)
        taken = [await take(channel, queue) for _ in range(3)]
        await channel.basic_nack(_tag(taken[1]), requeue=True)
        await channel.basic_reject(_tag(taken[0]), requeue=True)
        return await drain(channel, queue)

    return await _in_both_kinds(amqp, act)


async def a_closed_channel_gives_back_in_order(amqp: Client) -> Observation:
    async def act(channel: AbstractChannel, queue: str) -> Observation:
        await put(channel, *"abc", queue=queue)
        async with passing_channel(amqp) as other:
            for _ in range(2):
                await take(other, queue)
            await other.close()
        return [seen(await take(channel, queue, no_ack=True)), await drain(channel, queue)]

    return await _in_both_kinds(amqp, act)


async def a_lost_connection_gives_back_in_order(amqp: Client) -> Observation:
    async def act(channel: AbstractChannel, queue: str) -> Observation:
        await put(channel, *"abc", queue=queue)
        async with passing_channel(amqp) as other:
            for _ in range(2):
                await take(other, queue)
        return [seen(await take(channel, queue, no_ack=True)), await drain(channel, queue)]

    return await _in_both_kinds(amqp, act)


async def what_one_consumer_returns_another_gets(amqp: Client) -> Observation:
    channel, other = await amqp.channel(), await amqp.channel()
    one, two = Inbox(), Inbox()
    await declare(channel, queue_type="quorum")
    await channel.basic_consume("q", one, consumer_tag="one")
    await put(channel, "a")
    held = await one.next()
    await other.basic_consume("q", two)
    await channel.basic_cancel("one")
    await channel.basic_nack(_tag(held), requeue=True)
    return seen(await two.next())


async def recovering_redelivers_what_is_held(amqp: Client) -> Observation:
    async def act(channel: AbstractChannel, queue: str) -> Observation:
        inbox = Inbox()
        await channel.basic_consume(queue, inbox)
        await put(channel, "a", "b", queue=queue)
        for _ in range(2):
            await inbox.next()
        await channel.basic_recover(requeue=True)
        return [seen(await inbox.next()), seen(await inbox.next())]

    return await _in_both_kinds(amqp, act)


async def a_rejected_message_without_a_dead_letter_exchange_is_gone(amqp: Client) -> Observation:
    async def act(channel: AbstractChannel, queue: str) -> Observation:
        await put(channel, "a", queue=queue)
        await channel.basic_reject(_tag(await take(channel, queue)), requeue=False)
        return await drain(channel, queue)

    return await _in_both_kinds(amqp, act)


async def a_quorum_queue_counts_deliveries_in_a_header(amqp: Client) -> Observation:
    async def act(channel: AbstractChannel, queue: str) -> Observation:
        await put(channel, "a", queue=queue, headers={"x-delivery-count": 77, "own": 1})
        found: list[Observation] = []
        for _ in range(4):
            message = await take(channel, queue)
            found.append(headers(message))
            await channel.basic_nack(_tag(message), requeue=True)
        return found

    return await _in_both_kinds(amqp, act)


async def _give_back(amqp: Client, how: str) -> Observation:
    """Take a message from `q` and requeue it in one of several ways; return its headers."""
    async with passing_channel(amqp) as channel:
        if how.startswith("consume"):
            inbox = Inbox()
            await channel.basic_consume("q", inbox, consumer_tag="tag")
            message = await inbox.next()
            await channel.basic_cancel("tag")
        else:
            message = await take(channel)
        match how.partition(" and ")[2]:
            case "nack":
                await channel.basic_nack(_tag(message), requeue=True)
            case "reject":
                await channel.basic_reject(_tag(message), requeue=True)
            case "recover":
                await channel.basic_recover(requeue=True)
            case _:
                await channel.close()
        return headers(message)


async def _counted(amqp: Client, how: str) -> Observation:
    """Requeue a message until it becomes a dead letter: the limit is 2, so this happens at the third time."""
    channel = await amqp.channel()
    await declare(channel, "dead")
    await declare(channel, queue_type="quorum", delivery_limit=2, **LETTERS)
    await put(channel, "a")
    told = [await _give_back(amqp, how) for _ in range(3)]
    return [told, text(await take(channel, "dead", no_ack=True)), await drain(channel)]


async def a_message_nacked_too_often_is_dead(amqp: Client) -> Observation:
    return await _counted(amqp, "get and nack")


async def a_message_rejected_back_too_often_is_dead(amqp: Client) -> Observation:
    return await _counted(amqp, "get and reject")


async def a_message_recovered_too_often_is_dead(amqp: Client) -> Observation:
    return await _counted(amqp, "get and recover")


async def a_message_held_by_too_many_closed_channels_is_dead(amqp: Client) -> Observation:
    return await _counted(amqp, "get and close the channel")


async def a_message_held_by_too_many_closed_connections_is_dead(amqp: Client) -> Observation:
    return await _counted(amqp, "get and close the connection")


async def a_message_consumed_and_nacked_too_often_is_dead(amqp: Client) -> Observation:
    return await _counted(amqp, "consume and nack")


async def a_message_of_too_many_cancelled_consumers_is_dead(amqp: Client) -> Observation:
    return await _counted(amqp, "consume and close the channel")


async def _returned_until_dead(amqp: Client, most: int, **arguments: str | int) -> Observation:
    channel = await amqp.channel()
    await declare(channel, "dead")
    await declare(channel, **LETTERS, **arguments)
    await put(channel, "a")
    for count in range(most + 1):
        message = await take(channel, "q", "dead")
        if taken(message).routing_key == "dead":
            return f"dead after {count}"
        await channel.basic_nack(_tag(message), requeue=True)
    return "alive"


async def a_quorum_queue_without_a_limit_has_the_default_limit(amqp: Client) -> Observation:
    return await _returned_until_dead(amqp, 25, queue_type="quorum")


async def a_negative_delivery_limit_is_none(amqp: Client) -> Observation:
    return await _returned_until_dead(amqp, 25, queue_type="quorum", delivery_limit=-1)


async def with_a_delivery_limit_of_zero_the_first_return_is_the_last(amqp: Client) -> Observation:
    return await _returned_until_dead(amqp, 3, queue_type="quorum", delivery_limit=0)


async def a_classic_queue_has_no_delivery_limit(amqp: Client) -> Observation:
    return await _returned_until_dead(amqp, 25, queue_type="classic")
