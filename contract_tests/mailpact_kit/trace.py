"""The trace: all frames between a program and its broker, in order, and the queries that cases make on the trace.

Pure: the trace takes frames with their times and keeps events. Memory is bounded: at a limit the trace stops and sets
`is_full`, because an incomplete trace allows no verdict.
"""

from collections.abc import Callable, Mapping, Sequence
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


class Speaker(StrEnum):
    """The sender of a frame."""

    PROGRAM = "program"
    BROKER = "broker"


@dataclass(frozen=True, slots=True)
class Event:
    """A method, with its content if it has any. `at` is in seconds since the start of the trace."""

    at: float
    connection: int
    channel: int
    speaker: Speaker
    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    properties: Mapping[str, object] = field(default_factory=dict)
    body: bytes = b""

    def is_on(self, other: "Event") -> bool:
        """Return whether both events belong to one channel."""
        return (self.connection, self.channel) == (other.connection, other.channel)


class Trace:
    """Collects events in the order in which the tap saw them; `keeps` is called with each event."""

    def __init__(self, keeps: Callable[[Event], None] = lambda _: None) -> None:
        self._keeps = keeps
        self.events: list[Event] = []
        self.is_full = False
        self._kept_bytes = 0
        self._incomplete: dict[tuple[int, Speaker, int], _Incomplete] = {}

    def take(self, connection: int, speaker: Speaker, frame: Frame, *, at: float) -> None:
        """Take the next frame of one direction of a connection."""
        if self.is_full:
            return
        key = (connection, speaker, frame.channel)
        match frame:
            case Method():
                self._method(key, frame, at)
            case ContentHeader():
                self._header(key, frame, at)
            case ContentBody():
                self._body(key, frame, at)
            case Undecodable():
                self._keep(
                    Event(at, connection, frame.channel, speaker, UNDECODABLE, {"reason": frame.reason})
                )
            case _:
                assert_never(frame)

    def _method(self, key: tuple[int, Speaker, int], frame: Method, at: float) -> None:
        connection, speaker, channel = key
        if frame.name in _WITH_CONTENT:
            self._incomplete[key] = _Incomplete(frame)
            if len(self._incomplete) > MAX_EVENTS:
                self._stop()
        elif frame.name in _WITH_SECRETS:
            self._keep(Event(at, connection, channel, speaker, frame.name))
        else:
            self._keep(Event(at, connection, channel, speaker, frame.name, frame.arguments))

    def _header(self, key: tuple[int, Speaker, int], frame: ContentHeader, at: float) -> None:
        incomplete = self._incomplete.get(key)
        if incomplete is None:
            self._stray(key, "a content header without its method", at)
            return
        incomplete.header = frame
        self._complete(key, incomplete, at)

    def _body(self, key: tuple[int, Speaker, int], frame: ContentBody, at: float) -> None:
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

    def _complete(self, key: tuple[int, Speaker, int], incomplete: "_Incomplete", at: float) -> None:
        header, method = incomplete.header, incomplete.method
        if header is None or len(incomplete.body) < header.body_size:
            return
        del self._incomplete[key]
        connection, speaker, channel = key
        body = bytes(incomplete.body)
        self._keep(
            Event(at, connection, channel, speaker, method.name, method.arguments, header.properties, body)
        )

    def _stray(self, key: tuple[int, Speaker, int], reason: str, at: float) -> None:
        connection, speaker, channel = key
        self._keep(Event(at, connection, channel, speaker, UNDECODABLE, {"reason": reason}))

    def _keep(self, event: Event) -> None:
        if len(self.events) >= MAX_EVENTS:
            self._stop()
        else:
            self.events.append(event)
            self._keeps(event)

    def _stop(self) -> None:
        self.is_full = True
        self._incomplete.clear()


@dataclass(slots=True)
class _Incomplete:
    """A method whose content is not complete yet."""

    method: Method
    header: ContentHeader | None = None
    body: bytearray = field(default_factory=bytearray)


def publishes(events: Sequence[Event], needle: bytes = b"") -> list[Event]:
    """Return what the program published with these bytes in its body."""
    return [
        event
        for event in events
        if event.name == "basic.publish" and event.speaker is Speaker.PROGRAM and needle in event.body
    ]


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
    is_reply = event.speaker is Speaker.PROGRAM and event.name in ("basic.ack", "basic.nack", "basic.reject")
    return is_reply and any(event.is_on(message) and _covers(event, message) for message in messages)


def _names(event: Event, nonce: str) -> bool:
    return str(event.properties.get("message_id", "")).replace("-", "").startswith(nonce)


def _covers(reply: Event, delivery: Event) -> bool:
    """Return whether an ack, nack or reject settles this delivery, also by `multiple` (tag 0 means all)."""
    replied, delivered = reply.arguments.get("delivery_tag"), delivery.arguments.get("delivery_tag")
    if not isinstance(replied, int) or not isinstance(delivered, int):
        return False
    if reply.name != "basic.reject" and reply.arguments.get("multiple"):
        return replied == 0 or delivered <= replied
    return replied == delivered
