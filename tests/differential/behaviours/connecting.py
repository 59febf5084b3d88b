"""Connections and channels: the handshake, the order of frames, and errors in them."""

import asyncio
import struct

from pamqp import commands, encode, frame

from tests.differential.client import LIMIT_SECONDS, Client, Observation
from tests.differential.raw import (
    CAPABLE,
    HANG_UP,
    LIMITS,
    content_header,
    raw_channel,
    raw_connection,
    raw_frame,
)


async def a_foreign_protocol_is_answered_with_a_protocol_header_and_a_hang_up(amqp: Client) -> Observation:
    async with raw_connection(amqp) as raw:
        raw.send(b"GET / HT")
        header = await raw.hear()
        return [isinstance(header, bytes) and header[:4] == b"AMQP", await raw.told()]


async def the_server_says_what_it_can_do(amqp: Client) -> Observation:
    wanted = (
        *("publisher_confirms", "basic.nack", "consumer_cancel_notify"),
        *("connection.blocked", "per_consumer_qos", "authentication_failure_close"),
    )
    async with raw_connection(amqp) as raw:
        start = await raw.start()
    able = start.server_properties["capabilities"]
    assert isinstance(able, dict)
    mechanisms = str(start.mechanisms).split()
    return [
        [able.get(name) is True for name in wanted],
        "PLAIN" in mechanisms,
        "AMQPLAIN" in mechanisms,
        start.locales,
    ]


async def a_wrong_password_is_refused_and_the_client_is_told(amqp: Client) -> Observation:
    async with raw_connection(amqp) as raw:
        await raw.start(commands.Connection.StartOk(CAPABLE, "PLAIN", f"\0{raw.user}\0wrong"))
        return await raw.told_text()


async def a_wrong_password_of_a_client_that_cannot_be_told_is_a_hang_up(amqp: Client) -> Observation:
    async with raw_connection(amqp) as raw:
        await raw.start(commands.Connection.StartOk({}, "PLAIN", f"\0{raw.user}\0wrong"))
        return await raw.told()


async def an_unknown_user_is_refused(amqp: Client) -> Observation:
    async with raw_connection(amqp) as raw:
        await raw.start(commands.Connection.StartOk(CAPABLE, "PLAIN", "\0nobody\0wrong"))
        return await raw.told_text()


async def amqplain_is_understood_too(amqp: Client) -> Observation:
    async with raw_connection(amqp) as raw:
        table = encode.field_table({"LOGIN": raw.user, "PASSWORD": raw.password})[4:]
        await raw.start(commands.Connection.StartOk(CAPABLE, "AMQPLAIN", table.decode()))
        return await raw.told()


async def an_unknown_vhost_is_not_allowed(amqp: Client) -> Observation:
    async with raw_connection(amqp) as raw:
        await raw.start()
        await raw.hear()
        raw.say(commands.Connection.TuneOk(*LIMITS, 0), commands.Connection.Open("missing"), channel=0)
        return await raw.told_text()


async def the_server_proposes_limits(amqp: Client) -> Observation:
    async with raw_connection(amqp) as raw:
        await raw.start()
        tune = await raw.hear()
    assert isinstance(tune, commands.Connection.Tune)
    return [tune.channel_max, tune.frame_max, tune.heartbeat]


async def _let_in(amqp: Client, channel_max: int, frame_max: int) -> Observation:
    async with raw_connection(amqp) as raw:
        await raw.start()
        await raw.hear()
        tuned = commands.Connection.TuneOk(channel_max, frame_max, 0)
        raw.say(tuned, commands.Connection.Open(raw.vhost), channel=0)
        return await raw.told() == "Connection.OpenOk"


async def a_client_that_wants_more_than_was_proposed_is_not_let_in(amqp: Client) -> Observation:
    channel_max, frame_max = LIMITS
    wanted = (
        *(LIMITS, (100, 4_096), (0, frame_max), (channel_max + 1, frame_max)),
        *((channel_max, 0), (channel_max, frame_max + 1), (channel_max, 4_095)),
    )
    return list(await asyncio.gather(*(_let_in(amqp, *each) for each in wanted)))


async def a_client_that_asks_for_heartbeats_gets_them(amqp: Client) -> Observation:
    async with raw_connection(amqp) as raw:
        await raw.shake_hands(heartbeat=1)
        return await asyncio.wait_for(raw.told(), LIMIT_SECONDS)


async def closing_is_answered(amqp: Client) -> Observation:
    async with raw_channel(amqp) as raw:
        raw.say(commands.Channel.Close(200, "", 0, 0))
        told = [await raw.told()]
        raw.say(commands.Connection.Close(200, "", 0, 0), channel=0)
        return [*told, await raw.told()]


async def a_channel_number_is_free_again_after_close(amqp: Client) -> Observation:
    async with raw_channel(amqp) as raw:
        raw.say(commands.Channel.Close(200, "", 0, 0))
        told = [await raw.told()]
        raw.say(commands.Channel.Open())
        return [*told, await raw.told()]


