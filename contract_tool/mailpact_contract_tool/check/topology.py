"""Compares topologies and lists of error codes.

Programs rely on the exchanges, queues and bindings that exist. A broker refuses a declaration that differs from the
existing one (error 406), and drops a message that no binding routes. So a removed or changed exchange, queue or binding
breaks `backward`, and an added one breaks nothing. A new error code breaks `forward`, because a program that knows only
the old codes does not know the new code.
"""

from collections.abc import Iterator
from typing import cast

from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact_contract_tool.compare.rules import Rule
from mailpact_contract_tool.compare.verdict import NO_WITNESS, Change, Verdict

_OURS = ("purpose", "declared_by")  # for people; the broker does not know them


def compare_topologies(old: JsonObject, new: JsonObject) -> list[Change]:
    """Return the changes between two topologies."""
    return [
        *_named(old, new, "exchanges", (Rule.TOPOLOGY_EXCHANGE_CHANGED, Rule.TOPOLOGY_EXCHANGE_REMOVED)),
        *_named(old, new, "queues", (Rule.TOPOLOGY_QUEUE_CHANGED, Rule.TOPOLOGY_QUEUE_REMOVED)),
        *_bindings(old, new),
    ]


def compare_error_codes(old: JsonObject, new: JsonObject) -> list[Change]:
    """Return the changes between two lists of error codes."""
    before, after = (
        {str(row["code"]): index for index, row in enumerate(_rows(side, "errors"))} for side in (old, new)
    )
    removed = [
        Change(Rule.ERROR_CODE_REMOVED, f"/errors/{before[code]}", Verdict.BREAKING, Verdict.COMPATIBLE, code)
        for code in before
        if code not in after
    ]
    return removed + [
        Change(
            Rule.ERROR_CODE_ADDED,
            f"/errors/{after[code]}",
            Verdict.COMPATIBLE,
            Verdict.BREAKING,
            NO_WITNESS,
            code,
        )
        for code in after
        if code not in before
    ]


def _rows(document: JsonObject, word: str) -> list[JsonObject]:
    return cast(list[JsonObject], document.get(word, []))


def _broken(rule: Rule, pointer: str, witness: JsonValue) -> Change:
    return Change(rule, pointer, Verdict.BREAKING, Verdict.COMPATIBLE, witness)


def _added(word: str, index: int) -> Change:
    return Change(Rule.TOPOLOGY_ADDED, f"/{word}/{index}", Verdict.COMPATIBLE, Verdict.COMPATIBLE)


def _named(old: JsonObject, new: JsonObject, word: str, rules: tuple[Rule, Rule]) -> Iterator[Change]:
    changed, removed = rules
    before, after = (
        {str(row["name"]): (index, _declared(row)) for index, row in enumerate(_rows(side, word))}
        for side in (old, new)
    )
    for name, (index, row) in before.items():
        if name not in after:
            yield _broken(removed, f"/{word}/{index}", row)
        elif after[name][1] != row:
            yield _broken(changed, f"/{word}/{after[name][0]}", row)
    for name, (index, _) in after.items():
        if name not in before:
            yield _added(word, index)


def _declared(row: JsonObject) -> JsonObject:
    return {word: value for word, value in row.items() if word not in _OURS}


def _bindings(old: JsonObject, new: JsonObject) -> Iterator[Change]:
    before, after = (_rows(side, "bindings") for side in (old, new))
    for index, row in enumerate(before):
        if row not in after:
            yield _broken(Rule.TOPOLOGY_BINDING_REMOVED, f"/bindings/{index}", row)
    for index, row in enumerate(after):
        if row not in before:
            yield _added("bindings", index)


def unreachable(binding: JsonObject, topology: JsonObject) -> list[Change]:
    """Return the changes because of which a message that the binding describes reaches no queue of the topology."""
    exchange = binding.get("exchange")
    row = next((row for row in _rows(topology, "exchanges") if row["name"] == exchange), None)
    if row is None:
        return [_broken(Rule.TOPOLOGY_EXCHANGE_REMOVED, "/exchanges", {"exchange": exchange})]
    writers = cast(JsonObject, binding.get("writers", {}))
    key = writers.get("routing_key")
    routes = [route for route in _rows(topology, "bindings") if route["exchange"] == exchange]
    reached = any(row["type"] != "direct" or route["routing_key"] == key for route in routes)
    if writers.get("mandatory") is False or row["type"] == "topic" or reached:
        return []
    return [_broken(Rule.TOPOLOGY_BINDING_REMOVED, "/bindings", {"exchange": exchange, "routing_key": key})]
