"""Messages that expire, and dead letters: which queue they reach, and which headers they get."""

from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.common import FieldTable

from tests.differential.client import (
    Arguments,
    Client,
    Inbox,
    Observation,
    Properties,
    declare,
    drain,
    put,
    ready,
    seen,
    take,
    taken,
)

LETTERS = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}
AT_LEAST_ONCE = {"dead_letter_strategy": "at-least-once", "overflow": "reject-publish"}
QUORUM = {"queue_type": "quorum"}
OWN: FieldTable = {"own": [1, {"a": "b"}]}


async def _with_letters(amqp: Client, **arguments: str | int) -> AbstractChannel:
    """Open a channel with a queue `q`, whose dead letters go to the queue `dead`."""
    channel = await amqp.channel()
    await declare(channel, "dead")
    await declare(channel, **LETTERS, **arguments)
    return channel


def _tag(message: DeliveredMessage) -> int:
    return message.delivery_tag or 0


async def a_message_expires_after_its_queue_s_time(amqp: Client) -> Observation:
    channel = await _with_letters(amqp, message_ttl=50)
    await put(channel, "a")
    return [seen(await take(channel, "dead")), await drain(channel)]


async def a_message_expires_after_its_own_time(amqp: Client) -> Observation:
    channel = await _with_letters(amqp, **QUORUM)
    await put(channel, "a", expiration="50")
    return [seen(await take(channel, "dead")), await drain(channel)]


async def the_shorter_time_to_live_counts(amqp: Client) -> Observation:
    channel = await _with_letters(amqp, message_ttl=50, **QUORUM)
    await put(channel, "a", expiration="60000")
    return seen(await take(channel, "dead"))


async def a_message_without_time_is_delivered_at_once_or_dead(amqp: Client) -> Observation:
    channel, inbox = await _with_letters(amqp), Inbox()
    await put(channel, "a", expiration="0")
    dead = await drain(channel, "dead")
    await channel.basic_consume("q", inbox, no_ack=True)
    await put(channel, "b", expiration="0")
    return [dead, await inbox.bodies(1), await drain(channel, "dead")]


async def only_the_first_of_a_queue_expires(amqp: Client) -> Observation:
    channel = await _with_letters(amqp)
    await put(channel, "lasting")
    await put(channel, "short", expiration="20")
    waiting = await ready(channel)
    await take(channel, no_ack=True)
    return [waiting, seen(await take(channel, "dead"))]


async def what_a_consumer_holds_does_not_expire(amqp: Client) -> Observation:
    channel = await _with_letters(amqp, message_ttl=50)
    await put(channel, "a")
    held = await take(channel)
    dead = await ready(channel, "dead")
    await channel.basic_ack(_tag(held))
    return [dead, await drain(channel, "dead")]


async def what_is_returned_too_late_is_dead(amqp: Client) -> Observation:
    channel = await _with_letters(amqp, message_ttl=50)
    await put(channel, "a")
    held = await take(channel)
    await ready(channel)
    await channel.basic_nack(_tag(held), requeue=True)
    return seen(await take(channel, "dead"))


async def _rejected_letter(
    amqp: Client, arguments: Arguments, headers: FieldTable | None = None
) -> Observation:
    channel = await _with_letters(amqp, **arguments)
    await put(channel, "a", headers=headers or {}, expiration="60000")
    await channel.basic_reject(_tag(await take(channel)), requeue=False)
    return seen(await take(channel, "dead"))


async def a_rejected_message_is_a_letter_that_does_not_expire(amqp: Client) -> Observation:
    return await _rejected_letter(amqp, {}, OWN)


async def a_quorum_queue_writes_the_same_letters(amqp: Client) -> Observation:
    return await _rejected_letter(amqp, QUORUM, OWN)


async def at_least_once_writes_the_same_letters(amqp: Client) -> Observation:
    return await _rejected_letter(amqp, QUORUM | AT_LEAST_ONCE)


async def a_client_s_own_x_death_is_ignored(amqp: Client) -> Observation:
    death: FieldTable = {
        "queue": "q",
        "reason": "rejected",
        "count": 7,
        "exchange": "",
        "routing-keys": ["q"],
        "time": 1,
    }
    return await _rejected_letter(amqp, {}, {"x-death": [death]})


async def an_overflowing_message_is_a_letter(amqp: Client) -> Observation:
    channel = await _with_letters(amqp, max_length=1)
    await put(channel, "a", "b")
    return [seen(await take(channel, "dead")), await drain(channel)]


async def a_message_delivered_too_often_is_a_letter(amqp: Client) -> Observation:
    channel = await _with_letters(amqp, delivery_limit=1, **QUORUM)
    await put(channel, "a", headers={"own": 1})
    for _ in range(2):
        await channel.basic_nack(_tag(await take(channel)), requeue=True)
    return seen(await take(channel, "dead"))


