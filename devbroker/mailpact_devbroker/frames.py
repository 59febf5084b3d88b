"""Decode bytes into frames, and encode frames into bytes.

A frame is `type (1) channel (2) size (4) payload 0xCE` (AMQP 0-9-1, 2.3.5). pamqp decodes the methods; content
headers and bodies stay bytes. No frame is larger than the negotiated limit, so the broker holds at most one
incomplete frame of each peer in memory.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from pamqp import base, commands

from mailpact_devbroker.errors import AmqpError, unsupported

PREAMBLE = b"AMQP\x00\x00\x09\x01"
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
FRAME_MAX = 131_072  # bytes, including the frame's own eight bytes
FRAME_MIN = 4_096  # bytes: the smallest frame-max of AMQP

_HEAD = struct.Struct(">BHI")
_OVERHEAD = 8
_END = b"\xce"
_LONGEST_DETAIL = 200  # characters of a client's text that a reply repeats


class Kind(IntEnum):
    """A frame's type."""

    METHOD = 1
    HEADER = 2
    BODY = 3
    HEARTBEAT = 8


_KINDS = {kind.value: kind for kind in Kind}
_PUBLISH = struct.pack(">I", commands.Basic.Publish.index)


class Frame(NamedTuple):
    """A frame of the stream, with its payload not decoded."""

    kind: Kind
    channel: int
    payload: bytes


class Decoder:
    """Splits one connection's bytes into frames. The handshake may lower `frame_max` (bytes)."""

    def __init__(self) -> None:
        self.frame_max = FRAME_MAX
        self._buffer = bytearray()
        self._at = 0  # where in the buffer the next frame begins

    def feed(self, data: bytes) -> None:
        """Add bytes from the peer."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    def preamble(self) -> bytes | None:
        """Remove the protocol header from the stream and return it; return None while it is incomplete."""
        if len(self._buffer) < len(PREAMBLE):
            return None
        self._at = len(PREAMBLE)
        return bytes(self._buffer[: self._at])

    def frames(self) -> Iterator[Frame]:
        """Yield each complete frame; raises 501 if the stream is not valid."""
        while len(self._buffer) >= self._at + _HEAD.size:
            number, channel, size = _HEAD.unpack_from(self._buffer, self._at)
            kind, end = _KINDS.get(number), self._at + size + _OVERHEAD
            # RabbitMQ, too, accepts frames larger by the eight bytes
            if size > self.frame_max or kind is None:
                limit = f"at most {self.frame_max} are allowed"
                raise AmqpError(501, f"frame of type {number} and {size} bytes; {limit}")
            if len(self._buffer) < end:
                return
            if self._buffer[end - 1] != _END[0]:
                raise AmqpError(501, f"frame ends in {self._buffer[end - 1]:#04x} instead of 0xce")
            with memoryview(self._buffer) as view:  # a slice of the buffer itself would be copied twice
                payload = bytes(view[self._at + _HEAD.size : end - 1])
            self._at = end
            yield Frame(kind, channel, payload)


def decode_method(payload: bytes) -> base.Frame:
    """Return the method of a method frame; raises 540 for an unknown method, 501 for a malformed method."""
    return _decode_publish(payload) if payload.startswith(_PUBLISH) else _decode(payload)


@lru_cache(maxsize=256)
def _decode_publish(payload: bytes) -> base.Frame:
    """Decode a basic.publish, with a cache.

    A publisher repeats the same method again and again, and the broker never changes the method.
    """
    return _decode(payload)


def _decode(payload: bytes) -> base.Frame:
    kind = commands.INDEX_MAPPING.get(int.from_bytes(payload[:4]))
    if kind is None or kind is commands.Basic.RecoverAsync:  # AMQP 0-9-1 itself deprecates this method
        raise unsupported(f"method {payload[:4].hex()}")
    method: base.Frame = kind()
    try:
        method.unmarshal(payload[4:])
    except (ValueError, OverflowError, RecursionError, struct.error, TypeError) as error:
        raise AmqpError(501, f"cannot decode {method.name}: {str(error)[:_LONGEST_DETAIL]}") from error
    return method


def encode_method(method: base.Frame) -> bytes:
    """Return a method as the payload of a method frame; raises ValueError for names that pamqp refuses."""
    return struct.pack(">I", method.index) + method.marshal()


def encode(channel: int, method: base.Frame) -> bytes:
    """Return the frame of a method without content."""
    return _frame(Kind.METHOD, channel, encode_method(method))


def encode_content(channel: int, method: base.Frame, header: bytes, body: bytes, frame_max: int) -> bytes:
    """Return the frames of a method with content: the method, the content header, and the body in pieces."""
    room = frame_max - _OVERHEAD
    parts = [encode(channel, method), _frame(Kind.HEADER, channel, header)]
    parts += (_frame(Kind.BODY, channel, body[at : at + room]) for at in range(0, len(body), room))
    return b"".join(parts)


def _frame(kind: Kind, channel: int, payload: bytes) -> bytes:
    return _HEAD.pack(kind, channel, len(payload)) + payload + _END
