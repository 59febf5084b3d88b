"""Looks for an object that fulfils all atoms.

Each name that an atom mentions is searched separately. All other names differ only in the patterns that they match,
so a new name is made up for each set of patterns that a name can match. A demand on "some other member" is tried with
each name in turn, and with a new name. An optional member is left out, unless the object needs more members.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice, product, repeat
from typing import cast

from mailpact.contracts.parse import JsonObject, JsonValue
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

_MOST_MEMBERS = 1_000
_MOST_WAYS = 2_000
_MOST_NAMES = 400  # the most sets of patterns for which one way to fill an object looks for names


@dataclass(frozen=True, slots=True)
class _Object:
    """The atoms, sorted."""

    least: int
    most: int | None
    present: frozenset[str]
    absent: frozenset[str]
    known: tuple[str, ...]
    patterns: tuple[str, ...]
    members: tuple[Atom, ...]
    names: frozenset[Literal]
    some: tuple[Atom, ...]

    def value(self, name: str | None, matched: frozenset[str]) -> frozenset[Literal]:
        """Return the literals of a member whose name matches these patterns; None is a name that no atom mentions."""
        return frozenset(atom.about for atom in self.members if _speaks_of(atom, name, matched))


def _speaks_of(atom: Atom, name: str | None, matched: frozenset[str]) -> bool:
    match atom.op:
        case Op.MEMBER:
            return atom.name == name
        case Op.MATCHING:
            return atom.name in matched
        case _:
            return name not in atom.names and not atom.patterns & matched


@dataclass(frozen=True, slots=True)
class _Member:
    """A member to be found: literals of its name and value, and patterns that its name must match or not match."""

    name: str | None
    naming: frozenset[Literal]
    value: frozenset[Literal] = frozenset()
    within: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()

    def obeying(self, atom: Atom) -> "_Member":
        """Return the member with the additional demand of this atom."""
        if atom.op == Op.SOME_NAME:
            return replace(self, naming=self.naming | {atom.about})
        member = replace(self, value=self.value | {atom.about})
        if atom.op == Op.SOME_MATCHING:
            return replace(member, within=member.within | {atom.name})
        return replace(member, without=member.without | atom.patterns)


def find(atoms: Iterable[Atom], search: ValueSearch) -> Outcome:
    """Look for an object that fulfils the atoms."""
    wanted = _sorted(list(atoms))
    too_few = wanted.most is not None and wanted.most < max(wanted.least, len(wanted.present))
    if too_few or wanted.present & wanted.absent:
        return NOTHING
    if wanted.least > _MOST_MEMBERS:
        return unknown(f"only objects of {wanted.least} members would show it")
    ways = _ways(wanted, search)
    outcome = first_of(_Filling(wanted, search).fill(way) for way in islice(ways, _MOST_WAYS))
    if isinstance(outcome, Nothing) and next(ways, None) is not None:
        return unknown("there are too many ways to fill the object")
    return outcome


def _sorted(atoms: list[Atom]) -> _Object:
    def about(*ops: Op) -> tuple[Atom, ...]:
        return tuple(atom for atom in atoms if atom.op in ops)

    named = about(Op.PRESENT, Op.ABSENT, Op.MEMBER)
    listed = about(Op.OTHERS, Op.SOME_OTHER)
    matching = about(Op.MATCHING, Op.SOME_MATCHING)
    return _Object(
        least=max((atom.count for atom in about(Op.SIZE_AT_LEAST)), default=0),
        most=min((atom.count for atom in about(Op.SIZE_AT_MOST)), default=None),
        present=frozenset(atom.name for atom in about(Op.PRESENT)),
        absent=frozenset(atom.name for atom in about(Op.ABSENT)),
        known=tuple(sorted({atom.name for atom in named} | {name for atom in listed for name in atom.names})),
        patterns=tuple(
            sorted({atom.name for atom in matching} | {one for atom in listed for one in atom.patterns})
        ),
        members=about(Op.MEMBER, Op.MATCHING, Op.OTHERS),
        names=frozenset(atom.about for atom in about(Op.NAMES)),
        some=about(Op.SOME_OTHER, Op.SOME_MATCHING, Op.SOME_NAME),
    )


def _ways(wanted: _Object, search: ValueSearch) -> Iterator[list[_Member]]:
    """Yield each way to place "some other member": at a known name, at a new name, or at another member's new name."""
    free = [name for name in wanted.known if name not in wanted.absent]
    choices: list[list[str | int]] = [
        [*range(index + 1), *(name for name in free if name not in atom.names)]
        for index, atom in enumerate(wanted.some)
    ]
    for chosen in product(*choices):
        search.spend(0)
        fresh = {place for place in chosen if isinstance(place, int)}
        if fresh != set(range(len(fresh))):
            continue  # equal to a way with fewer new names
        placed: dict[str | int, _Member] = {
            name: _Member(name, wanted.names) for name in sorted(wanted.present)
        }
        for place, atom in zip(chosen, wanted.some, strict=True):
            name = place if isinstance(place, str) else None
            placed[place] = (placed.get(place) or _Member(name, wanted.names)).obeying(atom)
        yield list(placed.values())


