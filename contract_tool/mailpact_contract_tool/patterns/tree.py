"""The tree of a regular expression, and the texts that a tree of single characters matches."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Code points as inclusive ranges, in order, apart from each other, without surrogates, which are no characters."""


@dataclass(frozen=True, slots=True)
class Characters:
    """One character out of these."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part after the other."""

    parts: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the branches."""

    branches: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`least` to `most` times the inner part; None is without a limit."""

    inner: "Tree"
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Edge:
    """The beginning of the text, or its end."""

    at_end: bool


Tree: TypeAlias = Characters | Sequence | Choice | Repeat | Edge


def one(code: int) -> Characters:
    """Return the tree of one character."""
    return Characters(((code, code),))


def literals(texts: Iterable[str]) -> Tree:
    """Return the tree that matches exactly these texts, as wholes."""
    branches = tuple(Sequence(tuple(one(ord(character)) for character in text)) for text in texts)
    return Sequence((Edge(at_end=False), Choice(branches), Edge(at_end=True)))
