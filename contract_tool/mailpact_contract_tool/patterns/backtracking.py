"""Finds patterns that cost a backtracking engine more than linear time.

Python, JavaScript and Java try the ways to match a pattern one after the other. If the pattern's loops can divide a
text in many ways, and the text does not match, these engines try all ways: exponentially many for `(a*)*`,
quadratically many for `a*a*`. A body of 64 KiB then blocks a service for minutes. The pattern is made into an
automaton with one state for each character that it names. The search looks for two ways to read the same text:

    exponential   from a state back to itself in two ways               (EDA; Weber and Seidl 1991)
    polynomial    around p, from p to q, and around q, all by one text  (IDA; the same)
    doubling      without a loop, as in `a?a?a?a?`: a few are allowed

A repetition with a fixed number of up to 16 is written out. A longer or variable repetition counts as a loop without
end, because a limit of 61 does not help against 61 * 61 * 61. A pattern that is too large for the search is refused.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TypeVar

from mailpact_contract_tool.patterns.portable import Pattern
from mailpact_contract_tool.patterns.tree import Characters, Choice, Edge, Repeat, Sequence, Tree

_WRITTEN_OUT = 16
_MOST_STATES = 500
_MOST_STEPS = 100_000
_MOST_JOINS = 5  # each join can double the time
_TOO_BIG = "is too big to be proven harmless; write it shorter"

_T = TypeVar("_T")
_Set = frozenset[int]
_Pair = tuple[int, int]
_Triple = tuple[int, int, int]


class _TooBig(Exception):
    """The search would take too long."""


def backtracking_fault(pattern: Pattern) -> str | None:
    """Return why a backtracking engine may need more than linear time for a pattern; None if it needs linear time."""
    try:
        automaton = _Automaton()
        first, _, _ = automaton.add(pattern.root)
        if automaton.repeats_nothing:
            return "takes exponential time: what may be empty is repeated, as in (?:a?){9}"
        if automaton.has_double_edge_in_loop():
            return "takes exponential time: a repetition in a repetition can split one text in many ways"
        if _exponential(automaton):
            return "takes exponential time: inside a repetition, one text can be read in two ways"
        if not pattern.starts and automaton.looping():
            return "takes quadratic time: it has a repetition and begins anywhere; begin it with ^"
        if _polynomial(automaton):
            return "takes quadratic time or more: two repetitions can share one text in many ways"
        if len(_joins(automaton, first)) > _MOST_JOINS:
            return "takes very long: many parts that may be missing can share one text in many ways"
    except _TooBig:
        return _TOO_BIG
    return None


class _Automaton:
    """Glushkov's automaton: a state is an occurrence of a character, and an edge leads to what may come next."""

    def __init__(self) -> None:
        self.characters: list[Characters] = []
        self.after: defaultdict[int, set[int]] = defaultdict(set)
        self.repeats_nothing = False
        self._double: set[_Pair] = set()
        self._steps = 0

    def add(self, node: Tree) -> tuple[_Set, _Set, bool]:
        """Add a part; return its first states, its last states, and whether the part may be empty."""
        match node:
            case Characters():
                if len(self.characters) >= _MOST_STATES:
                    raise _TooBig
                self.characters.append(node)
                state = frozenset({len(self.characters) - 1})
                return state, state, False
            case Sequence(parts):
                return self._add_sequence(parts)
            case Choice(branches):
                added = [self.add(branch) for branch in branches]
                firsts, lasts, empties = zip(*added, strict=True)
                return frozenset().union(*firsts), frozenset().union(*lasts), any(empties)
            case Repeat(inner, least, most):
                return self._add_repeat(inner, least, most)
            case Edge():
                return frozenset(), frozenset(), True

    def _add_sequence(self, parts: tuple[Tree, ...]) -> tuple[_Set, _Set, bool]:
        first, last, empty = self.add(parts[0])
        for part in parts[1:]:
            next_first, next_last, next_empty = self.add(part)
            self._connect(last, next_first)
            first = first | next_first if empty else first
            last = last | next_last if next_empty else next_last
            empty = empty and next_empty
        return first, last, empty

    def _add_repeat(self, inner: Tree, least: int, most: int | None) -> tuple[_Set, _Set, bool]:
        if most is not None and least == most <= _WRITTEN_OUT:
            added = self._add_sequence((inner,) * least)
            self.repeats_nothing |= added[2] and least > 1
            return added
        first, last, empty = self.add(inner)
        self.repeats_nothing |= empty and most != 1
        if most != 1:
            self._connect(last, first)
        return first, last, empty or least == 0

    def _connect(self, lasts: _Set, firsts: _Set) -> None:
        for last in lasts:
            self._double.update((last, first) for first in firsts & self.after[last])
            self.after[last] |= firsts

    def counted(self, steps: Iterable[_T]) -> Iterator[_T]:
        """Yield the steps of a search; raise _TooBig if all searches together have too many steps."""
        for step in steps:
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise _TooBig
            yield step

    def has_double_edge_in_loop(self) -> bool:
        """Return whether two ways of going on lead to the same state and from there back."""
        return any(self.share_loop(last, first) for last, first in self._double)

    def looping(self) -> list[int]:
        """Return the states that can be reached from themselves."""
        return [state for state in range(len(self.characters)) if self._reachable[state] >> state & 1]

    def share_loop(self, one: int, two: int) -> bool:
        """Return whether each of two states can be reached from the other, or both are one state."""
        return one == two or bool(self._reachable[one] >> two & self._reachable[two] >> one & 1)

    @cached_property
    def _reachable(self) -> list[int]:
        """Return the states that can be reached from each state, as the bits of a number (Warshall's algorithm)."""
        reached = [
            sum(1 << following for following in self.after[state]) for state in range(len(self.characters))
        ]
        for middle in range(len(reached)):
            for state, bits in enumerate(reached):
                if bits >> middle & 1:
                    reached[state] |= reached[middle]
        return reached

    def meet(self, *states: int) -> bool:
        """Return whether one character is read by all of these states."""
        common = self.characters[states[0]].ranges
        for state in states[1:]:
            common = tuple(
                (max(least, other_least), min(most, other_most))
                for least, most in common
                for other_least, other_most in self.characters[state].ranges
                if max(least, other_least) <= min(most, other_most)
            )
        return bool(common)


