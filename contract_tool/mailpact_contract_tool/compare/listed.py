"""Looks for a document among the values that a schema lists, by validating each value.

If a schema that must hold is an enumeration, or leads to one by `allOf`, `anyOf` or `oneOf`, no other document can be
the answer. Sets decide whether a value is in a list. Both engines decide all other questions.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mailpact.contracts.parse import JsonValue
from mailpact_contract_tool.compare.clauses import Literal, kinds
from mailpact_contract_tool.compare.engines import Engines
from mailpact_contract_tool.compare.node import Kind, Node, Store, canonical, kind_of, written
from mailpact_contract_tool.compare.outcome import NOTHING, Found, Outcome, first_of

_DOUBTED = frozenset({"a value of an enumeration was not judged alike by both engines"})
Values = dict[str, JsonValue]
"""Values by their canonical texts."""


@dataclass(frozen=True, slots=True)
class _List:
    """Values that include every value that a schema accepts; if `exact`, the schema accepts all of them."""

    values: Values
    exact: bool


class Listed:
    """Answers goals over the nodes of one store, and keeps the engines of its nodes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._engines: dict[Node, Engines | None] = {}
        self._lists: dict[Node, _List | None] = {}

    def values_of(self, goal: Iterable[Literal]) -> Values | None:
        """Return values of which the answer must be one; None if no schema lists its values."""
        lists = [found.values for one in goal if one.holds and (found := self._of(one.node)) is not None]
        return min(lists, key=len, default=None)

    def one_of(self, values: Values, goal: frozenset[Literal]) -> Outcome:
        """Look for a value that fulfils all literals; the literals that sets decide come first."""
        ordered = sorted(goal, key=lambda one: (not one.node.only_values, one.key))
        return first_of(self._tried(value, text, ordered) for text, value in values.items())

    def _tried(self, value: JsonValue, text: str, goal: list[Literal]) -> Outcome:
        sure = True
        for one in goal:
            accepted = self._accepts(one.node, value, text)
            if accepted is (not one.holds):
                return NOTHING
            sure &= accepted is not None
        return Found(value) if sure else Found(value, _DOUBTED)

    def _accepts(self, node: Node, value: JsonValue, text: str) -> bool | None:
        listed = self._of(node)
        if listed is not None and (listed.exact or text not in listed.values):
            return text in listed.values
        if node not in self._engines:
            schema = written(node, self._store)
            self._engines[node] = None if schema is None else Engines(schema, self._store.deadline)
        engines = self._engines[node]
        return None if engines is None else engines.accept(value)

    def _of(self, node: Node) -> _List | None:
        """Return values that include every accepted value; None if the schema may accept other values."""
        if node not in self._lists:
            self._lists[node] = None  # ends the recursion of a definition that refers to itself
            self._lists[node] = self._joined(self._store.target(node))
        return self._lists[node]

    def _joined(self, node: Node) -> _List | None:
        """Join the lists of the schema itself and of its subschemas for the same value."""
        lists = [{canonical(value): value for value in values} for values in node.lists]
        exact = node.plain.keys() <= {"type", "enum", "const"} and "prefixItems" not in node.many
        exact = exact and not (node.one or node.named or node.outside)
        for word in ("allOf", "anyOf", "oneOf"):
            branches = [self._of(branch) for branch in node.many.get(word, ())]
            known = [branch for branch in branches if branch is not None]
            all_exact = len(known) == len(branches) and all(branch.exact for branch in known)
            exact = exact and all_exact
            if word == "allOf":
                lists += [branch.values for branch in known]
            elif branches and len(known) == len(branches):
                times = Counter(text for branch in known for text in branch.values)
                either = {text: value for branch in known for text, value in branch.values.items()}
                once = word == "oneOf" and all_exact
                lists.append({text: value for text, value in either.items() if times[text] == 1 or not once})
        if not lists:
            return None
        types = kinds(node.plain["type"]) if "type" in node.plain else frozenset(Kind)
        shortest = min(lists, key=len)
        accepted = {
            text: value
            for text, value in shortest.items()
            if kind_of(value) in types and all(text in other for other in lists)
        }
        return _List(accepted, exact)
