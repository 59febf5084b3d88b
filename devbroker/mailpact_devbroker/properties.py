"""The properties of a message, as the bytes that the publisher sent.

A content header is `class (2) weight (2) body size (8) flags (2)` and then each property whose flag is set (AMQP
0-9-1, 4.2.6.1). The broker forwards the header unchanged, because decoding and encoding would change types (a double
would become a float, and a timestamp in milliseconds would change). If the broker must write its own header
(`x-death`, `x-delivery-count`), it replaces only this entry of the table.
"""

import struct
from collections.abc import Mapping

from pamqp import commands, common, decode, encode

from mailpact_devbroker.errors import AmqpError

PERSISTENT = b"\x02"  # delivery mode 2
_KNOWN = commands.Basic.Properties
_FIELDS = tuple((name, flag, _KNOWN.amqp_type(name)) for name, flag in _KNOWN.flags.items())
_FIXED = struct.Struct(">HHQH")
_NO_HEADERS = b"\0\0\0\0"
_SIZES = {b"t": 1, b"b": 1, b"B": 1, b"s": 2, b"u": 2, b"I": 4, b"i": 4, b"f": 4}
_SIZES |= {b"l": 8, b"L": 8, b"d": 8, b"T": 8, b"D": 5, b"V": 0, b"\0": 0}
_PREFIXED = (b"S", b"A", b"F", b"x")  # types with a length of four bytes before the value

Properties = dict[str, bytes]
Value = int | float | str | list["Value"] | Mapping[str, "Value"]  # a float is a time in seconds since 1970


def split(header: bytes) -> Properties:
    """Return the bytes of each property that is set, by name.

    Raises:
        AmqpError: 502 if the header is too short or too long.
    """
    try:
        flags = _FIXED.unpack_from(header)[3]
        found, at = {}, _FIXED.size
        for name, flag, kind in _FIELDS:
            if flags & flag:
                end = at + (1 + header[at] if kind == "shortstr" else _length(kind, header, at))
                found[name], at = header[at:end], end
    except (struct.error, IndexError) as error:
        raise AmqpError(502, "content header is cut short") from error
    if at != len(header) or flags & 0b11:
        raise AmqpError(502, "content header does not end where its properties end")
    return found


def join(properties: Mapping[str, bytes], body_size: int) -> bytes:
    """Return the content header of these properties."""
    flags = sum(_KNOWN.flags[name] for name in properties)
    ordered = (properties[name] for name in _KNOWN.flags if name in properties)
    return _FIXED.pack(60, 0, body_size, flags) + b"".join(ordered)


def body_size(header: bytes) -> int:
    """Return the length of the body that this content header announces, in bytes."""
    if len(header) < _FIXED.size or header[:4] != b"\x00\x3c\x00\x00":
        raise AmqpError(502, "content header is not one of class basic")
    size: int = _FIXED.unpack_from(header)[2]
    return size


def text(properties: Mapping[str, bytes], name: str) -> str | None:
    """Return a short string property, or None if the property is not set."""
    raw = properties.get(name)
    if raw is None:
        return None
    try:
        return raw[1:].decode()
    except UnicodeDecodeError as error:
        raise AmqpError(502, f"property {name} is not UTF-8") from error


def headers(header: bytes) -> common.FieldTable:
    """Return the decoded headers table, for a headers exchange.

    If pamqp cannot decode a table (a time after the year 9999), an empty table is returned, which matches nothing.
    This case is no error, because a dead letter reaches a headers exchange when its publisher can no longer get an
    error.
    """
    try:
        return decode.field_table(split(header).get("headers", _NO_HEADERS))[1]
    except (ValueError, OverflowError, RecursionError, struct.error):
        return {}


def header_names(properties: Mapping[str, bytes]) -> frozenset[bytes]:
    """Return the names in the headers table."""
    return frozenset(_entries(properties.get("headers", _NO_HEADERS)))


def with_headers(properties: Mapping[str, bytes], replaced: Mapping[str, Value]) -> Properties:
    """Return the properties with some headers replaced."""
    kept = _entries(properties.get("headers", _NO_HEADERS))
    written = {name.encode(): _written(value) for name, value in replaced.items()}
    return {**properties, "headers": _table(kept | written)}


def _written(value: Value) -> bytes:
    """Return an encoded table value with its type tag. The types are those of RabbitMQ's own headers."""
    match value:
        case int():
            return b"l" + struct.pack(">q", value)
        case float():  # a float is a time
            return b"T" + struct.pack(">Q", int(value))
        case str():
            return b"S" + encode.long_string(value)
        case list():
            raw = b"".join(_written(each) for each in value)
            return b"A" + struct.pack(">I", len(raw)) + raw
        case _:
            return b"F" + _table({name.encode(): _written(each) for name, each in value.items()})


def _table(entries: Mapping[bytes, bytes]) -> bytes:
    body = b"".join(bytes((len(name),)) + name + value for name, value in entries.items())
    return struct.pack(">I", len(body)) + body


def _length(kind: str, raw: bytes, at: int) -> int:
    match kind:
        case "table":
            return 4 + int.from_bytes(raw[at : at + 4])
        case _:
            return {"octet": 1, "timestamp": 8}[kind]


def _entries(table: bytes) -> dict[bytes, bytes]:
    """Return a table's entries as bytes, each value with its type tag. Nested tables are not decoded."""
    found, at = {}, 4
    try:
        while at < len(table):
            name = table[at + 1 : at + 1 + table[at]]
            at += 1 + len(name)
            end = at + 1 + _value_length(table, at)
            found[name], at = table[at:end], end
    except (KeyError, IndexError) as error:
        raise AmqpError(502, "headers table has a value of an unknown type") from error
    if at > max(4, len(table)):
        raise AmqpError(502, "headers table is cut short")
    return found


def _value_length(table: bytes, at: int) -> int:
    tag = table[at : at + 1]
    if tag in _PREFIXED:
        return 4 + int.from_bytes(table[at + 1 : at + 5])
    return _SIZES[tag]