def _exponential(automaton: _Automaton) -> bool:
    """Return whether some (q, q) leads through an unequal pair back to (q, q), both always in q's component."""
    edges = {state: _inside(automaton, state) for state in range(len(automaton.characters))}
    return any(True for _ in _rejoined(automaton, edges, edges.values()))


def _joins(automaton: _Automaton, first: _Set) -> _Set:
    """Return the states at which two ways of reading one text come together, loops counted once."""
    edges = {state: list(automaton.after[state]) for state in range(len(automaton.characters))}
    return frozenset(_rejoined(automaton, edges, [list(first), *edges.values()]))


def _rejoined(
    automaton: _Automaton, edges: dict[int, list[int]], forks: Iterable[list[int]]
) -> Iterator[int]:
    """Follow each fork into two states that read the same character; yield the states where both ways meet."""
    todo: list[_Pair] = []
    for one, two in automaton.counted((a, b) for fork in forks for a in fork for b in fork):
        if one < two and automaton.meet(one, two):
            todo.append((one, two))
    seen = set(todo)
    while todo:
        one, two = todo.pop()
        for pair in automaton.counted((a, b) for a in edges[one] for b in edges[two]):
            if pair[0] == pair[1]:
                yield pair[0]
            elif pair not in seen and automaton.meet(*pair):
                seen.add(pair)
                todo.append(pair)


def _inside(automaton: _Automaton, state: int) -> list[int]:
    return [following for following in automaton.after[state] if automaton.share_loop(following, state)]


def _polynomial(automaton: _Automaton) -> bool:
    """Return whether some (p, p, q) leads to (p, q, q) with p != q; the first stays in p's loop, the third in q's."""
    looping = automaton.looping()
    return any(
        not automaton.share_loop(p, q) and automaton.meet(p, q) and _shares(automaton, p, q)
        for p, q in automaton.counted((p, q) for p in looping for q in looping)
    )


def _shares(automaton: _Automaton, p: int, q: int) -> bool:
    start, goal = (p, p, q), (p, q, q)
    seen, todo = {start}, [start]
    while todo:
        for triple in automaton.counted(_after(automaton, todo.pop())):
            if triple not in seen and automaton.meet(*triple):
                if triple == goal:
                    return True
                seen.add(triple)
                todo.append(triple)
    return False


def _after(automaton: _Automaton, triple: _Triple) -> Iterator[_Triple]:
    for first in _inside(automaton, triple[0]):
        for middle in automaton.after[triple[1]]:
            for last in _inside(automaton, triple[2]):
                yield first, middle, last
