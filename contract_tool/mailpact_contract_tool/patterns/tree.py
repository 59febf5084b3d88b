"""The tree of a regular expression, and the texts that a tree of single characters matches."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

_DEEPEST = 60  # trees inside each other

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Code points as inclusive ranges, in order, apart from each other, without surrogates, which are no characters."""


@dataclass(frozen=True, slots=True)
class Characters:
    """One character of a set."""

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
    """The inner part, repeated `least` to `most` times; None means no limit."""

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
    """Return the tree that matches exactly these whole texts."""
    return Sequence((Edge(at_end=False), _shared(sorted(set(texts)), 0), Edge(at_end=True)))


def _shared(texts: list[str], depth: int) -> Tree:
    """Return the tree of these texts; a common beginning is written once, as far as the nesting limit allows."""
    branches: list[Tree] = []
    for _, group in groupby(texts, key=lambda text: text[:1] if depth < _DEEPEST else text):
        alike = list(group)
        prefix = _prefix(alike[0], alike[-1])
        characters = tuple(one(ord(character)) for character in prefix)
        rest = [text[len(prefix) :] for text in alike]
        branches.append(Sequence((*characters, *([_shared(rest, depth + 1)] if len(rest) > 1 else []))))
    return Choice(tuple(branches))


def _prefix(first: str, last: str) -> str:
    """Return the common beginning of two texts; in a sorted list, all texts between them begin with it too."""
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length]
