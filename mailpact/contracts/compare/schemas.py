"""Compares two schemas as a whole."""

from mailpact.contracts.compare.verdict import Change, Comparison, Verdict
from mailpact.contracts.parse import JsonObject

_ANNOTATIONS = {"title": "DESCRIPTION_CHANGED", "description": "DESCRIPTION_CHANGED", "$id": "ID_CHANGED"}


def compare(old: JsonObject, new: JsonObject) -> Comparison:
    """Return what became of the documents that `old` accepts, and of those that only `new` does."""
    names = sorted({*old, *new})
    changes = tuple(_change(name) for name in names if old.get(name) != new.get(name))
    verdict = (
        Verdict.COMPATIBLE
        if all(change.backward == Verdict.COMPATIBLE for change in changes)
        else Verdict.UNPROVEN
    )
    return Comparison(verdict, verdict, changes)


def _change(name: str) -> Change:
    rule = _ANNOTATIONS.get(name)
    verdict = Verdict.UNPROVEN if rule is None else Verdict.COMPATIBLE
    return Change(rule or "KEYWORD_CHANGED", f"/{name}", verdict, verdict)
