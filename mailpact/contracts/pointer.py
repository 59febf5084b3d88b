"""JSON pointers (RFC 6901), as text: the names of places in a document or a schema."""

from collections.abc import Iterable


def pointer_to(steps: Iterable[str | int]) -> str:
    """Return the pointer of the place that these steps lead to; "" is the whole."""
    return "".join(f"/{escaped(str(step))}" for step in steps)


def escaped(step: str) -> str:
    """Return one step in the form that a pointer uses."""
    return step.replace("~", "~0").replace("/", "~1")