class _Filling:
    """Finds the names and values of the members of one way."""

    def __init__(self, wanted: _Object, search: ValueSearch) -> None:
        self._wanted = wanted
        self._search = search
        self._found: JsonObject = {}
        self._doubts: frozenset[str] = frozenset()
        self._names = 0

    def fill(self, members: list[_Member]) -> Outcome:
        """Fill all members, and then add members up to the smallest allowed number."""
        if self._wanted.most is not None and len(members) > self._wanted.most:
            return NOTHING
        reasons: frozenset[str] = frozenset()
        fresh: set[_Member] = set()
        for member in sorted(members, key=lambda member: member.name is None):
            if member.name is None:
                fresh.add(member if self._wanted.patterns else _Member(None, member.naming))
            match self._add(member):
                case Nothing() if len(fresh) > 1 and self._could_be(member):
                    return unknown("no different names were found for all members")
                case Nothing():
                    return NOTHING
                case Unknown(why):
                    reasons |= why
                case _:
                    pass
        return Unknown(reasons) if reasons else self._complete()

    def _could_be(self, member: _Member) -> bool:
        """Return whether the member is possible if no other member has its name."""
        found, self._found = self._found, {}
        try:
            return not isinstance(first_of(islice(self._pairs(member), _MOST_WAYS)), Nothing)
        finally:
            self._found = found

    def _complete(self) -> Outcome:
        reasons: frozenset[str] = frozenset()
        for name in self._candidates():
            if len(self._found) >= self._wanted.least:
                break
            match self._add(_Member(name, self._wanted.names)):
                case Unknown(why):
                    reasons |= why
                    if name is None:
                        break
                case Nothing() if name is None:
                    break
        if len(self._found) >= self._wanted.least:
            return Found(self._found, self._doubts)
        return Unknown(reasons) if reasons else NOTHING

    def _candidates(self) -> Iterator[str | None]:
        """Yield the known names that may be added; then yield None (for a new name) without end."""
        for name in self._wanted.known:
            if name not in self._wanted.absent and name not in self._found:
                yield name
        yield from repeat(None)

    def _add(self, member: _Member) -> Outcome:
        """Find a name and a value for a member; return the outcome."""
        found = first_of(islice(self._pairs(member), _MOST_WAYS))
        if isinstance(found, Found):
            name, value = cast(list[JsonValue], found.value)
            self._found[str(name)] = value
            self._doubts |= found.doubts
        return found

    def _pairs(self, member: _Member) -> Iterator[Outcome]:
        """Yield a name and a value for each set of patterns that the name can match."""
        for matched, name in self._named(member, member.within, frozenset(), self._wanted.patterns):
            value = self._search.ask(member.value | self._wanted.value(member.name, matched))
            match name, value:
                case Nothing(), _:
                    yield name
                case Found(text, doubts), Found(inner, more):
                    yield Found([text, inner], doubts | more)
                case _, Nothing():
                    yield value
                case _:
                    yield name if isinstance(name, Unknown) else value

    def _named(
        self, member: _Member, matched: frozenset[str], refused: frozenset[str], undecided: tuple[str, ...]
    ) -> Iterator[tuple[frozenset[str], Outcome]]:
        """Yield each set of patterns that a name can match, together with such a name."""
        self._names += 1
        if self._names > _MOST_NAMES:
            yield matched, unknown("too many patterns would have to be told apart")
            return
        self._search.spend(len(self._wanted.patterns) ** 2 // 3)
        name = self._name(member, matched, refused)
        if isinstance(name, Nothing):
            return
        if not undecided:
            yield matched, name
            return
        pattern, *rest = undecided
        if pattern not in matched:
            yield from self._named(member, matched, refused | {pattern}, tuple(rest))
        if pattern not in member.without:
            yield from self._named(member, matched | {pattern}, refused, tuple(rest))

    def _name(self, member: _Member, matched: frozenset[str], refused: frozenset[str]) -> Outcome:
        """Find a name, or check that the given name of the member obeys the demands on names."""
        if not (member.naming or matched or refused):
            return Found(self._invented() if member.name is None else member.name)
        store = self._search.store
        if member.name is not None:
            wanted = Literal(store.values([member.name]), holds=True)
        else:
            wanted = Literal(store.values([*self._wanted.known, *self._found]), holds=False)
        patterns = {Literal(store.matching(one), holds=True) for one in matched}
        patterns |= {Literal(store.matching(one), holds=False) for one in refused}
        return self._search.ask(member.naming | patterns | {wanted, Literal(store.text, holds=True)})

    def _invented(self) -> str:
        names = (f"extra{number or ''}" for number in count())
        return next(name for name in names if name not in self._wanted.known and name not in self._found)
