"""Compares topologies and lists of error codes.

Programs rely on the exchanges, queues and bindings that exist. A broker refuses a declaration that differs from the
existing one (error 406), and drops a message that no binding routes. So a removed or changed exchange, queue or binding
breaks `backward`, and an added one breaks nothing. A new error code breaks `forward`, because a program that knows only
the old codes does not know the new code.
"""

from collections.abc import Iterator
from typing import cast

from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact_contract_tool.compare.node import canonical
from mailpact_contract_tool.compare.rules import ChangeRule
from mailpact_contract_tool.compare.verdict import NO_WITNESS, Change, witnessed

_OBJECTS = (
    ("exchanges", ChangeRule.TOPOLOGY_EXCHANGE_CHANGED, ChangeRule.TOPOLOGY_EXCHANGE_REMOVED),
    ("queues", ChangeRule.TOPOLOGY_QUEUE_CHANGED, ChangeRule.TOPOLOGY_QUEUE_REMOVED),
    ("bindings", ChangeRule.TOPOLOGY_BINDING_REMOVED, ChangeRule.TOPOLOGY_BINDING_REMOVED),
)
"""Each list of topology.json, with the rules for a row that changed and for a row that is gone."""
_OURS = ("purpose", "declared_by")  # for people; the broker does not use them


def compare_topologies(old: JsonObject, new: JsonObject) -> list[Change]:
    """Return the changes between two topologies."""
    return [change for word, *rules in _OBJECTS for change in _objects(old, new, word, *rules)]


def compare_error_codes(old: JsonObject, new: JsonObject) -> list[Change]:
    """Return the changes between two lists of error codes."""
    before, after = (
        {str(row["code"]): f"/errors/{index}" for index, row in enumerate(_rows(side, "errors"))}
        for side in (old, new)
    )
    removed = [(code, pointer) for code, pointer in before.items() if code not in after]
    added = [(code, pointer) for code, pointer in after.items() if code not in before]
    return [
        *(witnessed(ChangeRule.ERROR_CODE_REMOVED, pointer, code) for code, pointer in removed),
        *(witnessed(ChangeRule.ERROR_CODE_ADDED, pointer, NO_WITNESS, code) for code, pointer in added),
    ]


def _rows(document: JsonObject, word: str) -> list[JsonObject]:
    return cast(list[JsonObject], document.get(word, []))


def _objects(
    old: JsonObject, new: JsonObject, word: str, changed: ChangeRule, removed: ChangeRule
) -> Iterator[Change]:
    before, after = (_named(side, word) for side in (old, new))
    for name, (pointer, row) in before.items():
        if name not in after:
            yield witnessed(removed, pointer, row)
        elif after[name][1] != row:
            yield witnessed(changed, after[name][0], row)
    for name, (pointer, _) in after.items():
        if name not in before:
            yield witnessed(ChangeRule.TOPOLOGY_ADDED, pointer)


def _named(topology: JsonObject, word: str) -> dict[JsonValue, tuple[str, JsonObject]]:
    """Return the pointer of each row and what the broker knows of the row; the whole row names a binding."""
    rows = [
        {name: value for name, value in row.items() if name not in _OURS} for row in _rows(topology, word)
    ]
    return {
        canonical(row) if word == "bindings" else row["name"]: (f"/{word}/{index}", row)
        for index, row in enumerate(rows)
    }


def unreachable(binding: JsonObject, topology: JsonObject) -> list[Change]:
    """Return the changes because of which a message that the binding describes reaches no queue of the topology."""
    exchange = binding.get("exchange")
    row = next((row for row in _rows(topology, "exchanges") if row["name"] == exchange), None)
    if row is None:
        return [witnessed(ChangeRule.TOPOLOGY_EXCHANGE_REMOVED, "/exchanges", {"exchange": exchange})]
    writers = cast(JsonObject, binding.get("writers", {}))
    key = writers.get("routing_key")
    routes = [route for route in _rows(topology, "bindings") if route["exchange"] == exchange]
    reached = any(row["type"] != "direct" or route["routing_key"] == key for route in routes)
    if writers.get("mandatory") is False or row["type"] == "topic" or reached:
        return []
    return [
        witnessed(
            ChangeRule.TOPOLOGY_BINDING_REMOVED, "/bindings", {"exchange": exchange, "routing_key": key}
        )
    ]
