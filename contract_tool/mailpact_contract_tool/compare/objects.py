"""Looks for an object that answers all atoms.

Names that an atom mentions are told apart; all others are alike, so a fresh one is made up where one is needed. What
"some other member" must obey is put on each name in turn, and on a fresh one. A member that nothing asks for is left
out, unless members are missing to the smallest number.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice, product, repeat

from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.compare.clauses import Atom, Literal, Op
from mailpact_contract_tool.compare.node import Kind
from mailpact_contract_tool.compare.outcome import (
    NOTHING,
    Asker,
    Found,
    Nothing,
    Outcome,
    Unknown,
    first_of,
    unknown,
)

_MOST_MEMBERS = 1_000
_MOST_WAYS = 2_000


@dataclass(frozen=True, slots=True)
class _Object:
    """What the atoms say, sorted."""

    least: int
    most: int | None
    present: frozenset[str]
    absent: frozenset[str]
    known: tuple[str, ...]
    members: tuple[Atom, ...]
    others: tuple[Atom, ...]
    names: frozenset[Literal]
    some: tuple[Atom, ...]

    def value(self, name: str) -> frozenset[Literal]:
        """Return what the member of that name must obey."""
        own = {atom.about for atom in self.members if atom.name == name}
        return frozenset(own | {atom.about for atom in self.others if name not in atom.names})

    def member(self, name: str | None) -> "_Member":
        """Return what a member of that name must obey, or one that no atom mentions."""
        value = frozenset(atom.about for atom in self.others) if name is None else self.value(name)
        return _Member(name, self.names, value)


@dataclass(frozen=True, slots=True)
class _Member:
    """A member to be found: what its name must obey, if it has none yet, and what its value must."""

    name: str | None
    naming: frozenset[Literal]
    value: frozenset[Literal]

    def obeying(self, atom: Atom) -> "_Member":
        """Return the same member, which answers "some other member" or "some name" as well."""
        if atom.op == Op.SOME_NAME:
            return replace(self, naming=self.naming | {atom.about})
        return replace(self, value=self.value | {atom.about})


def find(atoms: Iterable[Atom], asker: Asker) -> Outcome:
    """Look for such an object."""
    wanted = _sorted(list(atoms))
    too_few = wanted.most is not None and wanted.most < max(wanted.least, len(wanted.present))
    if too_few or wanted.present & wanted.absent:
        return NOTHING
    if wanted.least > _MOST_MEMBERS:
        return unknown(f"only objects of {wanted.least} members would show it")
    ways = _ways(wanted)
    outcome = first_of(_Filling(wanted, asker).fill(way) for way in islice(ways, _MOST_WAYS))
    if isinstance(outcome, Nothing) and next(ways, None) is not None:
        return unknown("there are too many ways to fill the object")
    return outcome


def _sorted(atoms: list[Atom]) -> _Object:
    def about(*ops: Op) -> tuple[Atom, ...]:
        return tuple(atom for atom in atoms if atom.op in ops)

    named = about(Op.PRESENT, Op.ABSENT, Op.MEMBER)
    listed = about(Op.OTHERS, Op.SOME_OTHER)
    return _Object(
        least=max((atom.count for atom in about(Op.SIZE_AT_LEAST)), default=0),
        most=min((atom.count for atom in about(Op.SIZE_AT_MOST)), default=None),
        present=frozenset(atom.name for atom in about(Op.PRESENT)),
        absent=frozenset(atom.name for atom in about(Op.ABSENT)),
        known=tuple(sorted({atom.name for atom in named} | {name for atom in listed for name in atom.names})),
        members=about(Op.MEMBER),
        others=about(Op.OTHERS),
        names=frozenset(atom.about for atom in about(Op.NAMES)),
        some=about(Op.SOME_OTHER, Op.SOME_NAME),
    )


def _ways(wanted: _Object) -> Iterator[list[_Member]]:
    """Yield each way to place "some other member": on a known name, a fresh name, or a name made for another member."""
    free = [name for name in wanted.known if name not in wanted.absent]
    choices: list[list[str | int]] = [
        [*range(index + 1), *(name for name in free if name not in atom.names)]
        for index, atom in enumerate(wanted.some)
    ]
    for chosen in product(*choices):
        fresh = {place for place in chosen if isinstance(place, int)}
        if fresh != set(range(len(fresh))):
            continue  # the same as a way that makes fewer
        placed: dict[str | int, _Member] = {name: wanted.member(name) for name in sorted(wanted.present)}
        for place, atom in zip(chosen, wanted.some, strict=True):
            member = placed.get(place) or wanted.member(place if isinstance(place, str) else None)
            placed[place] = member.obeying(atom)
        yield list(placed.values())


class _Filling:
    """Finds names and values for the members of one way."""

    def __init__(self, wanted: _Object, asker: Asker) -> None:
        self._wanted = wanted
        self._asker = asker
        self._found: JsonObject = {}
        self._doubts: frozenset[str] = frozenset()

    def fill(self, members: list[_Member]) -> Outcome:
        """Fill all members, then add as many as the smallest number asks for."""
        if self._wanted.most is not None and len(members) > self._wanted.most:
            return NOTHING
        outcomes = [self._add(member) for member in sorted(members, key=lambda member: member.name is None)]
        if any(isinstance(outcome, Nothing) for outcome in outcomes):
            different = len({member.naming for member in members if member.name is None}) > 1
            return unknown("no different names were found for all members") if different else NOTHING
        reasons = frozenset(
            why for outcome in outcomes if isinstance(outcome, Unknown) for why in outcome.reasons
        )
        return Unknown(reasons) if reasons else self._complete()

    def _complete(self) -> Outcome:
        reasons: frozenset[str] = frozenset()
        for name in self._candidates():
            if len(self._found) >= self._wanted.least:
                break
            match self._add(self._wanted.member(name)):
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
        """Return the known names that may be added, then None, a fresh name, again and again."""
        for name in self._wanted.known:
            if name not in self._wanted.absent and name not in self._found:
                yield name
        yield from repeat(None)

    def _add(self, member: _Member) -> Outcome:
        value = self._asker.ask(member.value)
        if not isinstance(value, Found):
            return value
        name = self._name(member)
        if isinstance(name, Found):
            self._found[str(name.value)] = value.value
            self._doubts |= value.doubts | name.doubts
        return name

    def _name(self, member: _Member) -> Outcome:
        """Find a name, or see whether the one that it has obeys what names must."""
        if not member.naming:
            return Found(self._invented() if member.name is None else member.name)
        store = self._asker.store
        if member.name is not None:
            wanted = Literal(store.values([member.name]), holds=True)
        else:
            wanted = Literal(store.values([*self._wanted.known, *self._found]), holds=False)
        return self._asker.ask_kind(member.naming | {wanted}, Kind.STRING)

    def _invented(self) -> str:
        names = (f"extra{number or ''}" for number in count())
        return next(name for name in names if name not in self._wanted.known and name not in self._found)
