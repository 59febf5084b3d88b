"""A connection: handshake, heartbeats, closing, and frames to and from its channels.

    preamble ▶ start ▶ tune ▶ opening ▶ running ▶ closing (we close and wait for close-ok)
                                              ▶ lingering (the peer closed; further frames are ignored)

The connection lingers because some clients still send buffered frames after their close. A closed socket would answer
these frames with a TCP reset (seen with amqplib). While memory is low, the broker does not read from a publisher and
does not check its heartbeats.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol

import structlog
from pamqp import base, commands

from mailpact_devbroker import frames, handshake
from mailpact_devbroker.broker import Broker
from mailpact_devbroker.channel import Channel, State
from mailpact_devbroker.errors import AmqpError, unsupported
from mailpact_devbroker.frames import Frame, Kind

HANDSHAKE_SECONDS = 10.0
LINGER_SECONDS = 3.0
_WRITE_HIGH_BYTES = 1024 * 1024  # unsent bytes; above this limit consumers must wait
_UNREAD_BYTES = 64 * 1024 * 1024  # unsent bytes; above this limit the connection is closed

log = structlog.get_logger()


class Phase(StrEnum):
    """The phase of a connection."""

    PREAMBLE = "preamble"
    START = "start"
    TUNE = "tune"
    OPENING = "opening"
    RUNNING = "running"
    CLOSING = "closing"
    LINGERING = "lingering"


class Host(Protocol):
    """The methods of the server that a connection uses."""

    broker: Broker
    users: Mapping[str, str]
    short_of_memory: bool

    def now(self) -> float:
        """Return the time, in seconds since 1970."""

    def attach(self, connection: "Connection") -> None:
        """Register a connection."""

    def detach(self, connection: "Connection") -> None:
        """Remove a closed connection."""

    def confirm(self, confirmed: Callable[[], None]) -> None:
        """Call `confirmed` as soon as every earlier change is journalled."""

    def settle(self) -> None:
        """Apply the changes that the last frames made."""


class Connection(asyncio.Protocol):
    """One client's connection; the `Wire` of its channels. `owner` is a number that no other connection has."""

    _transport: asyncio.Transport

    def __init__(self, owner: int, host: Host) -> None:
        self.owner = owner
        self.user = ""
        self.frame_max = frames.FRAME_MAX
        self.notifies_cancel = False
        self._phase = Phase.PREAMBLE
        self._host = host
        self._decoder = frames.Decoder()
        self._channels: dict[int, Channel] = {}
        self._channel_max = handshake.CHANNEL_MAX
        self._knows_blocked = False
        self._blocked = False
        self._full = False
        self._out: list[bytes] = []
        self._unsent = 0  # bytes in `_out`
        self._acks: dict[Channel, tuple[int, int]] = {}
        self._heartbeat_seconds = 0
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # Called by the transport.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # true of TCP
        """Begin the connection. The client must send the first bytes."""
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        transport.set_write_buffer_limits(_WRITE_HIGH_BYTES)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host.attach(self)
        self._after("handshake", HANDSHAKE_SECONDS, self.abort)

    def data_received(self, data: bytes) -> None:
        """Process bytes from the peer."""
        self._heard = self._loop.time()
        if self._phase is Phase.LINGERING:
            return
        try:
            self._decoder.feed(data)
            self._read()
        except AmqpError as error:
            self._refuse(error, None)
        except Exception:  # a bug in one connection must not end the others
            log.exception(
                "a frame cannot be handled, which is a bug of the development broker", peer=self._peer()
            )
            self._refuse(AmqpError(541, "the development broker has a fault; see its log"), None)
        self._host.settle()

    def pause_writing(self) -> None:
        """Stop delivering: the peer does not read fast enough."""
        self._full = True

    def resume_writing(self) -> None:
        """Continue to deliver."""
        self._full = False
        self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Return all unacknowledged messages, whether the peer closed the connection or just disappeared."""
        if self._phase is Phase.RUNNING:
            log.debug(
                "a client disconnected without closing its connection",
                peer=self._peer(),
                reason=str(exc or "end of stream"),
            )
        for timer in self._timers.values():
            timer.cancel()
        self._tear_down(Phase.LINGERING)
        self._host.detach(self)
        self._host.settle()

    # Called by the server and the channels.

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return self._host.now()

    def token(self) -> str:
        """Return a random text that nobody can guess, for generated names."""
        return secrets.token_urlsafe(16)

    def is_writable(self) -> bool:
        """Return whether the peer can receive deliveries now."""
        return self._phase is Phase.RUNNING and not self._full and self._unsent < _WRITE_HIGH_BYTES

    def send(self, data: bytes) -> None:
        """Send frames at the end of this turn of the event loop, together with later frames of the turn."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._unsent += len(data)

    def confirm(self, channel: Channel, number: int, *, accepted: bool) -> None:
        """Confirm a publication as soon as all earlier changes are journalled."""
        self._host.confirm(lambda: self._confirmed(channel, number, accepted=accepted))

    def unblock(self) -> None:
        """Start to read from a blocked publisher again."""
        if self._phase is Phase.RUNNING and self._blocked:
            if self._knows_blocked:
                self._send_method(0, commands.Connection.Unblocked())
            self._transport.resume_reading()
        self._blocked = False

    def shut_down(self) -> None:
        """Close the connection because the server stops."""
        if self._phase is Phase.RUNNING:
            self.unblock()
            self._refuse(AmqpError(320, "broker forced connection closure with reason 'shutdown'"), None)
        elif self._phase is not Phase.CLOSING:
            self._transport.close()

    def abort(self) -> None:
        """Close the socket at once, without AMQP's close methods."""
        self._transport.abort()

    # Reading.

    def _read(self) -> None:
        if self._phase is Phase.PREAMBLE and not self._greet():
            return
        for frame in self._decoder.frames():
            method = frames.decode_method(frame.payload) if frame.kind is Kind.METHOD else None
            self._receive(frame, method)
            if self._phase is Phase.LINGERING:
                return

    def _greet(self) -> bool:
        preamble = self._decoder.preamble()
        if preamble == frames.PREAMBLE:
            self._phase = Phase.START
            self._send_method(0, handshake.start())
        elif preamble is not None:
            self._transport.write(frames.PREAMBLE)
            self._transport.close()
        return preamble == frames.PREAMBLE

    def _receive(self, frame: Frame, method: base.Frame | None) -> None:
        if frame.kind is Kind.HEARTBEAT:
            return
        if frame.channel == 0 and method is not None:
            self._handle(method)
        elif self._phase is Phase.RUNNING:
            self._receive_on_channel(frame, method)
        elif self._phase is not Phase.CLOSING:
            raise AmqpError(503, f"connection is not open but in phase '{self._phase}'")

    def _receive_on_channel(self, frame: Frame, method: base.Frame | None) -> None:
        channel = self._channels.get(frame.channel)
        if channel is None:
            self._open_channel(frame.channel, method)
            return
        if self._host.short_of_memory and isinstance(method, commands.Basic.Publish):
            self._block()
        try:
            channel.receive(frame, method)
        except AmqpError as error:
            if error.closes_connection:
                self._refuse(error, method)
            else:
                channel.refuse(error, method)
        if channel.state is State.CLOSED:
            self._channels.pop(frame.channel, None)

    def _block(self) -> None:
        """Stop reading from a publisher because memory is low. Frames received before are still processed."""
        if not self._blocked:
            self._blocked = True
            if self._knows_blocked:
                self._send_method(0, commands.Connection.Blocked("low on memory"))
            self._transport.pause_reading()

    def _open_channel(self, number: int, method: base.Frame | None) -> None:
        if isinstance(method, commands.Channel.CloseOk):
            return  # both sides closed it at once
        if number == 0 or not isinstance(method, commands.Channel.Open):
            raise AmqpError(504, "expected 'channel.open'")
        if len(self._channels) >= self._channel_max:
            most = self._channel_max
            raise AmqpError(530, f"number of channels opened ({most}) has reached the channel_max ({most})")
        self._channels[number] = Channel(number, self, self._host.broker)
        self._send_method(number, commands.Channel.OpenOk())

    # The connection's own methods.

    def _handle(self, method: base.Frame) -> None:
        match self._phase, method:
            case _, commands.Connection.Close():
                self._tear_down(Phase.LINGERING)
                self._send_method(0, commands.Connection.CloseOk())
                self._after("close", LINGER_SECONDS, self._transport.close)
            case Phase.CLOSING, commands.Connection.CloseOk():
                self._transport.close()
            case Phase.CLOSING, _:
                pass  # the peer sent it before it knew of the close
            case Phase.START, commands.Connection.StartOk():
                self._authenticate(method)
            case Phase.TUNE, commands.Connection.TuneOk():
                self._tune(method)
            case Phase.OPENING, commands.Connection.Open():
                self._open(method)
            case Phase.RUNNING, commands.Connection.UpdateSecret():
                self._send_method(0, commands.Connection.UpdateSecretOk())  # passwords never expire here
            case Phase.RUNNING, _:
                raise unsupported(f"{method.name.lower()} on an open connection")
            case _:
                raise AmqpError(503, f"{method.name.lower()} is not expected in phase '{self._phase}'")

    def _authenticate(self, method: commands.Connection.StartOk) -> None:
        self.notifies_cancel = handshake.has_capability(method, "consumer_cancel_notify")
        self._knows_blocked = handshake.has_capability(method, "connection.blocked")
        try:
            self.user = handshake.authenticated(method, self._host.users)
        except AmqpError:
            if handshake.has_capability(method, "authentication_failure_close"):
                raise
            self._transport.close()
            return
        self._phase = Phase.TUNE
        limits = handshake.CHANNEL_MAX, frames.FRAME_MAX, handshake.HEARTBEAT_SECONDS
        self._send_method(0, commands.Connection.Tune(*limits))

    def _tune(self, method: commands.Connection.TuneOk) -> None:
        self.frame_max, self._channel_max = handshake.tuned(method)
        self._decoder.frame_max = self.frame_max
        self._heartbeat_seconds = method.heartbeat
        self._phase = Phase.OPENING
        if self._heartbeat_seconds:
            self._after("heartbeat", self._heartbeat_seconds / 2, self._beat)

    def _open(self, method: commands.Connection.Open) -> None:
        if method.virtual_host != "/":
            raise AmqpError(530, f"vhost {method.virtual_host} not found")
        self._timers.pop("handshake").cancel()
        self._phase = Phase.RUNNING
        self._send_method(0, commands.Connection.OpenOk())

    def _beat(self) -> None:
        """Send two heartbeats in each interval; close if the peer is silent for two intervals (4.2.7)."""
        if self._blocked:
            self._heard = self._loop.time()
        silent = self._loop.time() - self._heard
        if silent > 2 * self._heartbeat_seconds:
            log.info("a client misses its heartbeats", peer=self._peer(), silent_seconds=round(silent, 1))
            self.abort()
            return
        self.send(frames.HEARTBEAT)
        self._after("heartbeat", self._heartbeat_seconds / 2, self._beat)

    # Ending.

    def _refuse(self, error: AmqpError, method: base.Frame | None) -> None:
        """Close the connection with a reason. A second error while the connection closes cuts the connection."""
        if self._phase in (Phase.CLOSING, Phase.PREAMBLE):
            self.abort()
            return
        self._tear_down(Phase.CLOSING)
        if error.code != 320:
            log.info("a client is refused", peer=self._peer(), reason=error.text)
        class_id, method_id = divmod(0 if method is None else method.index, 1 << 16)
        self._send_method(0, commands.Connection.Close(error.code, error.text, class_id, method_id))
        self._after("close", LINGER_SECONDS, self.abort)

    def _tear_down(self, phase: Phase) -> None:
        """Leave the phase `running`: first stop the deliveries, then return the unacknowledged messages."""
        self._phase = phase
        for channel in self._channels.values():
            channel.release()
        self._channels.clear()
        self._acks.clear()
        self._host.broker.drop_owner(self.owner)
        self._host.broker.proceed(self.now())

    # Writing.

    def _confirmed(self, channel: Channel, number: int, *, accepted: bool) -> None:
        """Send a confirm. Consecutive acks are merged into one. Call this in the order of publishing."""
        if self._phase is not Phase.RUNNING or channel.state in (State.CLOSING, State.CLOSED):
            return
        if accepted:
            first, _ = self._acks.get(channel, (number, number))
            self._acks[channel] = (first, number)
            self.send(b"")
        else:
            self._send_acks()
            self._send_method(channel.number, commands.Basic.Nack(number, multiple=False, requeue=False))

    def _send_acks(self) -> None:
        for channel, (first, last) in self._acks.items():
            if channel.state not in (State.CLOSING, State.CLOSED):
                self._send_method(channel.number, commands.Basic.Ack(last, multiple=last > first))
        self._acks.clear()

    def _send_method(self, channel: int, method: base.Frame) -> None:
        self.send(frames.encode(channel, method))

    def _flush(self) -> None:
        self._send_acks()
        out, self._out, self._unsent = b"".join(self._out), [], 0
        if self._transport.is_closing():
            return
        self._transport.write(out)
        if self._transport.get_write_buffer_size() > _UNREAD_BYTES:
            log.warning("a client sends requests and does not read the answers", peer=self._peer())
            self.abort()
        elif len(out) >= _WRITE_HIGH_BYTES and not self._full:
            self._resume()

    def _resume(self) -> None:
        for channel in self._channels.values():
            self._host.broker.resume(channel.ledger)
        self._host.broker.proceed(self.now())
        self._host.settle()

    def _after(self, name: str, seconds: float, act: Callable[[], None]) -> None:
        self._timers[name] = self._loop.call_later(seconds, act)

    def _peer(self) -> str:
        address = self._transport.get_extra_info("peername")
        return f"{address[0]}:{address[1]}" if address else "unknown"
