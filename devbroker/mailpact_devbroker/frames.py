"""Frames: bytes in, frames out, and back.

A frame is `type (1) channel (2) size (4) payload 0xCE` (AMQP 0-9-1, 2.3.5). pamqp knows the methods; content headers
and bodies stay bytes. No frame is larger than what was negotiated, so a peer can make us hold at most one frame that
is not complete.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from pamqp import base, commands

from mailpact_devbroker.errors import AmqpError, unsupported

PREAMBLE = b"AMQP\x00\x00\x09\x01"
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
FRAME_MAX = 131_072  # bytes, the frame's own eight included
FRAME_MIN = 4_096  # bytes: AMQP's least frame-max

_HEAD = struct.Struct(">BHI")
_OVERHEAD = 8
_END = b"\xce"
_LONGEST_DETAIL = 200  # characters of foreign text in a reply


class Kind(IntEnum):
    """A frame's type."""

    METHOD = 1
    HEADER = 2
    BODY = 3
    HEARTBEAT = 8


_KINDS = frozenset(Kind)


class Frame(NamedTuple):
    """A frame as it was cut off the stream."""

    kind: Kind
    channel: int
    payload: bytes


class Decoder:
    """Cuts one connection's bytes into frames. `frame_max` (bytes) may be lowered when the connection is tuned."""

    def __init__(self) -> None:
        self.frame_max = FRAME_MAX
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer."""
        self._buffer += data

    def preamble(self) -> bytes | None:
        """Take the protocol header off the stream, or return None while it is not complete."""
        if len(self._buffer) < len(PREAMBLE):
            return None
        return self._take(len(PREAMBLE))

    def frames(self) -> Iterator[Frame]:
        """Yield each complete frame; raises 501 where the stream makes no sense any more."""
        while len(self._buffer) >= _HEAD.size:
            kind, channel, size = _HEAD.unpack_from(self._buffer)
            whole = size + _OVERHEAD
            if (
                size > self.frame_max or kind not in _KINDS
            ):  # RabbitMQ, too, forgives who forgets the eight bytes
                raise AmqpError(
                    501, f"frame of type {kind} and {size} bytes; at most {self.frame_max} are allowed"
                )
            if len(self._buffer) < whole:
                return
            if self._buffer[whole - 1] != _END[0]:
                raise AmqpError(501, f"frame ends in {self._buffer[whole - 1]:#04x} instead of 0xce")
            yield Frame(Kind(kind), channel, self._take(whole)[_HEAD.size : -1])

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken


def decode_method(payload: bytes) -> base.Frame:
    """Return the method of a method frame; raises 540 for one that does not exist, 501 for a malformed one."""
    kind = commands.INDEX_MAPPING.get(int.from_bytes(payload[:4]))
    if kind is None or kind is commands.Basic.RecoverAsync:  # which AMQP 0-9-1 itself deprecates
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
    """Return the frame of a method that carries no content."""
    return _frame(Kind.METHOD, channel, encode_method(method))


def encode_content(channel: int, method: base.Frame, header: bytes, body: bytes, frame_max: int) -> bytes:
    """Return the frames of a method with content: the method, its header, and the body in pieces."""
    room = frame_max - _OVERHEAD
    parts = [encode(channel, method), _frame(Kind.HEADER, channel, header)]
    parts += (_frame(Kind.BODY, channel, body[at : at + room]) for at in range(0, len(body), room))
    return b"".join(parts)


def _frame(kind: Kind, channel: int, payload: bytes) -> bytes:
    return _HEAD.pack(kind, channel, len(payload)) + payload + _END
