"""What a program and its broker said to each other, in order, and the questions that cases ask of it.

Pure: frames and times come in, events are kept. The memory is bounded: when a limit is reached the trace stops and says
so (`is_full`), because a verdict on half a trace would be a guess.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

from mailpact_kit.frames import ContentBody, ContentHeader, Frame, Method, Undecodable

MAX_EVENTS = 100_000
MAX_KEPT_BYTES = 64 * 1024 * 1024
UNDECODABLE = "undecodable"
NO_TROUBLE = 200

_WITH_CONTENT = frozenset({"basic.publish", "basic.return", "basic.deliver", "basic.get-ok"})
_WITH_SECRETS = frozenset({"connection.start-ok", "connection.secure", "connection.secure-ok"})


class Side(StrEnum):
    """Who said it."""

    PROGRAM = "program"
    BROKER = "broker"


@dataclass(frozen=True, slots=True)
class Event:
    """A method, with its content where it has one. `at` counts seconds from the start of the trace."""

    at: float
    connection: int
    channel: int
    sender: Side
    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    properties: Mapping[str, object] = field(default_factory=dict)
    body: bytes = b""

    def is_on(self, other: "Event") -> bool:
        """Whether both were said on one channel."""
        return (self.connection, self.channel) == (other.connection, other.channel)


class Settled(StrEnum):
    """What a program did with a delivery."""

    ACKED = "acked"
    REJECTED = "rejected"


class Trace:
    """Collects events in the order in which the tap saw them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_full = False
        self._kept_bytes = 0
        self._incomplete: dict[tuple[int, Side, int], _Incomplete] = {}

    def take(self, connection: int, sender: Side, frame: Frame, *, at: float) -> None:
        """Take the next frame of one direction of a connection."""
        if self.is_full:
            return
        key = (connection, sender, frame.channel)
        match frame:
            case Method():
                self._method(key, frame, at)
            case ContentHeader():
                self._header(key, frame, at)
            case ContentBody():
                self._body(key, frame, at)
            case Undecodable():
                self._keep(
                    Event(at, connection, frame.channel, sender, UNDECODABLE, {"reason": frame.reason})
                )
            case _:
                assert_never(frame)

    def _method(self, key: tuple[int, Side, int], frame: Method, at: float) -> None:
        connection, sender, channel = key
        if frame.name in _WITH_CONTENT:
            self._incomplete[key] = _Incomplete(frame)
            if len(self._incomplete) > MAX_EVENTS:
                self._stop()
        elif frame.name in _WITH_SECRETS:
            self._keep(Event(at, connection, channel, sender, frame.name))
        else:
            self._keep(Event(at, connection, channel, sender, frame.name, frame.arguments))

    def _header(self, key: tuple[int, Side, int], frame: ContentHeader, at: float) -> None:
        incomplete = self._incomplete.get(key)
        if incomplete is None:
            self._stray(key, "a content header without its method", at)
            return
        incomplete.header = frame
        self._complete(key, incomplete, at)

    def _body(self, key: tuple[int, Side, int], frame: ContentBody, at: float) -> None:
        incomplete = self._incomplete.get(key)
        if incomplete is None or incomplete.header is None:
            self._stray(key, "a piece of a body without its header", at)
            return
        self._kept_bytes += len(frame.piece)
        if self._kept_bytes > MAX_KEPT_BYTES:
            self._stop()
            return
        incomplete.body += frame.piece
        self._complete(key, incomplete, at)

    def _complete(self, key: tuple[int, Side, int], incomplete: "_Incomplete", at: float) -> None:
        header, method = incomplete.header, incomplete.method
        if header is None or len(incomplete.body) < header.body_size:
            return
        del self._incomplete[key]
        connection, sender, channel = key
        body = bytes(incomplete.body)
        self._keep(
            Event(at, connection, channel, sender, method.name, method.arguments, header.properties, body)
        )

    def _stray(self, key: tuple[int, Side, int], reason: str, at: float) -> None:
        connection, sender, channel = key
        self._keep(Event(at, connection, channel, sender, UNDECODABLE, {"reason": reason}))

    def _keep(self, event: Event) -> None:
        if len(self.events) >= MAX_EVENTS:
            self._stop()
        else:
            self.events.append(event)

    def _stop(self) -> None:
        self.is_full = True
        self._incomplete.clear()


