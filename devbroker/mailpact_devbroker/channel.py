"""A channel: checks the order of the frames, and passes its methods to the broker.

`EXPECTED` lists the frame type that each state expects; any other frame type is a 505. After a refusal the channel
waits for close-ok and ignores all other frames (AMQP 0-9-1, 1.5.2.5).

    open ──publish──▶ header ──header──▶ body ──complete──▶ open          any ──refused──▶ closing ──close-ok──▶ closed
"""

from enum import StrEnum
from typing import Protocol, assert_never

from pamqp import base, commands

from mailpact_devbroker import deadletters, frames, messages, properties
from mailpact_devbroker.broker import Broker
from mailpact_devbroker.consumers import Delivery, Ledger
from mailpact_devbroker.errors import AmqpError
from mailpact_devbroker.frames import Frame, Kind
from mailpact_devbroker.methods import Session


class State(StrEnum):
    """The frame that a channel expects next."""

    OPEN = "open"
    HEADER = "header"
    BODY = "body"
    CLOSING = "closing"
    CLOSED = "closed"


EXPECTED = {State.OPEN: Kind.METHOD, State.HEADER: Kind.HEADER, State.BODY: Kind.BODY}


class Wire(Protocol):
    """The methods of a connection that a channel uses. `frame_max` is in bytes."""

    owner: int
    user: str
    frame_max: int
    notifies_cancel: bool

    def now(self) -> float:
        """Return the time, in seconds since 1970."""

    def token(self) -> str:
        """Return a random text that nobody can guess, for generated names."""

    def send(self, data: bytes) -> None:
        """Send frames, in the order of the calls."""

    def is_writable(self) -> bool:
        """Return whether the peer can receive deliveries now."""

    def confirm(self, channel: "Channel", number: int, *, accepted: bool) -> None:
        """Confirm a publication as soon as all earlier changes are journalled."""


