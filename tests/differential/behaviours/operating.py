"""The brokers under an operator: memory that runs out, a restart, dead letters that must wait."""

import asyncio
from collections.abc import Awaitable, Callable

from pamqp import commands

from tests.differential.client import (
    Client,
    Observation,
    Properties,
    declare,
    drain,
    exists,
    put,
    seen,
    take,
    taken,
    text,
)
from tests.differential.operators import Operator
from tests.differential.raw import RawClient, content_header, raw_channel

OperatedBehaviour = Callable[[Client, Operator], Awaitable[Observation]]


async def _hear_until(raw: RawClient, name: str) -> Observation:
    """Wait for a method of this name; return its reason, or None. Confirms may come before or after."""
    while True:
        method = await raw.hear()
        if isinstance(method, str):
            return method
        if not isinstance(method, bytes) and method.name == name:
            return getattr(method, "reason", None)


async def who_publishes_waits_for_memory_and_is_told(amqp: Client, operator: Operator) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    await put(channel, "before")
    consumer = await amqp.channel()
    await operator.fill_memory()
    async with raw_channel(amqp) as raw:
        raw.say(commands.Basic.Publish(routing_key="q"))
        raw.send(content_header(0))
        blocked = await _hear_until(raw, "Connection.Blocked")
        got = text(await take(consumer, no_ack=True))
        await operator.free_memory()
        unblocked = await _hear_until(raw, "Connection.Unblocked")
        after = text(await take(consumer, no_ack=True))
    return [blocked, got, unblocked, after]


async def _before_restart(amqp: Client) -> None:
    channel = await amqp.channel()
    await declare(channel, "classic")
    await declare(channel, "quorum", queue_type="quorum", delivery_limit=20)
    await channel.queue_declare("transient")
    await channel.exchange_declare("durable", exchange_type="direct", durable=True)
    await channel.exchange_declare("passing", exchange_type="direct")
    await channel.queue_bind("classic", "durable", "key")
    for queue in ("classic", "quorum"):
        await put(channel, "a", "b", queue=queue)
        await channel.basic_publish(b"c", routing_key=queue, properties=Properties(delivery_mode=1))


async def what_is_durable_outlives_a_restart(amqp: Client, operator: Operator) -> Observation:
    await _before_restart(amqp)
    await operator.restart()
    amqp.move_to(operator.url)
    channel, other = await amqp.channel(), await amqp.channel()
    bodies = [await drain(channel, queue) for queue in ("classic", "quorum")]
    await channel.basic_publish(b"bound", exchange="durable", routing_key="key", mandatory=True)
    return [
        bodies,
        text(await take(channel, "classic")),
        await exists(amqp, "transient"),
        await amqp.refusal(other.exchange_declare("passing", passive=True)),
    ]


async def what_was_held_at_a_restart_comes_back_in_its_place(amqp: Client, operator: Operator) -> Observation:
    await _before_restart(amqp)
    channel = await amqp.channel()
    for queue in ("classic", "quorum"):
        await take(channel, queue)
    await operator.restart()
    amqp.move_to(operator.url)
    channel = await amqp.channel()
    found = [await take(channel, queue) for queue in ("classic", "quorum")]
    return [[text(each), taken(each).redelivered] for each in found]


async def what_nobody_saw_before_a_restart(amqp: Client, operator: Operator) -> Observation:
    await _before_restart(amqp)
    await operator.restart()
    amqp.move_to(operator.url)
    channel = await amqp.channel()
    return [taken(await take(channel, queue)).redelivered for queue in ("classic", "quorum")]


async def _source(amqp: Client, operator: Operator) -> None:
    await operator.retry_soon()
    channel = await amqp.channel()
    await declare(
        channel,
        queue_type="quorum",
        dead_letter_exchange="amq.direct",
        dead_letter_routing_key="letter",
        dead_letter_strategy="at-least-once",
        overflow="reject-publish",
    )
    await put(channel, "letter")


async def a_letter_waits_at_its_source_while_its_target_is_full(
    amqp: Client, operator: Operator
) -> Observation:
    await _source(amqp, operator)
    channel = await amqp.channel()
    await declare(channel, "target", max_length=1, overflow="reject-publish")
    await channel.queue_bind("target", "amq.direct", "letter")
    await put(channel, "first", queue="target")
    await channel.basic_reject((await take(channel)).delivery_tag or 0, requeue=False)
    await asyncio.sleep(1)  # longer than the retry interval: the letter is refused at least once
    first = text(await take(channel, "target", no_ack=True))
    return [first, seen(await take(channel, "target", no_ack=True)), await drain(channel)]


async def a_letter_waits_at_its_source_until_a_queue_is_bound(
    amqp: Client, operator: Operator
) -> Observation:
    await _source(amqp, operator)
    channel = await amqp.channel()
    await channel.basic_reject((await take(channel)).delivery_tag or 0, requeue=False)
    await asyncio.sleep(1)
    await declare(channel, "target")
    await channel.queue_bind("target", "amq.direct", "letter")
    return seen(await take(channel, "target", no_ack=True))


OPERATED: list[OperatedBehaviour] = [
    who_publishes_waits_for_memory_and_is_told,
    what_is_durable_outlives_a_restart,
    what_was_held_at_a_restart_comes_back_in_its_place,
    what_nobody_saw_before_a_restart,
    a_letter_waits_at_its_source_while_its_target_is_full,
    a_letter_waits_at_its_source_until_a_queue_is_bound,
]
