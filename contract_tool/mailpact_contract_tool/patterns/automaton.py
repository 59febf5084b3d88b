"""Patterns as automata, to find a text of a given length that matches some patterns and does not match others.

A pattern becomes a nondeterministic automaton (Thompson). A walk goes through several automata at the same time and
makes them deterministic on the way. Characters that no automaton distinguishes form one class. The walk goes by
lengths: layer n contains all states that texts of n characters lead to. A layer depends only on the layer before it.
When a layer is equal to an earlier layer, all further layers are known; a length of a million costs no more than one
cycle of layers.

A pattern is searched for anywhere in the text, as JSON Schema says. The states, and all layers together, are counted,
so that time and memory are bounded. Above the limit, TooLarge is raised and the search has no result.
"""

from bisect import bisect_right
from collections import Counter, abc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from mailpact_contract_tool.patterns.reader import UnreadPattern
from mailpact_contract_tool.patterns.tree import Characters, Choice, Edge, Ranges, Repeat, Sequence, Tree

_MOST_STATES = 6_000
_MOST_STEPS = 200_000
_LONGEST_TEXT = 4_000_000
_MATCHED = -1  # a state of the walk: the pattern has matched already
_BEGIN = 0
_NICE = (
    "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "-_.@ !#$%&'()*+,/:;<=>?[]^`{|}~\u00e9\u0436"
)


class TooLarge(Exception):
    """The walk needs more states than is allowed."""


@dataclass(slots=True)
class _State:
    """A state: reads a character of `takes` and goes to `to`, or goes on without reading, possibly only at an edge."""

    takes: Ranges | None = None
    to: int = 0
    ways: list[tuple[int, Edge | None]] = field(default_factory=list)


class Automaton:
    """The automaton of one pattern; building raises UnreadPattern if it has too many states."""

    def __init__(self, tree: Tree) -> None:
        self._states = [_State(), _State()]  # the beginning of a text, and the end of a match
        self._work = 0
        self.entry = self._build(tree, 1)
        self._states[_BEGIN].ways = [(self.entry, None)]
        self._reached: dict[tuple[int, bool, bool], tuple[int, ...]] = {}

    @cached_property
    def charsets(self) -> frozenset[Ranges]:
        """Return all sets of characters that the automaton reads."""
        return frozenset(state.takes for state in self._states if state.takes is not None)

    def takes(self, state: int) -> Ranges:
        """Return the characters that lead out of a state."""
        return self._states[state].takes or ()

    def leads_to(self, state: int) -> int:
        """Return the state to which a character leads."""
        return self._states[state].to

    def open_states(self, state: int) -> tuple[int, ...]:
        """Return the states that are reached without a character and need a character; 1 is the end of a match."""
        return self._closure(state, at_begin=state == _BEGIN, at_end=False)

    def ends(self, state: int) -> bool:
        """Return whether the pattern matches if the text ends here."""
        return 1 in self._closure(state, at_begin=state == _BEGIN, at_end=True)

    def matches(self, text: str) -> bool:
        """Return whether the pattern matches anywhere in a text."""
        states = {_BEGIN}
        for character in text:
            code = ord(character)
            waiting = {at for state in states for at in self.open_states(state)}
            if 1 in waiting:
                return True
            states = {self.entry}
            states |= {self.leads_to(at) for at in waiting if contains(self.takes(at), code)}
        return any(self.ends(state) for state in states)

    def cost(self, text: str, limit: int, check: Callable[[], None]) -> int:
        """Count the ways in which a backtracking engine may walk over `text`, up to a limit.

        `check` is called at each character, and may raise an exception to end the walk.
        """
        walks: Counter[int] = Counter({_BEGIN: 1})
        total = 1
        for character in text:
            check()
            code = ord(character)
            following: Counter[int] = Counter({self.entry: 1})
            for state, count in walks.items():
                for waiting in self._ways_on(state):
                    if contains(self.takes(waiting), code):
                        following[self.leads_to(waiting)] += count
            walks = following
            total += walks.total()
            if total > limit:
                break
        return total

    def _ways_on(self, state: int) -> list[int]:
        """Return the same states as `open_states`, each as often as there are ways to the state."""
        found: list[int] = []
        todo = [(state, frozenset({state}))]
        while todo and len(found) < 1000:
            at, seen = todo.pop()
            if self._states[at].takes is not None:
                found.append(at)
            for to, edge in self._states[at].ways:
                if to not in seen and (edge is None or (state == _BEGIN and not edge.at_end)):
                    todo.append((to, seen | {to}))
        return found

    def _closure(self, state: int, *, at_begin: bool, at_end: bool) -> tuple[int, ...]:
        key = (state, at_begin, at_end)
        if key not in self._reached:
            seen, todo = {state}, [state]
            while todo:
                for to, edge in self._states[todo.pop()].ways:
                    passable = edge is None or (at_end if edge.at_end else at_begin)
                    if passable and to not in seen:
                        seen.add(to)
                        todo.append(to)
            waiting = (at for at in seen if at == 1 or self._states[at].takes is not None)
            self._reached[key] = tuple(sorted(waiting))
        return self._reached[key]

    def _add(self, state: _State) -> int:
        self._states.append(state)
        return len(self._states) - 1

    def _build(self, tree: Tree, after: int) -> int:
        """Build the states of a part from its end to its beginning; return the first state."""
        self._work += 1
        if self._work > _MOST_STATES or len(self._states) > _MOST_STATES:
            raise UnreadPattern(f"needs more than {_MOST_STATES} states")
        match tree:
            case Characters(ranges):
                return self._add(_State(ranges, after))
            case Edge():
                return self._add(_State(ways=[(after, tree)]))
            case Choice(branches):
                return self._add(_State(ways=[(self._build(option, after), None) for option in branches]))
            case Repeat(part, least, most):
                return self._build_repeat(part, least, most, after)
            case Sequence(parts):
                for part in reversed(parts):
                    after = self._build(part, after)
                return after

    def _build_repeat(self, part: Tree, least: int, most: int | None, after: int) -> int:
        at = after
        if most is None:
            at = self._add(_State(ways=[(after, None)]))
            self._states[at].ways.insert(0, (self._build(part, at), None))
        for _ in range((most or least) - least):
            at = self._add(_State(ways=[(self._build(part, at), None), (after, None)]))
        for _ in range(least):
            at = self._build(part, at)
        return at


