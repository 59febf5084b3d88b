"""The AMQP headers of a message: how big they are, and which of them can be published again.

Any program may have written them, with types that our library reads but cannot write (text that is not UTF-8, a
double beyond a float). A dead letter carries its publisher's headers, and one that cannot be encoded would otherwise
be tried for ever.
"""

from collections.abc import Mapping

from mailpact.amqp.messages import encoded_bytes


def size_bytes(headers: Mapping[str, object]) -> int:
    """Return the size of the headers as AMQP encodes them, without those that cannot be encoded."""
    return sum(encoded_bytes(name, value) or 0 for name, value in headers.items())


def publishable(headers: Mapping[str, object]) -> dict[str, object]:
    """Return those of the headers that can be encoded."""
    return {name: value for name, value in headers.items() if encoded_bytes(name, value) is not None}
