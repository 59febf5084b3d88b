"""Mends the properties of a message that pamqp cannot decode.

A broker does not check a message's properties. pamqp raises an error for a timestamp in microseconds, for text that is
not UTF-8 and for an unknown type in the headers. aiormq would then close the connection, the broker would deliver the
message again, and after 21 deliveries all messages that were delivered together would be dead letters. So this module
changes such a property: unreadable characters become question marks, and an unreadable timestamp or table of headers is
removed.

A payload consists of class, weight and body size (12 bytes), a bit for each property that is present (2 bytes), and the
properties.
"""

from aiormq.exceptions import InvalidFrameError
from pamqp import decode
from pamqp.commands import Basic
from pamqp.header import ContentHeader

_FLAGS_AT = 12
_PROPERTIES_AT = 14


def decoded(payload: bytes) -> ContentHeader:
    """Return the decoded payload of a content header frame. Raises InvalidFrameError if the payload ends too early."""
    try:
        return _unmarshalled(payload)
    except Exception:  # noqa: BLE001  # a malformed payload can raise anything from struct.error to RecursionError
        return _unmarshalled(_mended(payload))


def decodable(payload: bytes) -> bytes:
    """Return the payload if pamqp can decode it, or a corrected copy. Raises InvalidFrameError as `decoded`."""
    try:
        _unmarshalled(payload)
    except Exception:  # noqa: BLE001  # as above
        return _mended(payload)
    return payload


def _unmarshalled(payload: bytes) -> ContentHeader:
    header = ContentHeader()
    header.unmarshal(payload)
    return header


def _mended(payload: bytes) -> bytes:
    if len(payload) < _PROPERTIES_AT:
        raise InvalidFrameError("a content header is cut short")
    flags = int.from_bytes(payload[_FLAGS_AT:_PROPERTIES_AT])
    kept_flags, kept, offset = 0, b"", _PROPERTIES_AT
    for name, flag in Basic.Properties.flags.items():
        if not flags & flag:
            continue
        kind = Basic.Properties.amqp_type(name)
        end = offset + _length(payload[offset : offset + 4], kind)
        if end > len(payload):
            raise InvalidFrameError(f"a content header is cut short at {name}")
        encoded = _mended_property(payload[offset:end], kind)
        if encoded:
            kept_flags |= flag
            kept += encoded
        offset = end
    return payload[:_FLAGS_AT] + kept_flags.to_bytes(2) + kept


def _length(start: bytes, kind: str) -> int:
    match kind:
        case "shortstr":
            return 1 + int.from_bytes(start[:1])
        case "table":
            return 4 + int.from_bytes(start)
        case "timestamp":
            return 8
        case _:
            return 1


def _mended_property(encoded: bytes, kind: str) -> bytes:
    try:
        decode.by_type(encoded, kind)
    except Exception:  # noqa: BLE001  # as above
        if kind != "shortstr":
            return b""
        # One byte replaces each unreadable byte, so that the text cannot become longer than 255 bytes.
        text = encoded[1:].decode("utf-8", "replace").replace("\ufffd", "?").encode()
        return len(text).to_bytes(1) + text
    return encoded