def contains(ranges: Ranges, code: int) -> bool:
    """Return whether a code point is in the ranges."""
    index = bisect_right(ranges, (code, 0x110000)) - 1
    return index >= 0 and ranges[index][1] >= code


class Budget:
    """Counts steps over several walks; each walk may use only its share of the steps.

    `check` is called at each step, and may raise an exception to end a walk for another reason.
    """

    def __init__(self, steps: int = 3 * _MOST_STEPS, check: Callable[[], None] = lambda: None) -> None:
        self._total = steps
        self._walk = 0
        self._check = check

    def begin(self) -> None:
        """Begin a walk; raise TooLarge if no steps are left for a walk."""
        self._walk = min(self._total, _MOST_STEPS)
        self.spend(1)

    def spend(self, steps: int) -> None:
        """Count steps; raise TooLarge if no steps are left."""
        self._check()
        self._total -= steps
        self._walk -= steps
        if self._walk < 0:
            raise TooLarge("the patterns together need too many states")


def search(
    wanted: abc.Sequence[tuple[Automaton, bool]],
    least: int = 0,
    most: int | None = None,
    budget: Budget | None = None,
) -> str | None:
    """Return a shortest text that matches every automaton with True and no automaton with False; None if none exists.

    `least` and `most` bound the length in code points. Raises TooLarge.
    """
    budget = budget or Budget()
    budget.begin()
    return _Walk(wanted, budget).shortest(least, most)


