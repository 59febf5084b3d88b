import asyncio
import struct

import aiormq
import pytest
from pamqp import commands

from mailpact_devbroker import frames
from mailpact_devbroker.service import running


async def test_the_broker_says_what_it_is(devbroker, connect):
    said = (await connect(devbroker.url)).server_properties

    assert said["product"] == "Mailpact devbroker"
    assert said["information"] == "for development only"
    assert said["capabilities"]["connection.blocked"] is True


async def test_a_wrong_password_is_refused(devbroker):
    with pytest.raises(
        aiormq.exceptions.ProbableAuthenticationError, match="ACCESS_REFUSED - Login was refused"
    ):
        await aiormq.connect(devbroker.url.replace(":guest@", ":wrong@"))


async def test_amqplain_is_understood(raw):
    raw.writer.write(frames.PREAMBLE)
    login = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest"
    payload = struct.pack(">IIB", commands.Connection.StartOk.index, 0, 8) + b"AMQPLAIN"
    payload += struct.pack(">I", len(login)) + login + b"\x05en_US"
    raw.writer.write(struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce")

    assert [(await raw.hear()).name for _ in range(2)] == ["Connection.Start", "Connection.Tune"]


async def test_another_vhost_is_refused(raw):
    raw.writer.write(frames.PREAMBLE)
    raw.say(commands.Connection.StartOk({}, "PLAIN", "\0guest\0guest"))
    raw.say(commands.Connection.TuneOk(1, frames.FRAME_MAX, 0), commands.Connection.Open("other"))
    await raw.hear()
    await raw.hear()

    refused = await raw.hear()

    assert (refused.reply_code, refused.reply_text) == (530, "NOT_ALLOWED - vhost other not found")


async def test_another_protocol_is_answered_with_ours(raw):
    raw.writer.write(b"AMQP\x00\x01\x00\x00")

    assert await raw.reader.read() == frames.PREAMBLE


async def test_a_silent_client_loses_its_connection_and_its_messages_come_back(raw, channel):
    await channel.queue_declare("q")
    await channel.basic_publish(b"m", routing_key="q")
    await raw.shake_hands(heartbeat=1)
    await raw.open_channel()
    raw.say(commands.Basic.Get(queue="q"), channel=1)

    heard = [await raw.hear() for _ in range(4)]
    with pytest.raises((EOFError, ConnectionResetError)):
        await raw.hear_the_end()

    assert frames.Frame(frames.Kind.HEARTBEAT, 0, b"") in heard
    assert (await channel.queue_declare("q", passive=True)).message_count == 1


async def test_what_a_client_still_sends_after_its_close_is_swallowed(raw):
    await raw.shake_hands()
    raw.say(commands.Connection.Close(200, "bye", 0, 0))
    assert isinstance(await raw.hear(), commands.Connection.CloseOk)

    for _ in range(20):
        raw.writer.write(b"\x03\0\x01\0\0\x10\0" + b"x" * 4_096 + b"\xce")
        await raw.writer.drain()
        await asyncio.sleep(0)

    assert not raw.reader.at_eof()


async def test_channel_65535_works_and_one_too_many_does_not(raw):
    raw.writer.write(frames.PREAMBLE)
    raw.say(commands.Connection.StartOk({}, "PLAIN", "\0guest\0guest"))
    raw.say(commands.Connection.TuneOk(1, frames.FRAME_MAX, 0), commands.Connection.Open("/"))
    for _ in range(3):
        await raw.hear()
    await raw.open_channel(65_535)

    raw.say(commands.Channel.Open(), channel=1)
    refused = await raw.hear()

    assert (refused.reply_code, refused.reply_text.split(" - ")[0]) == (530, "NOT_ALLOWED")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x01\0\x01\x7f\xff\xff\xff", 501),
        (b"\x01\0\x01\0\0\0\x05\0\x32\0\x0a\0\xce", 501),
        (frames.encode(7, commands.Queue.Declare()), 504),
        (b"\x02\0\x01\0\0\0\x01a\xce", 505),
        (frames.encode(1, commands.Tx.Select()), 540),
        (frames.encode(1, commands.Queue.Declare(queue="amq.rabbitmq.reply-to", passive=True)), 540),
        (frames.encode(0, commands.Connection.StartOk({}, "PLAIN", "x")), 540),
    ],
)
async def test_a_fault_closes_this_connection_with_its_code_and_no_other(
    raw, channel, sent: bytes, code: int
):
    await raw.shake_hands()
    await raw.open_channel()

    raw.writer.write(sent)
    refused = await raw.hear()
    raw.say(commands.Connection.CloseOk())

    assert refused.reply_code == code
    assert (await channel.queue_declare("q")).queue == "q"


async def test_a_stopping_broker_says_so(listener, connect):
    async with running(listener, journal=None) as server:
        connection = await connect(server.url)
    with pytest.raises(aiormq.exceptions.AMQPError, match="CONNECTION_FORCED"):
        await connection.closing


async def _has_to_wait(publisher: aiormq.abc.AbstractConnection) -> bool:
    try:
        await asyncio.wait_for(publisher.ready(), 0.05)
    except TimeoutError:
        return True
    return False


async def test_publishers_wait_while_memory_is_short(listener, connect, take, eventually):
    async with running(listener, journal=None, memory_bytes=50_000) as server:
        publisher, consumer = await connect(server.url), await connect(server.url)
        publishing, consuming = await publisher.channel(), await consumer.channel()
        await consuming.queue_declare("q")
        confirmed = [
            asyncio.create_task(publishing.basic_publish(b"x" * 20_000, routing_key="q")) for _ in range(20)
        ]
        await eventually(lambda: server.short_of_memory)
        async with asyncio.timeout(10):
            while not await _has_to_wait(publisher):  # the client may not have read the broker's word yet
                await asyncio.sleep(0)

        bodies = [(await take(consuming, "q")).body for _ in range(20)]

        await asyncio.wait_for(asyncio.gather(*confirmed), 10)
        await asyncio.wait_for(publisher.ready(), 10)
        assert (len(bodies), server.short_of_memory, server.broker.held_bytes) == (20, False, 0)


@pytest.mark.parametrize(
    ("channel_max", "frame_max"), [(0, 131_072), (2_048, 131_072), (10, 0), (10, 131_073)]
)
async def test_a_client_that_wants_more_than_was_proposed_is_refused(raw, channel_max: int, frame_max: int):
    raw.writer.write(frames.PREAMBLE)
    raw.say(commands.Connection.StartOk({}, "PLAIN", "\0guest\0guest"))
    raw.say(commands.Connection.TuneOk(channel_max, frame_max, 0))

    *_, refused = [await raw.hear() for _ in range(3)]

    assert (refused.name, refused.reply_code) == ("Connection.Close", 530)
