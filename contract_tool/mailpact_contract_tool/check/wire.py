"""Compares two bindings: exchange, routing keys, content types, AMQP properties and limits.

`backward` asks whether the new readers accept every message that the old readers accepted; `forward` asks the same with
old and new exchanged. A witness is a part of a message that shows the break, such as `{"content_type": "text/plain"}`.
"""

from collections.abc import Iterator
from typing import cast

from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact_contract_tool.compare.rules import ChangeRule
from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import NO_WITNESS, Change, Verdict, witnessed

_SENT = ("routing_key", "content_type")
"""What writers state. Readers list what they accept under the plural; the rules are named after one value."""
_TAKEN = (*_SENT, "content_encoding")
_LIMITS = ("max_body_bytes", "max_depth", "max_headers_bytes")


def compare_bindings(old: JsonObject, new: JsonObject) -> list[Change]:
    """Return the changes between two bindings, for every message that the readers of the old binding accepted."""
    changes = [*_identity(old, new), *_sent(old, new)]
    for word in _TAKEN:
        changes += _list(old, new, word)
    changes += [*_optional(old, new), *_limits(old, new), *_properties(old, new)]
    return changes


def sent_and_taken(sender: JsonObject, receiver: JsonObject) -> list[Change]:
    """Return the changes that keep the messages of the sender's binding from the receiver's readers.

    Only the verdict `backward` counts. Readers may accept more than writers send, so a key or a content type that no
    writer uses does not count.
    """
    changes = [*_identity(sender, receiver), *_sent(sender, receiver)]
    changes += [*_limits(sender, receiver), *_properties(sender, receiver)]
    return [change for change in changes if change.backward != Verdict.COMPATIBLE]


def _part(document: JsonObject, word: str) -> JsonObject:
    return cast(JsonObject, document.get(word, {}))


def _identity(old: JsonObject, new: JsonObject) -> Iterator[Change]:
    for word, rule in (
        ("exchange", ChangeRule.EXCHANGE_CHANGED),
        ("exchange_type", ChangeRule.EXCHANGE_CHANGED),
        ("type", ChangeRule.MESSAGE_TYPE_CHANGED),
    ):
        if old.get(word) != new.get(word):
            yield witnessed(rule, f"/{word}", {word: old.get(word)}, {word: new.get(word)})


def _sent(old: JsonObject, new: JsonObject) -> Iterator[Change]:
    """Return a change for each value that writers send and the readers of the other binding do not accept."""
    for word in _SENT:
        mine, yours = _part(old, "writers").get(word), _part(new, "writers").get(word)
        kept = _is_taken(mine, _part(new, "readers").get(f"{word}s"), mine == yours)
        back = _is_taken(yours, _part(old, "readers").get(f"{word}s"), mine == yours)
        if mine != yours or not kept or not back:
            lost = NO_WITNESS if kept else {word: mine}
            found = NO_WITNESS if back else {word: yours}
            yield witnessed(ChangeRule[f"{word.upper()}_CHANGED"], f"/writers/{word}", lost, found)


def _is_taken(value: JsonValue, taken: JsonValue, same: bool) -> bool:  # noqa: FBT001  # one use above
    """Return whether readers accept a routing key or a content type.

    A key that is made from the body is accepted if the other binding has the same key, or if readers accept all keys.
    """
    listed = cast(list[JsonValue], taken or [])
    if value in listed or "#" in listed:
        return True
    return same and isinstance(value, str) and "{" in value


def _list(old: JsonObject, new: JsonObject, word: str) -> Iterator[Change]:
    removed, added = ChangeRule[f"{word.upper()}_REMOVED"], ChangeRule[f"{word.upper()}_ADDED"]
    before, after = (cast(list[JsonValue], _part(side, "readers").get(f"{word}s", [])) for side in (old, new))
    for index, value in enumerate(before):
        if value not in after and "#" not in after:
            yield witnessed(removed, f"/readers/{word}s/{index}", {word: value})
    for index, value in enumerate(after):
        if value not in before and "#" not in before:
            yield witnessed(added, f"/readers/{word}s/{index}", NO_WITNESS, {word: value})


def _optional(old: JsonObject, new: JsonObject) -> Iterator[Change]:
    for name in ("type", "content_type", "content_encoding"):
        word, otherwise = f"{name}_optional", name == "content_encoding"  # the default of the catalogue
        before, after = (_part(side, "readers").get(word, otherwise) is True for side in (old, new))
        if before and not after:
            yield witnessed(ChangeRule.AMQP_PROPERTY_REQUIRED_ADDED, f"/readers/{word}", {name: None})
        elif after and not before:
            yield witnessed(
                ChangeRule.AMQP_PROPERTY_REQUIRED_REMOVED, f"/readers/{word}", NO_WITNESS, {name: None}
            )


def _limits(old: JsonObject, new: JsonObject) -> Iterator[Change]:
    for word in _LIMITS:
        before, after = (cast(int, _part(side, "limits").get(word, 0)) for side in (old, new))
        witness: JsonObject = {word.removeprefix("max_"): max(before, after)}
        if after < before:
            yield witnessed(ChangeRule[f"{word.upper()}_DECREASED"], f"/limits/{word}", witness)
        elif after > before:
            yield witnessed(ChangeRule[f"{word.upper()}_INCREASED"], f"/limits/{word}", NO_WITNESS, witness)


def _rows(binding: JsonObject) -> dict[str, tuple[int, JsonObject]]:
    rows = cast(list[JsonObject], binding.get("properties", []))
    return {str(row.get("name")): (index, row) for index, row in enumerate(rows)}


def _properties(old: JsonObject, new: JsonObject) -> Iterator[Change]:
    before, after = _rows(old), _rows(new)
    for name in [*after, *(name for name in before if name not in after)]:
        index, _ = after.get(name) or before[name]
        pointer = f"/properties/{index}"
        was, now = (rows[name][1] if name in rows else {} for rows in (before, after))
        was_required, is_required = (row.get("writers") == "required" for row in (was, now))
        if is_required and not was_required:
            yield witnessed(ChangeRule.AMQP_PROPERTY_REQUIRED_ADDED, pointer, {name: None})
        elif was_required and not is_required:
            yield witnessed(ChangeRule.AMQP_PROPERTY_REQUIRED_REMOVED, pointer, NO_WITNESS, {name: None})
        elif was and now and _schema(was) != _schema(now):
            found = compare(_schema(was), _schema(now))
            shown = next((change for change in found.changes if change.backward == Verdict.BREAKING), None)
            other = next((change for change in found.changes if change.forward == Verdict.BREAKING), None)
            yield Change(
                ChangeRule.AMQP_PROPERTY_CHANGED,
                pointer,
                found.backward,
                found.forward,
                {name: cast(JsonValue, shown.witness_backward)} if shown else NO_WITNESS,
                {name: cast(JsonValue, other.witness_forward)} if other else NO_WITNESS,
            )


def _schema(row: JsonObject) -> JsonObject:
    """Return a schema of the values that an AMQP property may have."""
    schema: JsonObject = {"const": row["value"]} if "value" in row else {}
    if "pattern" in row:
        schema |= {"type": "string", "pattern": row["pattern"]}
    return schema