class Channel:
    """One channel of one connection. The channel is the `Outlet` of its ledger."""

    def __init__(self, number: int, wire: Wire, broker: Broker) -> None:
        self.number = number
        self.state = State.OPEN
        self.ledger = Ledger(wire.owner, self)
        self._wire = wire
        self._broker = broker
        self._session = Session(broker, self.ledger, wire.token)
        self._published = 0  # publications since confirm.select
        self._publish = commands.Basic.Publish()
        self._header = b""
        self._missing = 0  # bytes of the current body that have not arrived yet
        self._parts: list[bytes] = []

    def receive(self, frame: Frame, method: base.Frame | None) -> None:
        """Process a frame, with its decoded method; raises AmqpError if the broker refuses the frame."""
        if self.state is State.CLOSING:
            self._receive_closing(method)
            return
        if frame.kind is not EXPECTED.get(self.state):
            raise AmqpError(505, f"{frame.kind.name} is not expected on a channel in state '{self.state}'")
        # All actions of one frame use the same time. Otherwise a message with a time to live of 0 could expire
        # between them.
        now = self._wire.now()
        match method:
            case commands.Basic.Publish():
                self._start_message(method)
            case base.Frame():
                self._call(method, now)
            case None if self.state is State.HEADER:
                self._start_body(frame.payload, now)
            case None:
                self._add_body(frame.payload, now)
        self._broker.proceed(now)

    def refuse(self, error: AmqpError, method: base.Frame | None) -> None:
        """Close the channel with the reason. Its unacknowledged messages return to their queues."""
        self.state = State.CLOSING
        self._parts.clear()
        class_id, method_id = divmod(0 if method is None else method.index, 1 << 16)
        self._reply(commands.Channel.Close(error.code, error.text, class_id, method_id))
        self.release()

    def release(self) -> None:
        """Return all unacknowledged messages of the channel to their queues."""
        self._broker.release(self.ledger)
        self._broker.proceed(self._wire.now())

    def is_writable(self) -> bool:
        """Return whether the peer can receive deliveries now."""
        return self.state not in (State.CLOSING, State.CLOSED) and self._wire.is_writable()

    def deliver(self, delivery: Delivery, consumer_tag: str) -> None:
        """Send a message to a consumer."""
        sent = delivery.message.publication
        method = commands.Basic.Deliver(
            consumer_tag, delivery.tag, delivery.redelivered, sent.exchange, sent.routing_key
        )
        self._send_content(method, _counted_header(delivery), sent.body)

    def cancelled(self, consumer_tag: str) -> None:
        """Tell a consumer that its queue was deleted, if the client supports this notification."""
        if self._wire.notifies_cancel:
            self._reply(commands.Basic.Cancel(consumer_tag, nowait=True))

    def _call(self, method: base.Frame, now: float) -> None:
        if isinstance(method, commands.Channel.Close):
            self.state = State.CLOSED
        match self._session.call(method, now):
            case None:
                pass
            case Delivery() as delivery:
                sent, left = delivery.message.publication, len(delivery.queue.ready)
                answer = commands.Basic.GetOk(
                    delivery.tag, delivery.redelivered, sent.exchange, sent.routing_key, left
                )
                self._send_content(answer, _counted_header(delivery), sent.body)
            case base.Frame() as reply:
                if not getattr(method, "nowait", False):
                    self._reply(reply)
            case other:
                assert_never(other)

    def _start_message(self, method: commands.Basic.Publish) -> None:
        if method.immediate:
            raise AmqpError(540, "immediate=true")
        self._publish, self.state = method, State.HEADER

    def _start_body(self, header: bytes, now: float) -> None:
        self.state = State.BODY
        self._header, self._missing = header, properties.body_size(header)
        if self._missing > messages.MAX_BODY_BYTES:
            limit = f"configured max size {messages.MAX_BODY_BYTES}"
            raise AmqpError(406, f"message size {self._missing} is larger than {limit}")
        self._add_body(b"", now)

    def _add_body(self, part: bytes, now: float) -> None:
        self._parts.append(part)
        self._missing -= len(part)
        if self._missing < 0:
            raise AmqpError(501, f"body is {-self._missing} bytes longer than its header announced")
        if not self._missing:
            self.state = State.OPEN
            body = b"".join(self._parts)
            self._parts.clear()
            self._finish(body, now)

    def _finish(self, body: bytes, now: float) -> None:
        exchange, key = self._publish.exchange, self._publish.routing_key
        publication = messages.publication(exchange, key, self._header, body, user=self._wire.user)
        published = self._broker.publish(publication, now)
        if self._publish.mandatory and not published.routed:
            self._send_content(commands.Basic.Return(312, "NO_ROUTE", exchange, key), self._header, body)
        if self._session.confirming:
            self._published += 1
            self._wire.confirm(self, self._published, accepted=published.accepted)

    def _receive_closing(self, method: base.Frame | None) -> None:
        """Wait for close-ok, and ignore all other frames: the peer sent them before it knew of the close."""
        if isinstance(method, commands.Channel.Close | commands.Channel.CloseOk):
            self.state = State.CLOSED
        if isinstance(method, commands.Channel.Close):
            self._reply(commands.Channel.CloseOk())

    def _reply(self, method: base.Frame) -> None:
        self._wire.send(frames.encode(self.number, method))

    def _send_content(self, method: base.Frame, header: bytes, body: bytes) -> None:
        self._wire.send(frames.encode_content(self.number, method, header, body, self._wire.frame_max))


def _counted_header(delivery: Delivery) -> bytes:
    """Return the header to send. A quorum queue adds how often the message was delivered before, in any queue."""
    message = delivery.message
    header = message.publication.header
    count = message.deliveries or deadletters.rejections(message.publication)
    if not (delivery.queue.terms.quorum and count):
        return header
    found = properties.with_headers(properties.split(header), {"x-delivery-count": count})
    return properties.join(found, len(message.publication.body))