@dataclass(slots=True)
class _Incomplete:
    """A method whose content is still coming."""

    method: Method
    header: ContentHeader | None = None
    body: bytearray = field(default_factory=bytearray)


def deliveries(events: Sequence[Event], message_id: str) -> list[Event]:
    """Return every delivery of the message to the program, the first one first."""
    return [
        event
        for event in events
        if event.name in ("basic.deliver", "basic.get-ok")
        and event.properties.get("message_id") == message_id
    ]


def settled(events: Sequence[Event], message_id: str) -> Settled | None:
    """Say how the program settled the message for good; None as long as it has not."""
    for delivery in deliveries(events, message_id):
        for event in _after(events, delivery):
            if event.sender is Side.PROGRAM and event.is_on(delivery) and _covers(event, delivery):
                if event.name == "basic.ack":
                    return Settled.ACKED
                if event.name in ("basic.reject", "basic.nack") and not event.arguments.get("requeue"):
                    return Settled.REJECTED
                break
    return None


def publishes(events: Sequence[Event], needle: bytes = b"") -> list[Event]:
    """Return what the program published with these bytes in its body."""
    return [
        event
        for event in events
        if event.name == "basic.publish" and event.sender is Side.PROGRAM and needle in event.body
    ]


def is_in_confirm_mode(events: Sequence[Event], publish: Event) -> bool:
    """Whether `confirm.select` came on the publish's channel before it, since that channel was opened."""
    is_confirming = False
    for event in events:
        if event is publish:
            break
        if event.is_on(publish) and event.sender is Side.PROGRAM:
            if event.name == "channel.open":
                is_confirming = False
            elif event.name == "confirm.select":
                is_confirming = True
    return is_confirming


def about(events: Sequence[Event], nonces: Sequence[str]) -> list[Event]:
    """Return the events about these messages: their transfer, their settlement, and the channel's set-up."""
    messages = [
        event
        for event in events
        if any(nonce.encode() in event.body or _names(event, nonce) for nonce in nonces)
    ]
    channels = {(event.connection, event.channel) for event in messages}
    return [
        event
        for event in events
        if event in messages or _sets_up(event, channels) or _is_reply(event, messages)
    ]


def _sets_up(event: Event, channels: set[tuple[int, int]]) -> bool:
    if event.name in ("connection.close", UNDECODABLE):
        return event.connection in {connection for connection, _ in channels}
    is_setting = event.name in ("basic.qos", "basic.consume", "confirm.select")
    is_trouble = event.name == "channel.close" and event.arguments.get("reply_code") != NO_TROUBLE
    return (is_setting or is_trouble) and (event.connection, event.channel) in channels


def _is_reply(event: Event, messages: Sequence[Event]) -> bool:
    is_reply = event.sender is Side.PROGRAM and event.name in ("basic.ack", "basic.nack", "basic.reject")
    return is_reply and any(event.is_on(message) and _covers(event, message) for message in messages)


def _names(event: Event, nonce: str) -> bool:
    return str(event.properties.get("message_id", "")).replace("-", "").startswith(nonce)


def _after(events: Sequence[Event], event: Event) -> Iterator[Event]:
    later = iter(events)
    for candidate in later:
        if candidate is event:
            break
    return later


def _covers(reply: Event, delivery: Event) -> bool:
    """Whether an ack, nack or reject is about this delivery; with `multiple` it is about all up to its tag, 0 all."""
    replied, delivered = reply.arguments.get("delivery_tag"), delivery.arguments.get("delivery_tag")
    if not isinstance(replied, int) or not isinstance(delivered, int):
        return False
    if reply.name != "basic.reject" and reply.arguments.get("multiple"):
        return replied == 0 or delivered <= replied
    return replied == delivered
