import asyncio

import pytest
from aiormq.exceptions import ChannelNotFoundEntity, DeliveryError, PublishError
from pamqp import commands

from mailpact_devbroker import frames

PERSISTENT = commands.Basic.Properties(delivery_mode=2)


async def test_a_publish_is_confirmed(channel):
    await channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})

    confirmed = await channel.basic_publish(b"m", routing_key="q", properties=PERSISTENT, mandatory=True)

    assert isinstance(confirmed, commands.Basic.Ack)
    assert (await channel.queue_declare("q", passive=True)).message_count == 1


async def test_many_publishes_at_once_are_all_confirmed(channel):
    await channel.queue_declare("q")

    confirmed = await asyncio.gather(*(channel.basic_publish(b"%d" % n, routing_key="q") for n in range(500)))

    assert {type(each) for each in confirmed} == {commands.Basic.Ack}
    assert (await channel.queue_declare("q", passive=True)).message_count == 500


async def test_a_mandatory_message_for_nobody_is_returned(channel):
    with pytest.raises(PublishError, match="NO_ROUTE"):
        await channel.basic_publish(b"m", routing_key="nowhere", mandatory=True)


async def test_a_full_queue_answers_with_a_nack_and_goes_on(channel, take):
    await channel.queue_declare("q", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    await channel.basic_publish(b"first", routing_key="q")

    with pytest.raises(DeliveryError):
        await channel.basic_publish(b"second", routing_key="q")

    assert (await take(channel, "q")).body == b"first"
    assert isinstance(await channel.basic_publish(b"third", routing_key="q"), commands.Basic.Ack)


async def test_properties_and_a_body_of_many_frames_arrive_as_they_were(channel, take):
    await channel.queue_declare("q")
    body = bytes(range(256)) * 4_096
    sent = commands.Basic.Properties(
        content_type="application/json",
        message_id="m",
        headers={"a": 1, "b": ["x", {"c": None}]},
        delivery_mode=2,
    )

    await channel.basic_publish(body, routing_key="q", properties=sent)
    message = await take(channel, "q")

    assert message.body == body
    assert message.header.properties == sent


async def test_publishing_to_a_missing_exchange_closes_the_channel_only(devbroker, connect):
    connection = await connect(devbroker.url)
    channel = await connection.channel()

    with pytest.raises(ChannelNotFoundEntity, match="NOT_FOUND - no exchange 'nowhere' in vhost '/'"):
        await channel.basic_publish(b"m", exchange="nowhere", routing_key="q")

    assert (await (await connection.channel()).queue_declare("q")).queue == "q"


async def test_the_topology_of_the_product_carries_a_message_and_its_letter(channel, take):
    await channel.exchange_declare("email", exchange_type="direct", durable=True)
    await channel.exchange_declare("email.dlx", exchange_type="fanout", durable=True)
    kind = {"x-queue-type": "quorum"}
    work = kind | {"x-delivery-limit": 20, "x-dead-letter-exchange": "email.dlx"}
    work |= {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    await channel.queue_declare("email.dead", durable=True, arguments=kind | {"x-delivery-limit": 1_000_000})
    await channel.queue_declare("email.work", durable=True, arguments=work)
    await channel.queue_bind("email.dead", "email.dlx")
    for key in ("", "email"):
        await channel.queue_bind("email.work", "email", key)

    await channel.basic_publish(b"m", exchange="email", routing_key="", properties=PERSISTENT, mandatory=True)
    message = await take(channel, "email.work", no_ack=False)
    await channel.basic_reject(message.delivery_tag, requeue=False)
    letter = await take(channel, "email.dead")

    death = letter.header.properties.headers["x-death"][0]
    assert letter.body == b"m"
    assert (death["reason"], death["queue"], death["exchange"]) == ("rejected", "email.work", "email")


async def test_confirms_in_a_row_become_one(raw):
    await raw.shake_hands()
    await raw.open_channel()
    raw.say(commands.Confirm.Select(), commands.Queue.Declare(queue="q"), channel=1)
    for _ in range(2):
        await raw.hear()

    header = b"\0\x3c" + bytes(12)
    publish = commands.Basic.Publish(routing_key="q")
    raw.writer.write(b"".join(frames.encode_content(1, publish, header, b"", 4_096) for _ in range(10)))
    confirmed = await raw.hear()

    assert (confirmed.delivery_tag, confirmed.multiple) == (10, True)
