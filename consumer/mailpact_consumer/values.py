"""Makes classes of immutable values that are cheap to make.

A frozen dataclass sets each field by a call of `object.__setattr__`, which takes three times as long (measured: 2.3 us
against 0.8 us for seven fields). A mail needs twenty values with a hundred fields. Therefore the type checker, and not
the interpreter, ensures that these values are immutable.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

C = TypeVar("C")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[C]) -> type[C]:
    """Make a class a dataclass with slots whose instances are never changed."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
