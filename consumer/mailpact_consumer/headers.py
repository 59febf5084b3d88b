"""The AMQP headers of a message: their size, and which headers can be published again.

Any program may have written the headers, also with types that our library can decode but not encode (text that is not
UTF-8, a double that does not fit into a float). A dead letter contains its publisher's headers. Without this check, a
letter with a header that cannot be encoded would be tried for ever.
"""

from collections.abc import Mapping

from mailpact.amqp.messages import encoded_bytes


def size_bytes(headers: Mapping[str, object]) -> int:
    """Return the encoded size of the headers, without headers that cannot be encoded."""
    return sum(encoded_bytes(name, value) or 0 for name, value in headers.items())


def publishable(headers: Mapping[str, object]) -> dict[str, object]:
    """Return the headers that can be encoded."""
    return {name: value for name, value in headers.items() if encoded_bytes(name, value) is not None}
