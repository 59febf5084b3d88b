import pytest
from pamqp import commands
from pamqp.header import ContentHeader

from mailpact_devbroker import frames
from mailpact_devbroker.broker import Broker
from mailpact_devbroker.channel import EXPECTED, Channel, State
from mailpact_devbroker.errors import AmqpError
from mailpact_devbroker.frames import Frame, Kind

HEADER = b"\0\x3c\0\0" + (4).to_bytes(8) + b"\0\0"


class Line:
    """A wire that records the sent frames."""

    owner, user, frame_max, notifies_cancel = 1, "guest", 131_072, True

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.confirms: list[tuple[int, bool]] = []
        self.time = 0.0

    def now(self) -> float:
        self.time += 0.001  # like a real clock, it never shows the same time twice
        return self.time

    def token(self) -> str:
        return "token"

    def send(self, data: bytes) -> None:
        decoder = frames.Decoder()
        decoder.feed(data)
        methods = [frame for frame in decoder.frames() if frame.kind is Kind.METHOD]
        self.sent += [frames.decode_method(frame.payload).name for frame in methods]

    def is_writable(self) -> bool:
        return True

    def confirm(self, channel: Channel, number: int, *, accepted: bool) -> None:
        self.confirms.append((number, accepted))


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def channel(line) -> Channel:
    return Channel(1, line, Broker())


def call(channel: Channel, *methods) -> None:
    for method in methods:
        channel.receive(Frame(Kind.METHOD, 1, b""), method)


def publish(channel: Channel, body: bytes = b"body", **flags: bool) -> None:
    call(channel, commands.Basic.Publish(routing_key="q", **flags))
    channel.receive(Frame(Kind.HEADER, 1, HEADER), None)
    channel.receive(Frame(Kind.BODY, 1, body), None)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (state, kind)
        for state in (State.OPEN, State.HEADER, State.BODY, State.CLOSED)
        for kind in (Kind.METHOD, Kind.HEADER, Kind.BODY)
        if EXPECTED.get(state) is not kind
    ],
)
def test_a_frame_that_a_state_does_not_wait_for_is_a_505(channel, state: State, kind: Kind):
    channel.state = state
    method = commands.Channel.Flow(active=True) if kind is Kind.METHOD else None

    with pytest.raises(AmqpError, match=f"UNEXPECTED_FRAME - {kind.name} is not expected") as refused:
        channel.receive(Frame(kind, 1, HEADER), method)

    assert refused.value.closes_connection


def test_a_message_is_received_in_pieces_and_confirmed(channel, line):
    call(
        channel,
        commands.Queue.Declare(queue="q"),
        commands.Confirm.Select(),
        commands.Basic.Publish(routing_key="q"),
    )
    channel.receive(Frame(Kind.HEADER, 1, HEADER), None)
    channel.receive(Frame(Kind.BODY, 1, b"bo"), None)
    channel.receive(Frame(Kind.BODY, 1, b"dy"), None)
    call(channel, commands.Basic.Get(queue="q"))

    assert line.confirms == [(1, True)]
    assert line.sent == ["Queue.DeclareOk", "Confirm.SelectOk", "Basic.GetOk"]


def test_consume_ok_comes_before_the_first_delivery(channel, line):
    call(channel, commands.Queue.Declare(queue="q"))
    publish(channel)

    call(channel, commands.Basic.Consume(queue="q"))

    assert line.sent == ["Queue.DeclareOk", "Basic.ConsumeOk", "Basic.Deliver"]


def test_a_mandatory_message_for_nobody_comes_back(channel, line):
    publish(channel, mandatory=True)

    assert line.sent == ["Basic.Return"]


def test_a_body_longer_than_announced_closes_the_connection(channel):
    with pytest.raises(AmqpError, match="FRAME_ERROR - body is 1 bytes longer") as refused:
        publish(channel, b"body!")

    assert refused.value.closes_connection


def test_a_message_beyond_the_limit_is_refused_before_its_body(channel):
    call(channel, commands.Basic.Publish(routing_key="q"))
    header = b"\0\x3c\0\0" + (16 * 1024 * 1024 + 1).to_bytes(8) + b"\0\0"

    with pytest.raises(AmqpError, match="message size 16777217 is larger than configured max size 16777216"):
        channel.receive(Frame(Kind.HEADER, 1, header), None)


def test_a_refused_channel_drops_everything_until_close_ok(channel, line):
    channel.refuse(AmqpError(404, "no queue"), commands.Basic.Get())
    call(channel, commands.Queue.Declare(queue="q"), commands.Basic.Publish())
    channel.receive(Frame(Kind.HEADER, 1, b"garbage"), None)

    call(channel, commands.Channel.CloseOk())

    assert (line.sent, channel.state) == (["Channel.Close"], State.CLOSED)


def test_nowait_is_not_answered(channel, line):
    call(
        channel, commands.Queue.Declare(queue="q", nowait=True), commands.Queue.Delete(queue="q", nowait=True)
    )

    assert line.sent == []


@pytest.mark.parametrize(
    ("method", "complaint"),
    [
        (commands.Tx.Select(), "NOT_IMPLEMENTED - tx.select is not supported by the development broker"),
        (commands.Tx.Commit(), "NOT_IMPLEMENTED - tx.commit is not supported"),
        (commands.Basic.Publish(immediate=True), "NOT_IMPLEMENTED - immediate=true"),
        (commands.Basic.Qos(prefetch_size=1), r"NOT_IMPLEMENTED - prefetch_size!=0 \(1\)"),
        (commands.Channel.Flow(active=False), "NOT_IMPLEMENTED - active=false"),
        (commands.Basic.Recover(requeue=False), "NOT_IMPLEMENTED - requeue=false"),
        (commands.Basic.Consume(queue="amq.rabbitmq.reply-to"), "NOT_IMPLEMENTED - direct reply-to"),
        (commands.Basic.Consume(queue="q", arguments={"x-priority": 1}), "consumer argument 'x-priority'"),
        (commands.Basic.Consume(queue="q", no_local=True), "NOT_IMPLEMENTED - no-local"),
        (commands.Channel.Open(), "CHANNEL_ERROR - second 'channel.open' seen"),
        (commands.Queue.Bind(exchange="x"), "NOT_FOUND - no previously declared queue"),
        (commands.Basic.Deliver("c", 1, False, "", ""), "basic.deliver is not supported"),
    ],
)
def test_what_is_not_honoured_is_refused_by_its_name(channel, method, complaint: str):
    with pytest.raises(AmqpError, match=complaint):
        call(channel, method)


def test_an_empty_queue_name_means_the_last_declared(channel, line):
    call(channel, commands.Queue.Declare(), commands.Queue.Declare(passive=True), commands.Basic.Get())

    assert line.sent == ["Queue.DeclareOk", "Queue.DeclareOk", "Basic.GetEmpty"]


def test_a_message_without_time_to_live_reaches_a_waiting_consumer(channel, line):
    header = ContentHeader(0, 4, commands.Basic.Properties(expiration="0")).marshal()
    call(channel, commands.Queue.Declare(queue="q"), commands.Basic.Consume(queue="q"))

    call(channel, commands.Basic.Publish(routing_key="q"))
    channel.receive(Frame(Kind.HEADER, 1, header), None)
    channel.receive(Frame(Kind.BODY, 1, b"body"), None)

    assert line.sent[-1] == "Basic.Deliver"
