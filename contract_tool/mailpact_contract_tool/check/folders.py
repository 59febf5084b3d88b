"""Compares two folders: two folders of one contract, or two folders of several contracts with index.json.

Writers and readers of a contract are different programs, and nobody deploys both at once. So `backward` asks whether
the new readers accept the messages of the old writers, and `forward` asks whether the old readers accept the messages
of the new writers. A change that breaks neither direction is compatible, such as a new optional member. With `raw`,
each file is compared with its counterpart instead.
"""

from dataclasses import replace

from mailpact_contract_tool.check.reading import (
    UnreadableDocument,
    compare_documents,
    read_document,
    read_release,
)
from mailpact_contract_tool.check.versions import Release, in_file, understood
from mailpact_contract_tool.compare.verdict import (
    NO_WITNESS,
    Change,
    Comparison,
    Verdict,
    witnessed,
    worst,
)
from mailpact_contract_tool.folder.documents import Files
from mailpact_contract_tool.folder.layout import WORKING_FILES, contract_folders

_SHARED = ("topology.json", "errors.json")


def compare_folders(old: Files, new: Files, *, raw: bool = False) -> Comparison:
    """Compare two folders by their files; raises UnreadableDocument."""
    if any(name in old or name in new for name in WORKING_FILES):
        return _together([_contract(old, new, "", raw=raw)])
    if "index.json" not in old:
        raise UnreadableDocument("the old folder contains neither schema.json nor index.json")
    shared = [_file(old, new, name) for name in _SHARED if name in old]
    contracts = [_contract(old, new, f"{folder.path}/", raw=raw) for folder in contract_folders(old)]
    return _together([*shared, *contracts])


def _together(found: list[Comparison]) -> Comparison:
    return Comparison(
        worst(comparison.backward for comparison in found),
        worst(comparison.forward for comparison in found),
        tuple(change for comparison in found for change in comparison.changes),
        frozenset(reason for comparison in found for reason in comparison.reasons),
    )


def _file(old: Files, new: Files, path: str) -> Comparison:
    """Compare a file with the file of the same name in the other folder; pointers begin with the name of the file."""
    for files, which in ((old, "old"), (new, "new")):
        if path not in files:
            raise UnreadableDocument(f"{path}: is missing in the {which} folder")
    found = compare_documents(
        read_document(old, path), read_document(new, path), f"{path} of the old", f"{path} of the new"
    )
    return replace(found, changes=tuple(in_file(change, path) for change in found.changes))


def _contract(old: Files, new: Files, prefix: str, *, raw: bool) -> Comparison:
    by_file = {
        name: _file(old, new, f"{prefix}{name}")
        for name in WORKING_FILES
        if f"{prefix}{name}" in old or f"{prefix}{name}" in new
    }
    if raw or "writer.schema.json" not in by_file or "schema.json" not in by_file:
        return _together([*by_file.values()])
    then, now = (read_release(files, prefix.rstrip("/"), "") for files in (old, new))
    return _judged(by_file, _broken(then, now, prefix), _broken(now, then, prefix))


def _broken(writers: Release, readers: Release, prefix: str) -> list[Change]:
    """Return the changes that keep the writers' messages from the readers; only the verdict `backward` counts."""
    return [
        replace(change, pointer=f"{prefix}{change.pointer}") for change in understood("", writers, readers)
    ]


def _judged(by_file: dict[str, Comparison], backward: list[Change], forward: list[Change]) -> Comparison:
    """Join the changes that break a direction and the changes that break nothing into one comparison."""
    verdicts = worst(one.backward for one in backward), worst(one.backward for one in forward)
    harmless = [
        change
        for name, comparison in by_file.items()
        for change in comparison.changes
        if _is_harmless(name, change, *verdicts)
    ]
    return Comparison(
        *verdicts,
        (*_merged(backward, forward), *(witnessed(change.rule, change.pointer) for change in harmless)),
    )


def _is_harmless(name: str, change: Change, backward: Verdict, forward: Verdict) -> bool:
    """Return whether a change breaks nothing.

    The readers' schema decides the direction `backward`, and the writers' schema decides the direction `forward`.
    """
    harmless = Verdict.COMPATIBLE
    kept = name == "writer.schema.json" or harmless in (backward, change.backward)
    return kept and (name == "schema.json" or harmless in (forward, change.forward))


def _merged(backward: list[Change], forward: list[Change]) -> list[Change]:
    """Return the changes that break a direction; a change that breaks both directions comes once."""
    places: dict[tuple[str, str], Change] = {}
    for change in backward:
        one_way = replace(change, forward=Verdict.COMPATIBLE, witness_forward=NO_WITNESS)
        places.setdefault((change.rule, change.pointer), one_way)
    for change in forward:
        place = change.rule, change.pointer
        before = places.get(place, witnessed(*place))
        places[place] = replace(before, forward=change.backward, witness_forward=change.witness_backward)
    return [*places.values()]
