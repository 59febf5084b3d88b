"""Publishing: which queues a message reaches, what the broker answers the publisher, and what arrives."""

from datetime import UTC, datetime

from aiormq.abc import AbstractChannel
from aiormq.exceptions import PublishError
from pamqp import commands
from pamqp.common import FieldTable

from tests.differential.client import (
    Client,
    Observation,
    Properties,
    declare,
    drain,
    drained,
    put,
    take,
    text,
    timeless,
)


async def a_publish_is_confirmed(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    confirm = await channel.basic_publish(b"one", routing_key="q")
    return [type(confirm).__name__, await drain(channel)]


async def confirms_count_from_one(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    return [
        getattr(await channel.basic_publish(b"x", routing_key="q"), "delivery_tag", None) for _ in range(3)
    ]


async def an_unroutable_message_comes_back_if_it_is_mandatory(amqp: Client) -> Observation:
    channel = await amqp.channel()
    try:
        await channel.basic_publish(b"one", exchange="amq.direct", routing_key="nowhere", mandatory=True)
    except PublishError as error:
        message = error.message
        assert message is not None
        method = message.delivery
        assert isinstance(method, commands.Basic.Return)
        return [text(message), method.reply_code, method.reply_text, method.exchange, method.routing_key]
    return "not returned"


async def an_unroutable_message_is_confirmed_and_dropped_if_it_is_not(amqp: Client) -> Observation:
    channel = await amqp.channel()
    confirm = await channel.basic_publish(
        b"one", exchange="amq.direct", routing_key="nowhere", mandatory=False
    )
    return type(confirm).__name__


async def publishing_to_a_missing_exchange_closes_the_channel(amqp: Client) -> Observation:
    channel = await amqp.channel()
    return await amqp.refusal(channel.basic_publish(b"one", exchange="missing"))


async def another_user_s_name_is_refused(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    return await amqp.kind_of_refusal(put(channel, "one", user_id="somebody"))


async def an_expiration_that_is_no_number_is_refused(amqp: Client) -> Observation:
    await declare(await amqp.channel())
    return [
        await amqp.kind_of_refusal(put(await amqp.channel(), "one", expiration=wrong))
        for wrong in ("soon", "-1", "12x", "", "1.5")
    ]


async def a_body_of_more_than_16_mib_closes_the_channel(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    body = bytes(16 * 1024 * 1024 + 1)
    return await amqp.kind_of_refusal(channel.basic_publish(body, routing_key="q"))


async def bodies_of_every_size_arrive_whole(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    sizes = (0, 1, 131_063, 131_064, 131_065, 1_048_576)
    for size in sizes:
        await channel.basic_publish(bytes(range(256)) * (size // 256) + bytes(size % 256), routing_key="q")
    arrived = [(await take(channel, no_ack=True)).body for _ in sizes]
    return [[len(body), body[:256] == bytes(range(256))] for body in arrived]


async def all_properties_arrive_as_they_were_sent(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel)
    sent = Properties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={"n": 1, "big": 2**40, "d": 0.5, "t": True, "none": None, "l": [1, "a", {"in": "side"}]},
        delivery_mode=2,
        priority=0,
        correlation_id="c",
        reply_to="r",
        expiration="60000",
        message_id="m",
        timestamp=datetime.fromtimestamp(1_700_000_000, UTC),
        message_type="email.v1",
        app_id="a",
    )
    await channel.basic_publish(b"one", routing_key="q", properties=sent)
    arrived = (await take(channel, no_ack=True)).header.properties
    return {name: timeless(value) for name, value in dict(arrived).items()}


async def _bound(channel: AbstractChannel, exchange: str, keys: dict[str, list[str]]) -> None:
    for queue, patterns in keys.items():
        await declare(channel, queue)
        for pattern in patterns:
            await channel.queue_bind(queue, exchange, pattern)


async def _reached(
    channel: AbstractChannel, exchange: str, keys: list[str], queues: list[str]
) -> Observation:
    for key in keys:
        await channel.basic_publish(key.encode(), exchange=exchange, routing_key=key, mandatory=False)
    return await drained(channel, queues)


async def a_direct_exchange_compares_whole_keys(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await _bound(channel, "amq.direct", {"a": ["", "email"], "b": ["email"]})
    return await _reached(channel, "amq.direct", ["", "email", "email.x", "Email"], ["a", "b"])


async def a_fanout_exchange_ignores_keys(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await _bound(channel, "amq.fanout", {"a": ["x"], "b": [""]})
    return await _reached(channel, "amq.fanout", ["", "x", "y"], ["a", "b"])


async def a_topic_exchange_knows_one_word_and_any_number(amqp: Client) -> Observation:
    channel = await amqp.channel()
    patterns = ["#", "*", "a.*", "a.#", "#.a", "*.b.#", "a.#.b", "", "a..b"]
    queues = {f"q{number}": [pattern] for number, pattern in enumerate(patterns)}
    await _bound(channel, "amq.topic", queues)
    keys = ["", "a", "a.b", "a.b.c", "a..b", "b.a", "a.x.y.b", "."]
    return await _reached(channel, "amq.topic", keys, list(queues))


async def a_headers_exchange_wants_all_or_any(amqp: Client) -> Observation:
    channel = await amqp.channel()
    wanted: dict[str, FieldTable] = {
        "all": {"x-match": "all", "a": 1, "b": "x"},
        "any": {"x-match": "any", "a": 1, "b": "x"},
        "unsaid": {"a": 1, "b": "x"},
        "nothing": {},
        "present": {"a": None},
        "typed": {"a": "1"},
        "ours": {"x-own": 1, "a": 1},
    }
    for queue, arguments in wanted.items():
        await declare(channel, queue)
        await channel.queue_bind(queue, "amq.headers", "", arguments=arguments)
    sent: dict[str, FieldTable] = {"one": {"a": 1}, "both": {"a": 1, "b": "x"}, "none": {}, "two": {"a": 2}}
    for name, headers in sent.items():
        await channel.basic_publish(
            name.encode(), exchange="amq.headers", properties=Properties(headers=headers)
        )
    return await drained(channel, wanted)


async def a_queue_gets_one_copy_whatever_matches(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await _bound(channel, "amq.topic", {"q": ["#", "a", "a", "*"]})
    await channel.basic_publish(b"one", exchange="amq.topic", routing_key="a")
    return await drain(channel)


async def what_is_unbound_is_not_reached(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await _bound(channel, "amq.direct", {"q": ["a", "b"]})
    await channel.queue_unbind("q", "amq.direct", "a")
    return await _reached(channel, "amq.direct", ["a", "b"], ["q"])


async def a_full_queue_that_rejects_publishes_says_so(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel, max_length=1, overflow="reject-publish")
    await put(channel, "one")
    refusal = await amqp.kind_of_refusal(put(channel, "two"))
    taken = text(await take(channel, no_ack=True))
    return [refusal, taken, await amqp.kind_of_refusal(put(channel, "three"))]


async def a_full_queue_that_drops_its_head_keeps_the_latest(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel, max_length=2)
    await put(channel, "one", "two", "three")
    return await drain(channel)


async def one_refusing_queue_makes_the_whole_publish_refused(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel, "full", max_length=1, overflow="reject-publish")
    await declare(channel)
    for queue in ("full", "q"):
        await channel.queue_bind(queue, "amq.fanout")
    await channel.basic_publish(b"one", exchange="amq.fanout")
    refusal = await amqp.kind_of_refusal(channel.basic_publish(b"two", exchange="amq.fanout"))
    return [refusal, await drain(channel)]
