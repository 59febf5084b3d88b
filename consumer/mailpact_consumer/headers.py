"""The AMQP headers of a message: their size, and which headers are published again.

Any program may have written the headers, also with types that our library can decode but not encode (text that is not
UTF-8, a double that does not fit into a float). A dead letter contains its publisher's headers. Without this check, a
letter with a header that cannot be encoded would be tried for ever.
"""

import struct
from collections.abc import Mapping
from typing import Final

from pamqp import encode

_OF_THE_BROKER: Final = frozenset({"CC", "BCC", "x-delivery-count", "x-acquired-count", "x-death"})
_PREFIXES_OF_THE_BROKER: Final = ("x-first-death-", "x-last-death-")
_NAME_BYTES: Final = 128  # pamqp cuts a longer name, and two of them could become one


def size_bytes(headers: Mapping[str, object]) -> int:
    """Return the encoded size of the headers, without headers that cannot be encoded."""
    return sum(_encoded_bytes(name, value) or 0 for name, value in headers.items())


def _encodable(headers: Mapping[str, object]) -> dict[str, object]:
    """Return the headers that can be encoded."""
    return {name: value for name, value in headers.items() if _encoded_bytes(name, value) is not None}


def republished(headers: Mapping[str, object]) -> dict[str, object]:
    """Return the headers with which a received message is published again.

    Headers on which the broker would act again are removed: CC, BCC and the `x-death` headers (RabbitMQ 3.10 never
    returns a message whose copied `x-death` looks like a cycle). A header that can be decoded but not encoded is
    removed too; otherwise the message could not be published.
    """
    return _encodable(
        {
            # pamqp gives text that is not UTF-8 as bytes, and encodes only bytearray.
            name: bytearray(value) if isinstance(value, bytes) else value
            for name, value in headers.items()
            if name not in _OF_THE_BROKER
            and not name.startswith(_PREFIXES_OF_THE_BROKER)
            and len(name.encode()) <= _NAME_BYTES
        }
    )


def _encoded_bytes(name: str, value: object) -> int | None:
    """Return the size of a header as AMQP encodes it, or None if pamqp cannot encode it.

    pamqp reads values that it cannot write, for instance a double beyond a float or text that is not UTF-8.
    """
    try:
        return len(encode.short_string(name)) + len(encode.encode_table_value(value))  # type: ignore[arg-type]  # that is the question
    except (TypeError, ValueError, OverflowError, RecursionError, struct.error):
        return None
