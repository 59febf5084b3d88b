"""JSON pointers (RFC 6901), as text: how a place in a document or a schema is named."""

from collections.abc import Iterable


def pointer_to(steps: Iterable[str | int]) -> str:
    """Return the pointer of the place that these steps lead to; "" is the whole."""
    return "".join(f"/{escaped(str(step))}" for step in steps)


def escaped(step: str) -> str:
    """Write one step as it stands in a pointer."""
    return step.replace("~", "~0").replace("/", "~1")
