"""Mailpact's topology, row by row: what the contract publishes, and what legacy programs declare.

`contracts/topology.json` is declared as it stands; the other rows are the retry queues, status events, logs and cache
invalidation.
"""

import json
from pathlib import Path
from typing import Any

from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.common import FieldTable

from tests.differential.client import (
    QUORUM,
    Client,
    Inbox,
    Observation,
    Properties,
    declare,
    drain,
    drained,
    put,
    seen,
    take,
)

PUBLISHED: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[3] / "contracts" / "topology.json").read_text()
)
RETRY = "email.retry.1s"
RETRY_ARGUMENTS: FieldTable = {
    **QUORUM,
    "x-message-ttl": 100,
    "x-delivery-limit": 1_000_000,
    "x-dead-letter-exchange": "email.requeue",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


async def _declare_all(channel: AbstractChannel) -> None:
    for exchange in PUBLISHED["exchanges"]:
        await channel.exchange_declare(
            exchange["name"], exchange_type=exchange["type"], durable=exchange["durable"]
        )
    for queue in PUBLISHED["queues"]:
        await channel.queue_declare(queue["name"], durable=queue["durable"], arguments=queue["arguments"])
    for binding in PUBLISHED["bindings"]:
        await channel.queue_bind(binding["queue"], binding["exchange"], binding["routing_key"])


async def _declare_retries(channel: AbstractChannel) -> None:
    await channel.exchange_declare("email.requeue", exchange_type="fanout", durable=True)
    await channel.queue_bind("email.work", "email.requeue")
    await channel.exchange_declare("email.retry", exchange_type="direct", durable=True)
    await channel.queue_declare(RETRY, durable=True, arguments=RETRY_ARGUMENTS)
    await channel.queue_bind(RETRY, "email.retry", RETRY)


async def _topology(amqp: Client) -> AbstractChannel:
    channel = await amqp.channel()
    await _declare_all(channel)
    await _declare_retries(channel)
    return channel


def _tag(message: DeliveredMessage) -> int:
    return message.delivery_tag or 0


async def _send(channel: AbstractChannel, body: str, key: str = "", exchange: str = "email") -> None:
    properties = Properties(delivery_mode=2, content_type="application/json", message_id="id")
    await channel.basic_publish(
        body.encode(), exchange=exchange, routing_key=key, properties=properties, mandatory=True
    )


async def the_whole_topology_can_be_declared_twice(amqp: Client) -> Observation:
    await _topology(amqp)
    return await amqp.refusal(_topology(amqp))


async def a_message_with_either_key_is_work(amqp: Client) -> Observation:
    channel = await _topology(amqp)
    await _send(channel, "a", "")
    await _send(channel, "b", "email")
    refusal = await amqp.kind_of_refusal(_send(channel, "c", "other"))
    return [refusal, await drained(channel, ["email.work", "email.dead"])]


async def rejected_work_is_a_dead_letter(amqp: Client) -> Observation:
    channel = await _topology(amqp)
    await _send(channel, "a")
    await channel.basic_reject(_tag(await take(channel, "email.work")), requeue=False)
    return [seen(await take(channel, "email.dead")), await drain(channel, "email.work")]


async def work_that_comes_back_twenty_one_times_is_a_dead_letter(amqp: Client) -> Observation:
    channel, inbox = await _topology(amqp), Inbox()
    await _send(channel, "a")
    await channel.basic_consume("email.work", inbox)
    deliveries = 0
    for _ in range(21):
        await channel.basic_nack(_tag(await inbox.next()), requeue=True)
        deliveries += 1
    await take(channel, "email.dead")
    return [deliveries, await inbox.rest(channel, "email.work")]


async def a_retry_copy_comes_back_as_work(amqp: Client) -> Observation:
    channel = await _topology(amqp)
    await _send(channel, "a", RETRY, "email.retry")
    return [seen(await take(channel, "email.work")), await drain(channel, RETRY)]


async def a_retry_copy_comes_back_as_often_as_it_is_published(amqp: Client) -> Observation:
    channel = await _topology(amqp)
    told: list[Observation] = []
    for _ in range(3):
        await _send(channel, "a", RETRY, "email.retry")
        told.append(seen(await take(channel, "email.work", no_ack=True)))
    return told


async def looking_at_dead_letters_does_not_destroy_them(amqp: Client) -> Observation:
    channel = await _topology(amqp)
    await put(channel, "a", queue="email.dead")
    for _ in range(25):
        other = await amqp.channel()
        await take(other, "email.dead")
        await other.close()
    return await drain(channel, "email.dead")


async def a_letter_written_by_us_keeps_its_headers(amqp: Client) -> Observation:
    channel = await _topology(amqp)
    headers: Any = {"x-error-code": "schema", "x-error-pointer": "/email", "x-attempts": 3}
    await channel.basic_publish(
        b"a",
        exchange="email.dlx",
        routing_key="email",
        properties=Properties(headers=headers, delivery_mode=2),
    )
    return seen(await take(channel, "email.dead"))


async def an_existing_fanout_is_found_and_used(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await channel.exchange_declare("email", exchange_type="fanout", durable=True)
    refusal = await amqp.refusal(_declare_all(await amqp.channel()))
    passive = await amqp.refusal(channel.exchange_declare("email", passive=True))
    await declare(channel)
    await channel.queue_bind("q", "email", "")
    await _send(channel, "a", "any")
    return [refusal, passive, await drain(channel)]


async def a_legacy_queue_beside_ours_gets_a_copy(amqp: Client) -> Observation:
    channel = await _topology(amqp)
    await channel.queue_declare("email")
    await channel.queue_bind("email", "email", "email")
    await _send(channel, "a", "email")
    await put(channel, "b", queue="email")
    return await drained(channel, ["email", "email.work"])


async def status_events_go_by_their_name(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await channel.exchange_declare("email.status", exchange_type="topic", durable=True)
    for queue, pattern in (("all", "#"), ("sent", "sent"), ("bad", "failed")):
        await channel.queue_declare(queue, exclusive=True)
        await channel.queue_bind(queue, "email.status", pattern)
    for event in ("sent", "deferred", "failed"):
        await channel.basic_publish(event.encode(), exchange="email.status", routing_key=event)
    return await drained(channel, ["all", "sent", "bad"])


async def logs_are_kept_in_one_queue(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await channel.exchange_declare("logs", exchange_type="topic", durable=True)
    await declare(channel, "logs.all", queue_type="quorum", delivery_limit=1_000_000)
    await channel.queue_bind("logs.all", "logs", "#")
    for key in ("", "consumer", "consumer.info"):
        await channel.basic_publish(key.encode(), exchange="logs", routing_key=key)
    return await drain(channel, "logs.all")


async def each_site_hears_of_cache_invalidation(amqp: Client) -> Observation:
    sites = [await amqp.channel() for _ in range(2)]
    await sites[0].exchange_declare("cache.invalidation", exchange_type="fanout", durable=True)
    inboxes = [Inbox() for _ in sites]
    for site, inbox in zip(sites, inboxes, strict=True):
        queue = (await site.queue_declare("", exclusive=True)).queue or ""
        await site.queue_bind(queue, "cache.invalidation")
        await site.basic_consume(queue, inbox, no_ack=True)
    await sites[0].basic_publish(b"gone", exchange="cache.invalidation")
    return [await inbox.bodies(1) for inbox in inboxes]


async def a_full_work_queue_refuses_and_loses_nothing(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel, queue_type="quorum", max_length=3, overflow="reject-publish")
    taken = []
    for number in map(str, range(20)):
        if await amqp.kind_of_refusal(put(channel, number)) == "accepted":
            taken.append(number)
        else:
            break
    return [len(taken) < 20, await drain(channel) == taken]
