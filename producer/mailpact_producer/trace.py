"""The trace context of the request that is being served (https://www.w3.org/TR/trace-context/).

    traceparent = 00 - trace id (16 bytes) - id of the caller's span (8 bytes) - flags (1 byte), in hexadecimal

A message carries the trace context of the request that caused the message. If a client or a proxy has begun a trace,
the trace is continued; any other request begins a trace.
"""

import re
from contextvars import ContextVar
from typing import Final

HEADER: Final = "traceparent"
RANDOM_BYTES: Final = 24

_FORM: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_SAMPLED: Final = "01"

current: Final[ContextVar[str | None]] = ContextVar("traceparent", default=None)
"""The trace context of the request that is served now; None outside of a request."""


def continued(header: str, randomness: bytes) -> str:
    """Return the trace context for the effects of a request; `randomness` is RANDOM_BYTES.

    The trace of `header` is continued with a new span. A header of any other form begins a new trace.
    """
    found = _FORM.fullmatch(header)
    trace_id = found[1] if found else randomness[:16].hex()
    return f"00-{trace_id}-{randomness[16:].hex()}-{found[2] if found else _SAMPLED}"
