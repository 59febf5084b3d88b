"""Mends the properties of a message that pamqp cannot decode.

A broker carries a message's properties without looking at them. pamqp raises at a timestamp in microseconds, at text
that is not UTF-8, at an unknown type in the headers; aiormq then loses the whole connection, gets the same message
again, and so on, until it and its innocent neighbours have come back 21 times and are dead letters. So such a
property is mended before pamqp sees it: of text stays what can be read, a timestamp or headers are left out. The
receiver then judges the message as it judges any other.

A payload is: class, weight, body size (12 bytes), one bit for each property that is there (2 bytes), the properties.
"""

from pamqp import decode
from pamqp.commands import Basic
from pamqp.header import ContentHeader

_FLAGS_AT = 12
_PROPERTIES_AT = 14


def decodable(payload: bytes) -> bytes:
    """Return a content header frame's payload as it is, or mended if pamqp cannot decode it.

    Raises ValueError if it is cut short: then nothing can be told of it.
    """
    try:
        ContentHeader().unmarshal(payload)
    except Exception:  # noqa: BLE001  # from struct.error to RecursionError, whatever a stranger's bytes provoke
        return _mended(payload)
    return payload


def _mended(payload: bytes) -> bytes:
    if len(payload) < _PROPERTIES_AT:
        raise ValueError("a content header is cut short")
    flags = int.from_bytes(payload[_FLAGS_AT:_PROPERTIES_AT])
    kept_flags, kept, offset = 0, b"", _PROPERTIES_AT
    for name, flag in Basic.Properties.flags.items():
        if not flags & flag:
            continue
        kind = Basic.Properties.amqp_type(name)
        end = offset + _length(payload[offset : offset + 4], kind)
        if end > len(payload):
            raise ValueError(f"a content header is cut short at {name}")
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
        # One byte for each that cannot be read, so that the text cannot outgrow its 255 bytes.
        text = encoded[1:].decode("utf-8", "replace").replace("\ufffd", "?").encode()
        return len(text).to_bytes(1) + text
    return encoded