async def a_message_held_too_often_is_a_letter(amqp: Client) -> Observation:
    channel = await _with_letters(amqp, delivery_limit=0, **QUORUM)
    await put(channel, "a")
    other = await amqp.channel()
    await take(other)
    await other.close()
    return seen(await take(channel, "dead"))


async def _moved_on(amqp: Client, first: str, second: str) -> Observation:
    """Reject a message in two queues; return what the third queue tells about the dead letter."""
    channel = await amqp.channel()
    await declare(channel, "a", queue_type=first, dead_letter_exchange="", dead_letter_routing_key="b")
    await declare(channel, "b", queue_type=second, dead_letter_exchange="", dead_letter_routing_key="c")
    await declare(channel, "c", queue_type="quorum")
    await put(channel, "m", queue="a")
    for queue in "ab":
        await channel.basic_reject(_tag(await take(channel, queue)), requeue=False)
    letter = await take(channel, "c")
    found = letter.header.properties.headers or {}
    return [taken(letter).redelivered, str(found.get("x-delivery-count", 0))]


async def a_rejected_letter_arrives_as_redelivered_after_quorum_queues(amqp: Client) -> Observation:
    return await _moved_on(amqp, "quorum", "quorum")


async def a_rejected_letter_remembers_the_quorum_queue_before_a_classic_one(amqp: Client) -> Observation:
    return await _moved_on(amqp, "quorum", "classic")


async def a_rejected_letter_of_classic_queues_arrives_as_new(amqp: Client) -> Observation:
    return await _moved_on(amqp, "classic", "classic")


async def a_letter_keeps_its_key_unless_the_queue_has_one(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await channel.exchange_declare("dlx", exchange_type="fanout")
    await declare(channel, "dead")
    await channel.queue_bind("dead", "dlx")
    await declare(channel, "own", dead_letter_exchange="dlx")
    await declare(channel, "set", dead_letter_exchange="dlx", dead_letter_routing_key="key")
    found: list[Observation] = []
    for queue in ("own", "set"):
        await put(channel, queue, queue=queue)
        await channel.basic_reject(_tag(await take(channel, queue)), requeue=False)
        found.append(seen(await take(channel, "dead", no_ack=True)))
    return found


async def _round_trip(amqp: Client, rounds: int, **arguments: str | int) -> AbstractChannel:
    """Let a message become a dead letter several times: rejected in `q`, expired in `wait`, and back in `q`."""
    channel = await amqp.channel()
    await declare(channel, dead_letter_exchange="", dead_letter_routing_key="wait", **arguments)
    await declare(
        channel, "wait", message_ttl=20, dead_letter_exchange="", dead_letter_routing_key="q", **arguments
    )
    await put(channel, "a")
    for _ in range(rounds):
        await channel.basic_reject(_tag(await take(channel)), requeue=False)
    return channel


async def deaths_are_counted_by_queue_and_reason(amqp: Client) -> Observation:
    channel = await _round_trip(amqp, 3)
    return seen(await take(channel))


async def a_circle_of_expiry_alone_ends(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel, message_ttl=20, dead_letter_exchange="", dead_letter_routing_key="other")
    await declare(channel, "other", message_ttl=20, dead_letter_exchange="", dead_letter_routing_key="q")
    await put(channel, "a")
    return [await ready(channel), await ready(channel, "other")]


async def a_letter_for_nobody_is_dropped(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel, dead_letter_exchange="amq.direct", **QUORUM)
    await put(channel, "a")
    await channel.basic_reject(_tag(await take(channel)), requeue=False)
    return await drain(channel)


async def a_letter_for_a_missing_exchange_is_dropped(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await declare(channel, dead_letter_exchange="missing")
    await put(channel, "a", expiration="10")
    return [await ready(channel), await drain(channel)]


async def at_least_once_keeps_a_letter_that_reaches_nobody(amqp: Client) -> Observation:
    channel = await amqp.channel()
    await channel.exchange_declare("dlx", exchange_type="fanout", durable=True)
    await declare(channel, dead_letter_exchange="dlx", **QUORUM, **AT_LEAST_ONCE)
    await put(channel, "a")
    await channel.basic_reject(_tag(await take(channel)), requeue=False)
    deleted = [await ready(channel)]
    await channel.queue_purge("q")
    return deleted


async def a_letter_goes_to_each_queue_that_its_exchange_reaches(amqp: Client) -> Observation:
    channel = await amqp.channel()
    for queue in ("one", "two"):
        await declare(channel, queue)
        await channel.queue_bind(queue, "amq.fanout")
    await declare(channel, dead_letter_exchange="amq.fanout", **QUORUM, **AT_LEAST_ONCE)
    await channel.basic_publish(b"a", routing_key="q", properties=Properties(delivery_mode=2))
    await channel.basic_reject(_tag(await take(channel)), requeue=False)
    return [seen(await take(channel, "one")), seen(await take(channel, "two"))]
