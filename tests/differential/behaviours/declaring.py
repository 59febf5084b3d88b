"""Exchanges, queues and bindings: what may be declared, declared again, and deleted."""

import asyncio

from aiormq.abc import AbstractChannel
from pamqp.common import FieldTable

from tests.differential.client import (
    QUORUM,
    Arguments,
    Client,
    Inbox,
    Observation,
    declare,
    drain,
    exists,
    passing_channel,
    put,
    ready,
    take,
    taken,
    until,
)


async def a_missing_queue_is_not_found(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.refusal(channel.queue_declare("missing", passive=True))


async def a_missing_exchange_is_not_found(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.refusal(channel.exchange_declare("missing", passive=True))


async def declaring_a_queue_again_alike_is_no_change(amqp: Client) -> Observation:
    channel = await amqp.channel()
    arguments: FieldTable = {**QUORUM, "x-delivery-limit": 20, "x-dead-letter-exchange": "dlx"}
    first = await channel.queue_declare("q", durable=True, arguments=arguments)
    again = await channel.queue_declare("q", durable=True, arguments=dict(reversed(arguments.items())))
    return [first.queue, again.queue, again.message_count, again.consumer_count]


async def a_classic_queue_may_be_named_so_or_not(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await channel.queue_declare("q", durable=True)
    return await amqp.refusal(channel.queue_declare("q", durable=True, arguments={"x-queue-type": "classic"}))


async def a_queue_is_not_made_transient_by_declaring_it_again(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    return await amqp.refusal(channel.queue_declare("q", durable=False))


async def a_queue_is_not_made_auto_delete_by_declaring_it_again(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    return await amqp.refusal(channel.queue_declare("q", durable=True, auto_delete=True))


async def a_queue_is_not_made_exclusive_by_declaring_it_again(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    return await amqp.refusal(channel.queue_declare("q", durable=True, exclusive=True))


async def _redeclared(amqp: Client, first: Arguments, again: Arguments, queue: str = "q") -> Observation:
    channel = await amqp.channel()
    await declare(channel, queue, **first)
    return await amqp.refusal(declare(channel, queue, **again))


async def an_argument_is_neither_added_nor_removed_by_declaring_again(amqp: Client) -> Observation:
    refusals = [
        await _redeclared(amqp, {}, {"message_ttl": 1_000}, queue="without"),
        await _redeclared(amqp, {"message_ttl": 70_000}, {}, queue="with"),
    ]
    return [str(refusal).partition(": received")[0] for refusal in refusals]


async def a_text_argument_is_not_changed_by_declaring_again(amqp: Client) -> Observation:
    first, again = ({"queue_type": "quorum", "dead_letter_exchange": name} for name in ("a", "b"))
    return await _redeclared(amqp, first, again)


async def a_delivery_limit_is_not_changed_by_declaring_again(amqp: Client) -> Observation:
    first, again = ({"queue_type": "quorum", "delivery_limit": limit} for limit in (20, 21))
    return await _redeclared(amqp, first, again)


async def a_classic_queue_is_not_made_quorum_by_declaring_again(amqp: Client) -> Observation:
    return await _redeclared(amqp, {}, {"queue_type": "quorum"})


async def an_overflow_is_not_changed_by_declaring_again(amqp: Client) -> Observation:
    first, again = ({"overflow": how} for how in ("drop-head", "reject-publish"))
    return await _redeclared(amqp, first, again)


async def a_quorum_queue_cannot_be_transient(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.refusal(channel.queue_declare("q", durable=False, arguments=QUORUM))


async def a_quorum_queue_cannot_be_auto_delete(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.refusal(channel.queue_declare("q", durable=True, auto_delete=True, arguments=QUORUM))


async def a_quorum_queue_cannot_be_exclusive(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.refusal(channel.queue_declare("q", durable=True, exclusive=True, arguments=QUORUM))


async def wrong_queue_arguments_are_a_precondition_failed(amqp: Client) -> Observation:
    wrong: list[Arguments] = [
        {"message_ttl": -1},
        {"message_ttl": "soon"},
        {"max_length": -1},
        {"overflow": "burst"},
        {"queue_type": "none"},
        {"dead_letter_exchange": 1},
        {"dead_letter_routing_key": "without an exchange"},
        {"queue_type": "quorum", "dead_letter_strategy": "never"},
    ]
    return [await _declared_alone(amqp, arguments) for arguments in wrong]


async def a_classic_queue_takes_no_quorum_arguments(amqp: Client) -> Observation:
    wrong: list[Arguments] = [{"delivery_limit": 1}, {"dead_letter_strategy": "at-least-once"}]
    return [await _declared_alone(amqp, arguments) for arguments in wrong]


async def _declared_alone(amqp: Client, arguments: Arguments) -> Observation:
    async with passing_channel(amqp) as channel:
        return await amqp.kind_of_refusal(declare(channel, **arguments))


async def a_reserved_name_is_refused(amqp: Client) -> Observation:
    channel, other = await amqp.channel(), await amqp.channel()
    return [
        await amqp.refusal(channel.queue_declare("amq.mine")),
        await amqp.refusal(other.exchange_declare("amq.mine", exchange_type="direct")),
    ]


async def a_queue_without_a_name_gets_one_and_is_the_current_one(amqp: Client) -> Observation:
    channel = await amqp.channel()
    named = (await channel.queue_declare("", exclusive=True)).queue or ""
    await put(channel, "one", queue=named)
    message = await take(channel, "")
    return [named[:8], taken(message).routing_key == named]


async def a_channel_without_a_queue_has_no_current_one(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.refusal(channel.queue_bind("", "amq.direct", "key"))


async def another_connection_cannot_use_an_exclusive_queue(amqp: Client) -> Observation:
    channel, other = await amqp.channel(), await amqp.channel()
    await channel.queue_declare("q", exclusive=True)
    return await amqp.refusal(other.queue_declare("q", passive=True))


async def an_exclusive_queue_goes_with_its_connection(amqp: Client) -> Observation:
    async with passing_channel(amqp) as channel:
        await channel.queue_declare("q", exclusive=True)

    async def is_gone() -> bool:
        return not await exists(amqp, "q")

    return await until(is_gone)


async def an_auto_delete_queue_goes_with_its_last_consumer(amqp: Client) -> Observation:
    channel, other = await amqp.channel(), await amqp.channel()
    await channel.queue_declare("q", auto_delete=True)
    tags = [(await each.basic_consume("q", Inbox())).consumer_tag or "" for each in (channel, other)]
    await channel.basic_cancel(tags[0])
    remained = await exists(amqp, "q")
    await other.basic_cancel(tags[1])

    async def is_gone() -> bool:
        return not await exists(amqp, "q")

    return [remained, await until(is_gone)]


async def a_transient_queue_that_is_not_exclusive_is_accepted(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return (await channel.queue_declare("email")).queue


async def _exchange(channel: AbstractChannel) -> None:
    await channel.exchange_declare("e", exchange_type="direct", durable=True)


async def an_exchange_is_not_changed_by_declaring_it_again(amqp: Client) -> Observation:
    await _exchange(await amqp.channel())
    channels = [await amqp.channel() for _ in range(4)]
    return [
        await amqp.refusal(asked)
        for asked in (
            channels[0].exchange_declare("e", exchange_type="topic", durable=True),
            channels[1].exchange_declare("e", exchange_type="direct", durable=False),
            channels[2].exchange_declare("e", exchange_type="direct", durable=True, auto_delete=True),
            channels[3].exchange_declare("e", exchange_type="direct", durable=True, internal=True),
        )
    ]


async def declaring_an_exchange_again_alike_is_no_change(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await _exchange(channel)
    return await amqp.refusal(_exchange(channel))


async def an_exchange_of_an_unknown_type_is_refused(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.kind_of_refusal(channel.exchange_declare("e", exchange_type="strange"))


async def the_default_exchange_is_left_alone(amqp: Client) -> Observation:
    await declare(await amqp.channel())
    channels = [await amqp.channel() for _ in range(4)]
    return [
        await amqp.refusal(channels[0].exchange_declare("", exchange_type="direct", durable=True)),
        await amqp.refusal(channels[1].exchange_declare("", passive=True)),
        await amqp.refusal(channels[2].exchange_delete("")),
        await amqp.refusal(channels[3].queue_bind("q", "", "key")),
    ]


async def the_standard_exchanges_are_there_and_stay(amqp: Client) -> Observation:
    channel = await amqp.channel()
    names = ("amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match")
    found = [await amqp.refusal(channel.exchange_declare(name, passive=True)) for name in names]
    again = await amqp.refusal(channel.exchange_declare("amq.direct", exchange_type="direct", durable=True))
    return [*found, again, await amqp.refusal(channel.exchange_delete("amq.direct"))]


async def binding_what_is_missing_is_not_found(amqp: Client) -> Observation:
    await declare(await amqp.channel())
    channels = [await amqp.channel() for _ in range(2)]
    return [
        await amqp.refusal(channels[0].queue_bind("missing", "amq.direct", "key")),
        await amqp.refusal(channels[1].queue_bind("q", "missing", "key")),
    ]


async def taking_away_what_is_not_there_is_no_error(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    deleted = await channel.queue_delete("missing")
    return [
        deleted.message_count,
        await amqp.refusal(channel.exchange_delete("missing")),
        await amqp.refusal(channel.queue_unbind("q", "amq.direct", "key")),
        await amqp.refusal(channel.queue_unbind("missing", "amq.direct", "key")),
        await amqp.refusal(channel.queue_unbind("q", "missing", "key")),
        await amqp.refusal(channel.exchange_unbind("missing", "amq.direct", "key")),
        await amqp.refusal(channel.exchange_unbind("amq.direct", "missing", "key")),
        await amqp.refusal(channel.basic_cancel("missing")),
    ]


async def deleting_a_queue_says_how_many_messages_went_with_it(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    await put(channel, "one", "two")
    return (await channel.queue_delete("q")).message_count


async def purging_leaves_what_consumers_hold(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    await put(channel, "held", "waiting")
    held = await take(channel)
    purged = await channel.queue_purge("q")
    await channel.basic_nack(held.delivery_tag or 0, requeue=True)
    return [purged.message_count, await ready(channel)]


async def an_unknown_x_match_is_refused(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    arguments: FieldTable = {"x-match": "some", "a": 1}
    return await amqp.kind_of_refusal(channel.queue_bind("q", "amq.headers", "", arguments=arguments))


async def _bound(amqp: Client, *, durable: bool = False, auto_delete: bool = False) -> AbstractChannel:
    """Open a channel, with queue `q` bound to the fanout exchange `e`."""
    channel = await amqp.channel()
    await declare(channel)
    await channel.exchange_declare("e", exchange_type="fanout", durable=durable, auto_delete=auto_delete)
    await channel.queue_bind("q", "e")
    return channel


async def _exchange_exists(amqp: Client, name: str = "e") -> bool:
    async with passing_channel(amqp) as channel:
        return await amqp.kind_of_refusal(channel.exchange_declare(name, passive=True)) == "accepted"


async def an_auto_delete_exchange_goes_with_its_last_binding(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await channel.exchange_declare("e", exchange_type="fanout", auto_delete=True)
    unbound = await _exchange_exists(amqp)
    channel = await _bound(amqp, auto_delete=True)
    await channel.queue_bind("q", "e", "another")
    await channel.queue_unbind("q", "e", "another")
    bound = await _exchange_exists(amqp)
    await channel.queue_unbind("q", "e")
    return [unbound, bound, await _exchange_exists(amqp)]


async def an_auto_delete_exchange_goes_with_the_last_queue(amqp: Client) -> Observation:
    channel = await _bound(amqp, auto_delete=True, durable=True)
    await channel.exchange_declare("before", exchange_type="fanout", auto_delete=True)
    await channel.exchange_bind("e", "before")
    await channel.queue_delete("q")
    return [await _exchange_exists(amqp), await _exchange_exists(amqp, "before")]


async def an_auto_delete_exchange_is_not_made_lasting_by_declaring_it_again(amqp: Client) -> Observation:
    channel = await _bound(amqp, auto_delete=True)
    return await amqp.refusal(channel.exchange_declare("e", exchange_type="fanout"))


async def an_exchange_in_use_is_not_deleted_if_unused(amqp: Client) -> Observation:
    await _bound(amqp)
    first, second = await amqp.channel(), await amqp.channel()
    refused = await amqp.refusal(first.exchange_delete("e", if_unused=True))
    await second.queue_unbind("q", "e")
    return [
        refused,
        await amqp.refusal(second.exchange_delete("e", if_unused=True)),
        await _exchange_exists(amqp),
    ]


async def a_queue_is_deleted_only_if_unused_and_empty(amqp: Client) -> Observation:
    channel, others = await amqp.channel(), [await amqp.channel() for _ in range(5)]
    await declare(channel)
    empty_and_unused = await channel.queue_delete("q", if_unused=True, if_empty=True)
    await declare(channel)
    await put(channel, "a")
    not_empty = await amqp.refusal(others[0].queue_delete("q", if_empty=True))
    not_empty_but_unused = await amqp.refusal(others[1].queue_delete("q", if_unused=True))
    await declare(channel)
    await channel.basic_consume("q", Inbox())
    in_use = await amqp.refusal(others[2].queue_delete("q", if_unused=True))
    await put(others[3], "held")
    await ready(others[3])
    held = await amqp.refusal(others[3].queue_delete("q", if_empty=True))
    return [empty_and_unused.message_count, not_empty, not_empty_but_unused, in_use, held]


async def a_quorum_queue_is_deleted_without_conditions_only(amqp: Client) -> Observation:
    await declare(await amqp.channel(), queue_type="quorum")
    first, second = await amqp.channel(), await amqp.channel()
    return [
        await amqp.refusal(first.queue_delete("q", if_unused=True)),
        await amqp.refusal(second.queue_delete("q", if_empty=True)),
    ]


async def a_message_goes_from_exchange_to_exchange_once(amqp: Client) -> Observation:
    channel = await _bound(amqp)
    await channel.exchange_declare("topic", exchange_type="topic")
    await channel.exchange_bind("e", "topic", "a.#")
    await channel.exchange_bind("topic", "e", "#")
    await channel.queue_bind("q", "topic", "a.*")
    for key in ("a.b", "b", "a.b.c"):
        await channel.basic_publish(key.encode(), exchange="topic", routing_key=key)
    found = await drain(channel)
    await channel.exchange_unbind("e", "topic", "a.#")
    await channel.basic_publish(b"after", exchange="topic", routing_key="a.b.c")
    return [found, await drain(channel)]


async def a_deleted_exchange_leaves_no_way_to_it(amqp: Client) -> Observation:
    channel = await _bound(amqp)
    await channel.exchange_declare("source", exchange_type="fanout")
    await channel.exchange_bind("e", "source")
    await channel.exchange_delete("e")
    await channel.exchange_declare("e", exchange_type="fanout")
    await channel.queue_bind("q", "e")
    await channel.basic_publish(b"lost", exchange="source")
    return await drain(channel)


async def binding_exchanges_that_are_missing_or_reserved_is_refused(amqp: Client) -> Observation:
    channels = [await amqp.channel() for _ in range(5)]
    return [
        await amqp.refusal(channels[0].exchange_bind("missing", "amq.direct")),
        await amqp.refusal(channels[1].exchange_bind("amq.direct", "missing")),
        await amqp.refusal(channels[2].exchange_bind("", "amq.direct")),
        await amqp.refusal(channels[3].exchange_bind("amq.direct", "")),
        await amqp.refusal(channels[4].exchange_unbind("amq.direct", "amq.fanout", "never")),
    ]


async def an_unused_queue_expires(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel, expires=150)
    await put(channel, "a")

    async def is_gone() -> bool:
        await asyncio.sleep(0.2)  # a passive declaration counts as use of the queue
        return not await exists(amqp, "q")

    return await until(is_gone)


async def a_consumer_keeps_its_queue_from_expiring(amqp: Client) -> Observation:
    channel, inbox = await amqp.channel(), Inbox()
    await declare(channel, expires=50)
    tag = (await channel.basic_consume("q", inbox, no_ack=True)).consumer_tag or ""
    await declare(channel, "clock", message_ttl=150, dead_letter_exchange="", dead_letter_routing_key="q")
    await put(channel, "later", queue="clock")
    came = await inbox.bodies(1)
    await channel.basic_cancel(tag)

    async def is_gone() -> bool:
        await asyncio.sleep(0.1)
        return not await exists(amqp, "q")

    return [came, await until(is_gone)]


async def a_time_to_be_unused_is_a_number_above_zero(amqp: Client) -> Observation:
    channels = [await amqp.channel() for _ in range(4)]
    wrong: list[Arguments] = [{"expires": 0}, {"expires": -1}, {"expires": "soon"}]
    refused = [
        await amqp.kind_of_refusal(declare(each, **arguments))
        for each, arguments in zip(channels, wrong, strict=False)
    ]
    await declare(channels[3], expires=60_000)
    return [
        *refused,
        str(await amqp.refusal(declare(channels[3], expires=60_001))).partition(": received")[0],
    ]
