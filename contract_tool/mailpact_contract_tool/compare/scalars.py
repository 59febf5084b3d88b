"""Looks for a number, a boolean or null that fulfils all atoms."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, count, islice
from math import ceil, floor, gcd, inf, lcm

from mailpact.contracts.parse import JsonValue
from mailpact_contract_tool.compare.clauses import Atom, Op
from mailpact_contract_tool.compare.node import Kind
from mailpact_contract_tool.compare.outcome import NOTHING, Found, Outcome, ValueSearch, unknown

_MOST_TRIED = 20_000


def simple(atoms: Iterable[Atom], kind: Kind) -> Outcome:
    """Look for null or a boolean."""
    values: list[JsonValue] = [None] if kind == Kind.NULL else [True, False]
    for atom in atoms:
        if atom.op == Op.ONLY:
            values = [value for value in values if value in atom.values]
        elif atom.op == Op.EXCEPT:
            values = [value for value in values if value not in atom.values]
    return Found(values[0]) if values else NOTHING


@dataclass(slots=True)
class _Range:
    """The demands of the atoms on a number, joined."""

    low: Fraction | float = -inf
    high: Fraction | float = inf
    only: set[Fraction] | None = None
    never: set[Fraction] = field(default_factory=set)
    factor: int = 1
    no_factors: list[int] = field(default_factory=list)
    factored: bool = False

    def add(self, atom: Atom) -> None:
        if atom.op in (Op.AT_LEAST, Op.MORE):
            self.low = max(self.low, atom.bound)
        if atom.op in (Op.AT_MOST, Op.LESS):
            self.high = min(self.high, atom.bound)
        if atom.op in (Op.MORE, Op.LESS):
            self.never.add(atom.bound)
        if atom.op == Op.MULTIPLE:
            self.factor, self.factored = lcm(self.factor, int(atom.bound)), True
        if atom.op == Op.NO_MULTIPLE:
            self.no_factors.append(int(atom.bound))
        values = {Fraction(value) for value in atom.values if isinstance(value, int | float)}
        if atom.op == Op.ONLY:
            self.only = values if self.only is None else self.only & values
        if atom.op == Op.EXCEPT:
            self.never |= values

    def holds(self, value: Fraction) -> bool:
        return (
            self.low <= value <= self.high
            and value not in self.never
            and (not self.factored or value % self.factor == 0)
            and all(value % factor != 0 for factor in self.no_factors)
        )


def number(atoms: Iterable[Atom], kind: Kind, search: ValueSearch) -> Outcome:
    """Look for an integer, or for a number that is not an integer."""
    wanted = _Range()
    for atom in atoms:
        wanted.add(atom)
    if wanted.only is not None:
        fitting = sorted(value for value in wanted.only if wanted.holds(value))
        return Found(_json(fitting[0])) if fitting else NOTHING
    if wanted.low > wanted.high:
        return NOTHING
    return _whole(wanted, search) if kind == Kind.INTEGER else _broken(wanted)


def _json(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


def _whole(wanted: _Range, search: ValueSearch) -> Outcome:
    """Try multiples of the factor within the bounds, beginning at a bound."""
    factor = wanted.factor
    if any(factor % other == 0 for other in wanted.no_factors):
        return NOTHING
    low = None if wanted.low == -inf else ceil(wanted.low / factor)
    high = None if wanted.high == inf else floor(wanted.high / factor)
    for index in islice(_outward(low, high), _MOST_TRIED):
        search.spend(0)
        if wanted.holds(Fraction(index * factor)):
            return Found(index * factor)
    if low is not None and high is not None and high - low < _MOST_TRIED:
        return NOTHING
    # It is enough to try one full period of all factors' remainders, plus one value for each excluded value.
    round_trip = lcm(*(other // gcd(other, factor) for other in wanted.no_factors))
    if round_trip * (len(wanted.never) + 1) * 2 < _MOST_TRIED:
        return NOTHING
    return unknown("too many numbers would have to be tried")


def _outward(low: int | None, high: int | None) -> Iterable[int]:
    if low is not None:
        return range(low, high + 1) if high is not None else count(low)
    if high is not None:
        return count(high, -1)
    return chain.from_iterable((index, -index - 1) for index in count())


def _broken(wanted: _Range) -> Outcome:
    """Try some fractions between the bounds; between two different bounds there are infinitely many."""
    if wanted.factored:
        return NOTHING
    low, high = wanted.low, wanted.high
    if isinstance(low, Fraction) and low == high:
        fits = low.denominator != 1 and wanted.holds(low)
        return Found(_json(low)) if fits else NOTHING
    if isinstance(low, float):
        low = high - 1000 if isinstance(high, Fraction) else Fraction(0)
    if isinstance(high, float):
        high = low + 1000
    for value in _between(low, high):
        exact = Fraction(float(value))
        if exact.denominator != 1 and wanted.holds(exact):
            return Found(float(exact))
    return unknown("no number between the bounds could be written as a double")


def _between(low: Fraction, high: Fraction) -> Iterator[Fraction]:
    for parts in range(2, 60):
        for index in range(1, parts):
            yield low + (high - low) * index / parts
