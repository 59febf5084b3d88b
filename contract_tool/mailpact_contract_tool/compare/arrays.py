"""Looks for an array that fulfils all atoms.

Each position up to the last position that an atom names is searched separately. All later positions are equal, so the
search adds as many as the atoms demand. A demand on "some item" is tried at each position in turn. For each such
choice only the shortest possible array is tried, because a longer array fulfils no further atom.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, islice, product

from mailpact.contracts.parse import JsonValue
from mailpact_contract_tool.compare.clauses import Atom, Literal, Op
from mailpact_contract_tool.compare.outcome import (
    NOTHING,
    Found,
    Nothing,
    Outcome,
    Unknown,
    ValueSearch,
    first_of,
    unknown,
)

_MOST_ITEMS = 20_000
_MOST_WAYS = 2_000
_MOST_DIFFERENT = 60

_Goals = list[frozenset[Literal]]


@dataclass(frozen=True, slots=True)
class _Array:
    """The atoms, sorted.

    Each entry of `some` is a number of items, the first position that they may have, and the literal that they obey.
    """

    least: int
    most: int | None
    at: tuple[Atom, ...]
    some: tuple[tuple[int, int, Literal], ...]
    limits: tuple[tuple[int, Literal], ...]
    unique: bool
    repeated: bool

    @property
    def told_apart(self) -> int:
        """Return the number of positions that can have other literals than the next position."""
        named = [atom.count + (atom.op == Op.ITEM) for atom in self.at]
        return max([*named, *(start for _, start, _ in self.some)], default=0)

    def literals(self, position: int) -> frozenset[Literal]:
        """Return the literals of the item at a position, before a choice is made."""
        return frozenset(
            atom.about
            for atom in self.at
            if (atom.count == position if atom.op == Op.ITEM else atom.count <= position)
        )


def find(atoms: Iterable[Atom], search: ValueSearch) -> Outcome:
    """Look for an array that fulfils the atoms."""
    wanted = _sorted(list(atoms))
    if (wanted.most is not None and wanted.most < wanted.least) or (wanted.unique and wanted.repeated):
        return NOTHING
    if max([wanted.least, wanted.told_apart, *(many for many, _, _ in wanted.some)]) > _MOST_ITEMS:
        return unknown("only arrays of very many items would show it")
    ways = _ways(wanted, search)
    outcome = first_of(_fill(goals, wanted, pair, search) for goals, pair in islice(ways, _MOST_WAYS))
    if isinstance(outcome, Nothing) and next(ways, None) is not None:
        return unknown("there are too many ways to fill the array")
    return outcome


def _sorted(atoms: list[Atom]) -> _Array:
    some = [(1, atom.count, atom.about) for atom in atoms if atom.op == Op.SOME_ITEM_FROM]
    some += [(atom.count, 0, atom.about) for atom in atoms if atom.op == Op.HOLDS_AT_LEAST]
    return _Array(
        least=max((atom.count for atom in atoms if atom.op == Op.SIZE_AT_LEAST), default=0),
        most=min((atom.count for atom in atoms if atom.op == Op.SIZE_AT_MOST), default=None),
        at=tuple(atom for atom in atoms if atom.op in (Op.ITEM, Op.ITEMS_FROM)),
        some=tuple(some),
        limits=tuple((atom.count, atom.about) for atom in atoms if atom.op == Op.HOLDS_AT_MOST),
        unique=any(atom.op == Op.UNIQUE for atom in atoms),
        repeated=any(atom.op == Op.REPEATED for atom in atoms),
    )


def _ways(wanted: _Array, search: ValueSearch) -> Iterator[tuple[_Goals, tuple[int, ...]]]:
    """Yield, for each choice of positions, the literals of each item and the pair of positions with equal items."""
    slots = wanted.told_apart + sum(many for many, _, _ in wanted.some) + 2 * wanted.repeated
    choices = [combinations(range(start, slots), many) for many, start, _ in wanted.some]
    pairs = combinations(range(slots), 2) if wanted.repeated else [()]
    for *chosen, pair in product(*choices, pairs):
        search.spend(0)
        length = max(
            [wanted.least, *(position + 1 for positions in (*chosen, pair) for position in positions)]
        )
        if wanted.most is not None and length > wanted.most:
            continue
        goals = [wanted.literals(position) for position in range(length)]
        for positions, (_, _, literal) in zip(chosen, wanted.some, strict=True):
            for position in positions:
                goals[position] |= {literal}
        for limited in _limited(goals, wanted.limits):
            yield limited, pair


def _limited(goals: _Goals, limits: tuple[tuple[int, Literal], ...]) -> Iterator[_Goals]:
    """Let all items but the allowed number break the literals that only so many items may obey."""
    exempt = [combinations(range(len(goals)), min(most, len(goals))) for most, _ in limits]
    for chosen in product(*exempt):
        limited = list(goals)
        for free, (_, literal) in zip(chosen, limits, strict=True):
            for position in set(range(len(goals))) - set(free):
                limited[position] |= {literal.opposite}
        yield limited


def _fill(goals: _Goals, wanted: _Array, pair: tuple[int, ...], search: ValueSearch) -> Outcome:
    """Find an item for each position."""
    if pair:
        both = goals[pair[0]] | goals[pair[1]]
        goals = [both if position in pair else goal for position, goal in enumerate(goals)]
    if wanted.unique and len(goals) > 1:
        return _fill_differently(goals, search)
    items: list[JsonValue] = []
    doubts: frozenset[str] = frozenset()
    for goal in goals:
        match search.ask(goal):
            case Found(value, more):
                items.append(value)
                doubts |= more
            case outcome:
                return outcome if isinstance(outcome, Nothing) else _nothing_else(goals, search, outcome)
    return Found(items, doubts)


def _nothing_else(goals: _Goals, search: ValueSearch, outcome: Unknown) -> Outcome:
    """Return NOTHING if another item is impossible; otherwise return the unknown outcome."""
    return NOTHING if any(isinstance(search.ask(goal), Nothing) for goal in set(goals)) else outcome


def _fill_differently(goals: _Goals, search: ValueSearch) -> Outcome:
    """Find an item for each position, so that no two items are equal.

    The outcome is exact if all positions have the same literals. Otherwise two orders of the positions are tried.
    """
    if any(isinstance(search.ask(goal), Nothing) for goal in set(goals)):
        return NOTHING
    if len(goals) > _MOST_DIFFERENT:
        return unknown(f"{len(goals)} different items would have to be found")
    forward = list(range(len(goals)))
    for order in (forward, forward[::-1]):
        outcome = _fill_in_order(goals, order, search)
        if isinstance(outcome, Found):
            return outcome
        if isinstance(outcome, Nothing) and len(set(goals)) == 1:
            return NOTHING
    return unknown("no different items were found for all positions of the array")


def _fill_in_order(goals: _Goals, order: list[int], search: ValueSearch) -> Outcome:
    items: dict[int, JsonValue] = {}
    doubts: frozenset[str] = frozenset()
    for position in order:
        taken = Literal(search.store.values(items.values()), holds=False)
        match search.ask(goals[position] | {taken} if items else goals[position]):
            case Found(value, more):
                items[position] = value
                doubts |= more
            case outcome:
                return outcome
    return Found([items[position] for position in sorted(items)], doubts)
