"""Reads AMQP 0-9-1 frames from a stream of untrusted bytes.

A frame is: type (1 byte), channel (2), size (4), payload, end (0xCE). Bytes arrive in pieces of any length. A frame
whose payload cannot be decoded is reported and skipped. If the framing itself is broken, the following bytes cannot
be decoded, so this is reported once and the rest of the stream is ignored. At most one frame of 1 MiB is held in
memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pamqp import commands, header
from pamqp import frame as pamqp_frame
from pamqp.base import Frame as PamqpMethod

MAX_FRAME_BYTES = 1024 * 1024  # RabbitMQ and most clients agree on 128 KiB
PROTOCOL_HEADER = b"AMQP"
_PROTOCOL_HEADER_BYTES = 8
_START_BYTES = 7
_END = 0xCE
_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8


@dataclass(frozen=True, slots=True)
class Method:
    """A method frame; names as in the specification, such as `basic.publish` and `delivery_tag`."""

    channel: int
    name: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ContentHeader:
    """A content header; `properties` holds only the properties that are set."""

    channel: int
    body_size: int
    properties: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ContentBody:
    """A piece of a body."""

    channel: int
    piece: bytes


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Bytes that are not valid AMQP 0-9-1."""

    channel: int
    reason: str


Frame = Method | ContentHeader | ContentBody | Undecodable


class FrameReader:
    """Reads one direction of one connection; heartbeats and protocol headers are left out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_lost = False

    def feed(self, data: bytes) -> list[Frame]:
        """Add the next bytes and return the frames that are complete now. Never raises, also for invalid bytes."""
        if self._is_lost:
            return []
        self._buffer += data
        frames: list[Frame] = []
        while length := self._next_length():
            raw = bytes(self._buffer[:length])
            del self._buffer[:length]
            frame = self._read(raw)
            if frame is not None:
                frames.append(frame)
        return frames

    def _next_length(self) -> int:
        """Return the length of the next frame in bytes; 0 if the frame is not complete."""
        if self._is_lost:
            return 0
        held = len(self._buffer)
        if self._buffer[:1] == PROTOCOL_HEADER[:1]:
            return _PROTOCOL_HEADER_BYTES if held >= _PROTOCOL_HEADER_BYTES else 0
        if held < _START_BYTES:
            return 0
        size = int.from_bytes(self._buffer[3:_START_BYTES])
        if self._buffer[0] not in (_METHOD, _HEADER, _BODY, _HEARTBEAT) or size > MAX_FRAME_BYTES:
            return _START_BYTES  # enough bytes to detect that they are no frame
        length = _START_BYTES + size + 1
        return length if held >= length else 0

    def _read(self, raw: bytes) -> Frame | None:
        if raw.startswith(PROTOCOL_HEADER):
            return None
        channel = int.from_bytes(raw[1:3])
        if len(raw) <= _START_BYTES or raw[-1] != _END:
            self._is_lost = True
            self._buffer.clear()
            return Undecodable(channel, f"no AMQP frame; it begins with {raw[:_START_BYTES].hex(' ')}")
        if raw[0] == _HEARTBEAT:
            return None
        if raw[0] == _BODY:
            return ContentBody(channel, raw[_START_BYTES:-1])
        return _decoded(channel, raw)


def named_properties(properties: commands.Basic.Properties) -> dict[str, object]:
    """Return the properties that are set, by the specification's names."""
    return {
        "type" if name == "message_type" else name: value
        for name, value in properties
        if value is not None and value != "" and name != "cluster_id"
    }


def _decoded(channel: int, raw: bytes) -> Frame:
    try:
        _, _, decoded = pamqp_frame.unmarshal(raw)
    except Exception as error:  # noqa: BLE001  # untrusted bytes can cause any error, from struct.error to RecursionError
        return Undecodable(channel, f"a frame of type {raw[0]} cannot be decoded: {type(error).__name__}")
    match decoded:
        case header.ContentHeader():
            properties = named_properties(decoded.properties)
            return ContentHeader(channel, decoded.body_size or 0, _with_true_time(properties, raw))
        case PamqpMethod():
            return Method(channel, _specified_name(decoded.name), _arguments(decoded))
        case _:
            return Undecodable(channel, f"a frame of type {raw[0]} holds something else")


def _with_true_time(properties: dict[str, object], raw: bytes) -> dict[str, object]:
    """Return the properties; a timestamp that is not in seconds is returned as a number, because pamqp changes it."""
    time = properties.get("timestamp")
    if isinstance(time, datetime) and int(time.timestamp()).to_bytes(8) not in raw:
        return {**properties, "timestamp": round(time.timestamp() * 1000)}
    return properties


def _specified_name(name: str) -> str:
    """Return pamqp's name `Basic.GetOk` in the specification's form `basic.get-ok`."""
    group, _, method = name.partition(".")
    dashed = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in method)
    return f"{group.lower()}.{dashed.lstrip('-')}"


def _arguments(method: PamqpMethod) -> dict[str, object]:
    return {name: value for name, value in method if not name.startswith("reserved") and name != "ticket"}
