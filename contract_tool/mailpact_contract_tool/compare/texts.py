"""Looks for a string that fulfils all atoms: lengths, patterns, and strings that are allowed or excluded."""

from collections.abc import Iterable

from mailpact_contract_tool.compare.clauses import Atom, Op
from mailpact_contract_tool.compare.deadline import Deadline
from mailpact_contract_tool.compare.outcome import NOTHING, Found, Nothing, Outcome, first_of, unknown
from mailpact_contract_tool.patterns.automaton import Automaton, Budget, TooLarge, search
from mailpact_contract_tool.patterns.reader import UnreadPattern, parse
from mailpact_contract_tool.patterns.tree import literals

_LONGEST = 4_000_000


class StringSearch:
    """Keeps the automata of all patterns; `dot_leaves_out` are the characters that `.` does not match."""

    def __init__(self, dot_leaves_out: str, deadline: Deadline) -> None:
        self._dot = dot_leaves_out
        self._check = deadline.check
        self._budget = Budget(check=deadline.check)
        self._automata: dict[str, Automaton | str] = {}

    def find(self, atoms: Iterable[Atom]) -> Outcome:
        """Look for a shortest string that fulfils the atoms."""
        asked = list(atoms)
        least = max((atom.count for atom in asked if atom.op == Op.SIZE_AT_LEAST), default=0)
        most = min((atom.count for atom in asked if atom.op == Op.SIZE_AT_MOST), default=None)
        if most is not None and most < least:
            return NOTHING
        only = [set(map(str, atom.values)) for atom in asked if atom.op == Op.ONLY]
        never = {str(value) for atom in asked if atom.op == Op.EXCEPT for value in atom.values}
        if only:
            longest = _LONGEST if most is None else most
            fitting = (text for text in set.intersection(*only) - never if least <= len(text) <= longest)
            return first_of(self._tried(asked, text) for text in sorted(fitting))
        found = self._search(asked, set(), least, most)
        if not isinstance(found, Found) or found.value not in never:
            return found
        longer = self._search(asked, set(), max(least, 1 + max(map(len, never))), most)
        return longer if isinstance(longer, Found) else self._search(asked, never, least, most)

    def matches(self, pattern: str, text: str) -> bool | None:
        """Return whether a pattern matches a string; None if the pattern is not supported."""
        automaton = self._automaton(pattern)
        return None if isinstance(automaton, str) else automaton.matches(text)

    def _tried(self, asked: list[Atom], text: str) -> Outcome:
        """Check one string against the patterns."""
        self._check()
        unread: set[str] = set()
        for atom in asked:
            if atom.op in (Op.MATCHES, Op.MATCHES_NOT):
                matched = self.matches(atom.name, text)
                if matched is (atom.op == Op.MATCHES_NOT):
                    return NOTHING
                if matched is None:
                    unread.add(str(self._automaton(atom.name)))
        return NOTHING if self._contradict(asked) else Found(text, frozenset(unread))

    def _search(self, asked: list[Atom], never: set[str], least: int, most: int | None) -> Outcome:
        wanted: list[tuple[Automaton, bool]] = []
        unread: list[str] = []
        for atom in sorted(
            {(atom.name, atom.op) for atom in asked if atom.op in (Op.MATCHES, Op.MATCHES_NOT)}
        ):
            automaton = self._automaton(atom[0])
            if isinstance(automaton, str):
                unread.append(automaton)
            else:
                wanted.append((automaton, atom[1] == Op.MATCHES))
        if self._contradict(asked):
            return NOTHING
        excluded = sorted(
            text
            for text in never
            if least <= len(text) and (most is None or len(text) <= most)
            if not isinstance(self._tried(asked, text), Nothing)
        )
        try:
            if excluded:
                wanted.append((Automaton(literals(excluded)), False))
            text = _any_text(least, most) if not wanted else search(wanted, least, most, self._budget)
        except (TooLarge, UnreadPattern) as error:
            return unknown(f"pattern: {error}")
        return NOTHING if text is None else Found(text, frozenset(unread))

    def _contradict(self, asked: list[Atom]) -> bool:
        matched = {atom.name for atom in asked if atom.op == Op.MATCHES}
        return any(atom.op == Op.MATCHES_NOT and atom.name in matched for atom in asked)

    def _automaton(self, pattern: str) -> Automaton | str:
        if pattern not in self._automata:
            try:
                self._automata[pattern] = Automaton(parse(pattern, dot_leaves_out=self._dot))
            except UnreadPattern as error:
                self._automata[pattern] = f"pattern {pattern!r} {error}"[:200]
        return self._automata[pattern]


def _any_text(least: int, most: int | None) -> str | None:
    if most is not None and most < least:
        return None
    if least > _LONGEST:
        raise TooLarge(f"only strings of {least} characters would show the difference")
    return "a" * least