async def after_a_refusal_a_channel_is_deaf_until_close_ok(amqp: Client) -> Observation:
    async with raw_channel(amqp) as raw:
        raw.say(commands.Queue.Declare(queue="missing", passive=True))
        told = [await raw.told()]
        raw.say(commands.Queue.Declare(queue="q"), commands.Channel.CloseOk(), commands.Channel.Open())
        told.append(await raw.told())
        raw.say(commands.Queue.Declare(queue="q", passive=True))
        return [*told, await raw.told()]


async def a_refusal_names_the_method(amqp: Client) -> Observation:
    async with raw_channel(amqp) as raw:
        raw.say(commands.Basic.Get(queue="missing"))
        return await raw.told()


async def _told_after(amqp: Client, *data: bytes) -> Observation:
    """Send wrong data; return what the broker closes, and with which code."""
    async with raw_channel(amqp) as raw:
        for each in data:
            raw.send(each)
        match await raw.hear():
            case commands.Connection.Close() | commands.Channel.Close() as close:
                return [close.name, close.reply_code]
            case other:
                return str(other)


async def a_frame_that_does_not_end_is_a_frame_error(amqp: Client) -> Observation:
    return await _told_after(
        amqp, raw_frame(1, frame.marshal(commands.Channel.Flow(True), 1)[7:-1], end=b"\0")
    )


async def a_frame_of_an_unknown_type_is_an_error(amqp: Client) -> Observation:
    return await _told_after(amqp, raw_frame(7, b"?"))


async def a_frame_above_the_limit_is_a_frame_error(amqp: Client) -> Observation:
    return await _told_after(amqp, raw_frame(3, bytes(131_073)))


async def a_second_channel_open_is_a_channel_error(amqp: Client) -> Observation:
    return await _told_after(amqp, frame.marshal(commands.Channel.Open(), 1))


async def a_method_on_a_channel_that_is_not_open_is_a_channel_error(amqp: Client) -> Observation:
    return await _told_after(amqp, frame.marshal(commands.Queue.Declare(queue="q"), 2))


async def a_body_without_a_publish_is_unexpected(amqp: Client) -> Observation:
    return await _told_after(amqp, raw_frame(3, b"body"))


async def a_content_header_without_a_publish_is_unexpected(amqp: Client) -> Observation:
    return await _told_after(amqp, content_header(4))


async def a_method_in_the_middle_of_a_message_is_unexpected(amqp: Client) -> Observation:
    publish = frame.marshal(commands.Basic.Publish(routing_key="q"), 1)
    return await _told_after(amqp, publish, frame.marshal(commands.Basic.Get(queue="q"), 1))


async def a_method_that_is_cut_short_is_an_error(amqp: Client) -> Observation:
    return await _told_after(amqp, raw_frame(1, struct.pack(">HH", 50, 10) + b"\0\0\x09q"))


async def what_makes_no_sense_ends_the_connection(amqp: Client) -> Observation:
    # RabbitMQ closes the connection where it cannot read on, or answers 541; the development broker names the error.
    table = b"\x01a?1"
    unknown_type = struct.pack(">HHH", 50, 10, 0) + b"\x01q\0" + struct.pack(">I", len(table)) + table
    publish = frame.marshal(commands.Basic.Publish(routing_key="q"), 1)
    cut_header = raw_frame(2, struct.pack(">HHQH", 60, 0, 0, 0x8000) + b"\x09text")
    unknown_method = struct.pack(">HH", 50, 99)
    told = await asyncio.gather(
        _told_after(amqp, raw_frame(1, unknown_method)),
        _told_after(amqp, raw_frame(1, unknown_type)),
        _told_after(amqp, publish, cut_header),
    )
    return [each == HANG_UP or (isinstance(each, list) and each[0] == "Connection.Close") for each in told]


async def messages_on_two_channels_may_be_interleaved(amqp: Client) -> Observation:
    async with raw_channel(amqp) as raw:
        raw.say(commands.Channel.Open(), channel=2)
        raw.say(commands.Queue.Declare(queue="q"))
        for number in (1, 2):
            raw.say(commands.Confirm.Select(), channel=number)
            raw.say(commands.Basic.Publish(routing_key="q"), channel=number)
        for number in (2, 1):
            raw.send(content_header(1, channel=number))
        for number in (1, 2):
            raw.send(raw_frame(3, b"x", channel=number))
        return sorted([str(await raw.told()) for _ in range(6)])


async def a_new_secret_is_taken_and_the_connection_goes_on(amqp: Client) -> Observation:
    async with raw_channel(amqp) as raw:
        raw.say(commands.Connection.UpdateSecret(new_secret="another", reason="it expires"), channel=0)
        raw.say(commands.Queue.Declare(queue="q"))
        return [await raw.told(), await raw.told()]
