"""Looks for a document among the values that a schema lists, by trying each value out.

If a schema that must hold is an enumeration, or leads to one by `allOf`, `anyOf` or `oneOf`, no other document can be
the answer. Membership in a list is decided by sets; everything else is decided by both engines.
"""

import json
from collections import Counter
from collections.abc import Iterable

from mailpact.contracts.parse import JsonValue
from mailpact_contract_tool.compare.clauses import Literal, kinds
from mailpact_contract_tool.compare.engines import Engines
from mailpact_contract_tool.compare.node import Node, Store, canonical, kind_of, written
from mailpact_contract_tool.compare.outcome import NOTHING, Found, Outcome, first_of

_DOUBTED = frozenset({"a value of an enumeration was not judged alike by both engines"})
Values = dict[str, JsonValue]
"""Values by their canonical texts."""


class Listed:
    """Answers goals over the nodes of one store, and keeps the engines of its nodes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._engines: dict[Node, Engines | None] = {}
        self._values: dict[Node, Values | None] = {}
        self._exactly: dict[Node, frozenset[str] | None] = {}

    def values_of(self, goal: Iterable[Literal]) -> Values | None:
        """Return values of which the answer must be one; None if no schema lists its values."""
        lists = [values for one in goal if one.holds and (values := self._of(one.node)) is not None]
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
        if (exact := self._exact(node)) is not None:
            return text in exact
        if node.plain.keys() & {"enum", "const"} and text not in (self._of(node) or {}):
            return False
        if node not in self._engines:
            schema = written(node, self._store)
            self._engines[node] = None if schema is None else Engines(schema, self._store.deadline)
        engines = self._engines[node]
        return None if engines is None else engines.accept(value)

    def _exact(self, node: Node) -> frozenset[str] | None:
        """Return the canonical texts of all accepted values; None if the schema is more than a combination of lists."""
        if node not in self._exactly:
            self._exactly[node] = None  # for a definition that leads to itself
            self._exactly[node] = self._combined(self._store.target(node))
        return self._exactly[node]

    def _combined(self, node: Node) -> frozenset[str] | None:
        if not node.plain.keys() <= {"type", "enum", "const"} or "prefixItems" in node.many:
            return None
        if node.one or node.named or node.outside:
            return None
        branches = {word: [self._exact(branch) for branch in node.many[word]] for word in node.many}
        lists = [frozenset(map(canonical, values)) for values in node.lists]
        for word, found in branches.items():
            known = [branch for branch in found if branch is not None]
            if len(known) < len(found):
                return None
            if word == "allOf":
                lists += known
            else:
                times = Counter(text for branch in known for text in branch)
                lists.append(frozenset(text for text, most in times.items() if word == "anyOf" or most == 1))
        if not lists:
            return None
        accepted = frozenset.intersection(*lists)
        if "type" in node.plain:
            allowed = kinds(node.plain["type"])
            accepted = frozenset(text for text in accepted if kind_of(json.loads(text)) in allowed)
        return accepted

    def _of(self, node: Node) -> Values | None:
        """Return values that include every accepted value; None if there may be others."""
        if node not in self._values:
            self._values[node] = None  # for a definition that leads to itself
            self._values[node] = self._collected(node)
        return self._values[node]

    def _collected(self, node: Node) -> Values | None:
        node = self._store.target(node)
        lists = [{canonical(value): value for value in values} for values in node.lists]
        lists += [values for child in node.many.get("allOf", ()) if (values := self._of(child)) is not None]
        for word in ("anyOf", "oneOf"):
            branches = [self._of(branch) for branch in node.many.get(word, ())]
            known = [branch for branch in branches if branch is not None]
            if branches and len(known) == len(branches):
                lists.append({text: value for branch in known for text, value in branch.items()})
        return min(lists, key=len, default=None)
