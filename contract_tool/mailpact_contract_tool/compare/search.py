"""Looks for a document that some schemas accept and others refuse, or proves that there is none.

Old documents stay valid if no document exists that the old schema accepts and the new schema refuses. A goal is a set
of literals. For each kind of value, the search writes the goal's demands as clauses (`clauses`). In each branch the
search chooses one alternative of each clause. The result is a set of atoms. From these atoms the search makes a text,
a number, an array or an object, and asks further goals for its parts. If no branch leads to a document, no document
exists.

If a goal occurs again inside itself, the answer is "none", because a smallest document never contains another
document for the same goal. A result that depends on such an answer is not remembered.

Every step is counted, so that time and memory are bounded. Too many steps end in Unknown. If a search takes too much
time, the store's deadline raises OutOfTime.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mailpact_contract_tool.compare import arrays, objects, scalars
from mailpact_contract_tool.compare.clauses import (
    NEVER,
    TRUE,
    Alternative,
    Atom,
    Clause,
    Item,
    Literal,
    Op,
    keywords,
)
from mailpact_contract_tool.compare.evaluated import unevaluated
from mailpact_contract_tool.compare.listed import Listed
from mailpact_contract_tool.compare.node import Kind, Node, Store
from mailpact_contract_tool.compare.outcome import NOTHING, Found, Nothing, Outcome, first_of, unknown
from mailpact_contract_tool.compare.texts import StringSearch

_MOST_STEPS = 50_000
_MOST_STEPS_A_QUESTION = 20_000
_DEEPEST = 40
_INDEPENDENT = 1_000_000

Goal = frozenset[Literal]


@dataclass(frozen=True, slots=True)
class _Branch:
    """The choices so far: literals and atoms that hold, and clauses that are still open."""

    literals: Goal
    atoms: Mapping[Atom, None]  # an ordered set
    clauses: tuple[Clause, ...]


_EMPTY = _Branch(frozenset(), {}, ())
_CONTRADICTED = frozenset({Op.PRESENT, Op.ABSENT, Op.MATCHES, Op.MATCHES_NOT, Op.OPAQUE, Op.OPAQUE_NOT})
"""Operations of atoms for which an atom and its opposite can never both hold."""


def _names_schemas(clause: Clause) -> bool:
    """Return whether each alternative begins with an accepting schema; such a clause decides most other clauses."""
    return all(isinstance(one[0], Literal) and one[0].holds for one in clause)


def _in_order(goal: Goal) -> list[Literal]:
    """Sort literals, so that every run is the same."""
    return sorted(goal, key=lambda literal: literal.key)


class Search:
    """Answers goals over the nodes of one store, and remembers the answers."""

    def __init__(self, store: Store, dot_leaves_out: str) -> None:
        self.store = store
        self._texts = StringSearch(dot_leaves_out, store.deadline)
        self._listed = Listed(store)
        self._clauses: dict[tuple[Literal, Kind], tuple[Clause, ...]] = {}
        self._answers: dict[Goal, Outcome] = {}
        self._excluded: dict[Goal, bool] = {}
        self._open: dict[Goal, int] = {}
        self._depth = 0
        self._shallowest = _INDEPENDENT
        self._left = _MOST_STEPS
        self._steps = 0

    def question(self, goal: Goal) -> Outcome:
        """Answer a new question with its share of all steps. Raises OutOfTime."""
        self._steps = share = min(self._left, _MOST_STEPS_A_QUESTION)
        self.store.deadline.check()
        outcome = self.ask(goal)
        self._left -= share - max(self._steps, 0)
        return outcome

    def spend(self, steps: int) -> None:
        """Count steps of work. When no steps are left, questions end in Unknown. Raises OutOfTime."""
        self._steps -= steps
        self.store.deadline.check()

    def ask(self, goal: Goal) -> Outcome:
        """Look for a value that fulfils all literals."""
        goal = frozenset(Literal(self.store.target(one.node), one.holds) for one in goal)
        if goal in self._answers:
            return self._answers[goal]
        if any(one.opposite in goal for one in goal):
            return NOTHING
        if goal in self._open:
            self._shallowest = min(self._shallowest, self._open[goal])
            return NOTHING
        if self._depth >= _DEEPEST:
            return unknown(f"documents nested deeper than {_DEEPEST} would have to be checked")
        listed = self._listed.values_of(goal)
        if listed is not None:
            self._answers[goal] = outcome = self._listed.one_of(listed, goal)
            return outcome
        return self._answer(goal)

    def _answer(self, goal: Goal) -> Outcome:
        self._depth += 1
        before, self._shallowest = self._shallowest, _INDEPENDENT
        self._open[goal] = self._depth
        try:
            outcome = first_of(self.ask_kind(goal, kind) for kind in Kind)
        finally:
            depth = self._open.pop(goal)
            self._depth -= 1
        independent = self._shallowest >= depth
        if isinstance(outcome, Found) or (independent and isinstance(outcome, Nothing)):
            self._answers[goal] = outcome
        self._shallowest = min(before, _INDEPENDENT if independent else self._shallowest)
        return outcome

    def ask_kind(self, goal: Goal, kind: Kind) -> Outcome:
        """Look for a value of this kind that fulfils all literals."""
        branch = self._unfold(_EMPTY, _in_order(goal), kind)
        return NOTHING if branch is None else self._decide(branch, kind)

    def is_excluded(self, goal: Goal) -> bool:
        """Return whether there is a proof, which depends on no open goal, that no value fulfils the literals."""
        if goal not in self._excluded:
            self._excluded[goal] = False  # if the goal occurs again inside itself, it is not proved yet
            opened, self._open, before = self._open, {}, self._shallowest
            try:
                self._excluded[goal] = isinstance(self.ask(goal), Nothing)
            finally:
                self._open, self._shallowest = opened, before
        return self._excluded[goal]

    def _disjoint(self, first: Node, second: Node) -> bool:
        return self.is_excluded(frozenset({Literal(first, holds=True), Literal(second, holds=True)}))

    def _clauses_of(self, literal: Literal, kind: Kind) -> tuple[Clause, ...]:
        if (literal, kind) not in self._clauses:
            found = [*keywords(literal.node, kind, self.store, self._disjoint)]
            found += [one for one in [unevaluated(literal.node, kind, self.store)] if one is not None]
            accepted = tuple(clause for clauses, _ in found for clause in clauses)
            refused = tuple(alternative for _, alternatives in found for alternative in alternatives)
            self._clauses[literal, kind] = accepted if literal.holds else (refused,)
        return self._clauses[literal, kind]

    def _unfold(self, branch: _Branch, items: Iterable[Item], kind: Kind) -> _Branch | None:
        """Add items to a branch together with everything that follows from them; return None at a contradiction."""
        literals, atoms, clauses = set(branch.literals), dict(branch.atoms), list(branch.clauses)
        todo = list(items)
        while todo:
            self.store.deadline.check()
            item = todo.pop()
            if isinstance(item, Atom):
                atoms[item] = None
                continue
            literal = Literal(self.store.target(item.node), item.holds)
            if literal.opposite in literals:
                return None
            if literal in literals:
                continue
            literals.add(literal)
            for clause in self._clauses_of(literal, kind):
                if not clause:
                    return None
                if len(clause) == 1:
                    todo += clause[0]
                elif TRUE not in clause:
                    clauses.append(clause)
        return _Branch(frozenset(literals), atoms, tuple(dict.fromkeys(clauses)))

    def _decide(self, branch: _Branch, kind: Kind) -> Outcome:
        """Choose an alternative of each open clause in turn, until a document is found."""
        self.spend(1 + len(branch.clauses))
        if self._steps < 0:
            return unknown("too many cases would have to be checked")
        simplified = self._simplify(branch, kind)
        if simplified is None:
            return NOTHING
        if not simplified.clauses:
            return self._make(simplified.atoms, kind)
        clause = min(simplified.clauses, key=lambda one: (not _names_schemas(one), len(one)))
        rest = replace(
            simplified, clauses=tuple(other for other in simplified.clauses if other is not clause)
        )
        chosen = (self._unfold(rest, alternative, kind) for alternative in clause)
        return first_of(self._decide(choice, kind) for choice in chosen if choice is not None)

    def _simplify(self, branch: _Branch, kind: Kind) -> _Branch | None:
        """Remove clauses that hold already and alternatives that are impossible, until nothing changes."""
        changed = True
        while changed:
            changed = False
            for clause in branch.clauses:
                possible = tuple(one for one in clause if not self._impossible(branch, one, kind))
                if not possible:
                    return None
                settled = any(self._holds(branch, one, kind) for one in possible)
                if settled or len(possible) == 1:
                    others = tuple(other for other in branch.clauses if other is not clause)
                    unfolded = self._unfold(
                        replace(branch, clauses=others), () if settled else possible[0], kind
                    )
                    if unfolded is None:
                        return None
                    branch, changed = unfolded, True
                    break
        return branch

    def _impossible(self, branch: _Branch, alternative: Alternative, kind: Kind) -> bool:
        return any(self._is_impossible(branch, alternative, item, kind) for item in alternative)

    def _is_impossible(self, branch: _Branch, alternative: Alternative, item: Item, kind: Kind) -> bool:
        self.store.deadline.check()
        if isinstance(item, Literal):
            literal = Literal(self.store.target(item.node), item.holds)
            return literal.opposite in branch.literals or NEVER in self._clauses_of(literal, kind)
        if item.op in _CONTRADICTED:
            return item.opposite in branch.atoms
        return item.op == Op.MEMBER and self._cannot_be(branch, alternative, item)

    def _cannot_be(self, branch: _Branch, alternative: Alternative, member: Atom) -> bool:
        """Return whether a required member has no possible value; asked only if several clauses are open."""
        if len(branch.clauses) < 2 or not self._required(branch, alternative, member.name):
            return False
        return isinstance(self.ask(self._member(branch, member.name) | {member.about}), Nothing)

    def _holds(self, branch: _Branch, alternative: Alternative, kind: Kind) -> bool:
        """Return whether an alternative follows from the choices so far."""
        return all(self._is_settled(branch, item, kind) for item in alternative)

    def _is_settled(self, branch: _Branch, item: Item, kind: Kind) -> bool:
        self.store.deadline.check()
        if isinstance(item, Literal):
            literal = Literal(self.store.target(item.node), item.holds)
            return literal in branch.literals or not self._clauses_of(literal, kind)
        if item in branch.atoms:
            return True
        required = item.op == Op.MEMBER and self._required(branch, (), item.name)
        return required and self._follows(self._member(branch, item.name), item.about)

    def _required(self, branch: _Branch, alternative: Alternative, name: str) -> bool:
        present = Atom(op=Op.PRESENT, name=name)
        return present in branch.atoms or present in alternative

    def _member(self, branch: _Branch, name: str) -> Goal:
        return frozenset(
            atom.about
            for atom in branch.atoms
            if (atom.op == Op.MEMBER and atom.name == name)
            or (atom.op == Op.MATCHING and self._texts.matches(atom.name, name) is True)
            or (
                atom.op == Op.OTHERS
                and name not in atom.names
                and all(self._texts.matches(pattern, name) is False for pattern in atom.patterns)
            )
        )

    def _follows(self, known: Goal, literal: Literal) -> bool:
        """Return whether a literal follows from others; asked only if the others leave few values."""
        if literal in known:
            return True
        few = any(one.holds and ("const" in one.node.plain or "enum" in one.node.plain) for one in known)
        return few and self.is_excluded(known | {literal.opposite})

    def _make(self, atoms: Iterable[Atom], kind: Kind) -> Outcome:
        """Make a value from atoms."""
        doubts = {atom.name for atom in atoms if atom.op == Op.OPAQUE}
        refused = {atom.name for atom in atoms if atom.op == Op.OPAQUE_NOT}
        if doubts & refused:
            return NOTHING
        outcome = self._value(atoms, kind)
        if isinstance(outcome, Found):
            return Found(outcome.value, outcome.doubts | doubts | refused)
        return outcome

    def _value(self, atoms: Iterable[Atom], kind: Kind) -> Outcome:
        match kind:
            case Kind.STRING:
                return self._texts.find(atoms)
            case Kind.ARRAY:
                return arrays.find(atoms, self)
            case Kind.OBJECT:
                return objects.find(atoms, self)
            case Kind.INTEGER | Kind.FRACTION:
                return scalars.number(atoms, kind, self)
            case _:
                return scalars.simple(atoms, kind)