class _Walk:
    """A walk through several automata at once; a state has one number for each, the bits of its possible states."""

    def __init__(self, wanted: abc.Sequence[tuple[Automaton, bool]], budget: Budget) -> None:
        self._wanted = wanted
        self._classes = list(_classes({one for automaton, _ in wanted for one in automaton.charsets}))
        self._moves: list[dict[tuple[int, int], int]] = [{} for _ in wanted]
        self._next: dict[tuple[int, ...], dict[tuple[int, ...], str]] = {}
        self._spend = budget.spend
        self._spend(len(self._classes) * len(wanted))  # the cost of computing the classes

    def shortest(self, least: int, most: int | None) -> str | None:
        begin = tuple(self._settle(index, 1 << _BEGIN) for index in range(len(self._wanted)))
        layers = [frozenset({begin})]
        first_seen = {layers[0]: 0}
        while most is None or len(layers) - 1 <= most:
            length = len(layers) - 1
            if length >= least and (found := self._accepted_in(layers[length])):
                return self._spell(layers, length, found)
            following = frozenset(to for state in layers[length] for to in self._following(state))
            if not following:
                return None
            if following in first_seen:
                return self._round(layers, first_seen[following], least, most)
            first_seen[following] = len(layers)
            layers.append(following)
            self._spend(len(following))
        return None

    def _accepted_in(self, layer: frozenset[tuple[int, ...]]) -> tuple[int, ...] | None:
        return next((state for state in sorted(layer) if self._accepted(state)), None)

    def _round(
        self, layers: list[frozenset[tuple[int, ...]]], first: int, least: int, most: int | None
    ) -> str | None:
        """Continue where the layers repeat: after `layers`, the layers from `first` on come again and again."""
        period = len(layers) - first
        for length in range(max(least, len(layers)), max(least, len(layers)) + period):
            if most is not None and length > most:
                return None
            if found := self._accepted_in(layers[first + (length - first) % period]):
                return self._spell(layers, length, found, first)
        return None

    def _spell(
        self, layers: list[frozenset[tuple[int, ...]]], length: int, state: tuple[int, ...], first: int = 0
    ) -> str:
        """Walk back from the state to the beginning; return the text that leads to the state."""
        if length > _LONGEST_TEXT:
            raise TooLarge(f"only strings of {length} characters would show the difference")
        period = len(layers) - first
        text = []
        for at in range(length - 1, -1, -1):
            self._spend(0)
            layer = layers[at if at < len(layers) else first + (at - first) % period]
            state, character = next(
                (before, self._next[before][state])
                for before in sorted(layer)
                if state in self._following(before)
            )
            text.append(character)
        return "".join(reversed(text))

    def _following(self, state: tuple[int, ...]) -> dict[tuple[int, ...], str]:
        """Return the next states, each with a character that leads to it; states that cannot match are left out."""
        if state not in self._next:
            found: dict[tuple[int, ...], str] = {}
            for number, (character, _) in enumerate(self._classes):
                self._spend(1 + len(state) // 2)
                to = tuple(self._move(index, bits, number) for index, bits in enumerate(state))
                if not self._hopeless(to):
                    found.setdefault(to, character)
            self._next[state] = found
        return self._next[state]

    def _hopeless(self, state: tuple[int, ...]) -> bool:
        pairs = zip(state, self._wanted, strict=True)
        return any(bits == (0 if wanted else _MATCHED) for bits, (_, wanted) in pairs)

    def _accepted(self, state: tuple[int, ...]) -> bool:
        return all(
            self._ends(automaton, bits) == wanted
            for bits, (automaton, wanted) in zip(state, self._wanted, strict=True)
        )

    def _ends(self, automaton: Automaton, bits: int) -> bool:
        return bits == _MATCHED or any(automaton.ends(one) for one in _ones(bits))

    def _move(self, index: int, bits: int, number: int) -> int:
        if bits == _MATCHED:
            return bits
        moves = self._moves[index]
        if (bits, number) not in moves:
            automaton, _ = self._wanted[index]
            _, sets = self._classes[number]
            to = 1 << automaton.entry
            self._spend(bits.bit_count())
            for state in _ones(bits):
                for waiting in automaton.open_states(state):
                    if automaton.takes(waiting) in sets:
                        to |= 1 << automaton.leads_to(waiting)
            moves[bits, number] = self._settle(index, to)
        return moves[bits, number]

    def _settle(self, index: int, bits: int) -> int:
        """Return the number of a state; all matched states share a number, and so do all dead states."""
        automaton, _ = self._wanted[index]
        kept = 0
        for state in _ones(bits):
            waiting = automaton.open_states(state)
            if 1 in waiting:
                return _MATCHED
            if waiting or automaton.ends(state):
                kept |= 1 << state
        return kept


def _ones(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _classes(charsets: Iterable[Ranges]) -> Iterator[tuple[str, frozenset[Ranges]]]:
    """Return a character of each class that no set divides, and the sets that contain the class."""
    every = sorted(charsets)
    cuts = sorted({0, 0xE000, *(cut for one in every for low, high in one for cut in (low, high + 1))})
    found: dict[frozenset[Ranges], str] = {}
    for code in (*map(ord, _NICE), *(cut for cut in cuts if cut < 0x110000 and not 0xD800 <= cut < 0xE000)):
        found.setdefault(frozenset(one for one in every if contains(one, code)), chr(code))
    for sets, character in found.items():
        yield character, sets
