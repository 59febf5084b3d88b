"""Reads the documents that are compared, and the contracts that index.json names, from bytes of bounded size."""

from collections.abc import Callable
from datetime import date
from typing import TypeVar

from mailpact.contracts.catalogue import parse_file
from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.check.topology import compare_error_codes, compare_topologies
from mailpact_contract_tool.check.versions import Contract, Release, Waiver
from mailpact_contract_tool.check.wire import compare_bindings
from mailpact_contract_tool.compare.document import SchemaError
from mailpact_contract_tool.compare.draft import Schema
from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import Change, Comparison, worst
from mailpact_contract_tool.folder import forms
from mailpact_contract_tool.folder.documents import Files, Unreadable, read_object

WAIVERS = "compat-waivers.json"

_T = TypeVar("_T")


class UnreadableDocument(Exception):
    """A document cannot be compared; the message names the file, the place and the fault."""


def read_document(files: Files, path: str) -> JsonObject:
    """Return the JSON object that a file holds; raises UnreadableDocument."""
    found = read_object(files, path)
    if isinstance(found, Unreadable):
        raise UnreadableDocument(f"{path}: {found.sentence}")
    return found


def read_schema(files: Files, path: str) -> Schema:
    """Return the schema that a file holds: an object, true or false; raises UnreadableDocument."""
    value = parse_file(files.get(path) or b"")
    return value if isinstance(value, bool) else read_document(files, path)


def compare_documents(old: Schema, new: Schema, old_file: str, new_file: str) -> Comparison:
    """Compare two documents of the same kind: two schemas, bindings, topologies or lists of error codes.

    Raises UnreadableDocument, which names the file at fault.
    """
    try:
        if isinstance(old, bool) or isinstance(new, bool):
            return compare(old, new)
        if _is_topology(old) and _is_topology(new):
            return _from_changes(compare_topologies(old, new))
        if _is_error_list(old) and _is_error_list(new):
            return _from_changes(compare_error_codes(old, new))
        if _is_binding(old) and _is_binding(new):
            return _from_changes(compare_bindings(old, new))
        return compare(old, new)
    except SchemaError as error:
        raise UnreadableDocument(f"{new_file if error.side == 'new' else old_file}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise UnreadableDocument(
            f"{old_file} or {new_file}: is not of the published form: {error!r}"
        ) from error


def _is_topology(document: JsonObject) -> bool:
    return {"exchanges", "queues", "bindings"} <= set(document)


def _is_error_list(document: JsonObject) -> bool:
    return isinstance(document.get("errors"), list)


def _is_binding(document: JsonObject) -> bool:
    return {"exchange", "writers", "readers"} <= set(document)


def _from_changes(changes: list[Change]) -> Comparison:
    return Comparison(
        worst(change.backward for change in changes),
        worst(change.forward for change in changes),
        tuple(changes),
    )


def read_contracts(files: Files) -> list[Contract]:
    """Return the contracts that index.json names, each with its history; raises UnreadableDocument."""

    def build(index: JsonObject) -> list[Contract]:
        return [_contract(files, entry) for entry in index["contracts"]]  # type: ignore[union-attr, arg-type]  # see _formed

    return _formed("index.json", files, build)


def read_topology(files: Files) -> JsonObject | None:
    """Return the content of topology.json, or None if the folder has no such file; raises UnreadableDocument."""
    return _of_form("topology.json", files, forms.TOPOLOGY) if "topology.json" in files else None


def read_waivers(files: Files) -> list[Waiver]:
    """Return the waivers, or an empty list if the folder has no file of waivers.

    Raises UnreadableDocument for a waiver that lacks a member.
    """
    if WAIVERS not in files:
        return []
    return _formed(WAIVERS, files, lambda document: [_waiver(row) for row in document["waivers"]])  # type: ignore[union-attr, arg-type]  # see _formed


def _formed(file: str, files: Files, build: Callable[[JsonObject], _T]) -> _T:
    """Build a value from a document; raises UnreadableDocument, which names the file, if the form is wrong."""
    document = read_document(files, file)
    try:
        return build(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableDocument(f"{file}: is not of the published form: {error!r}") from error


def _of_form(file: str, files: Files, form: JsonObject) -> JsonObject:
    document = read_document(files, file)
    fault = next(forms.form_faults(document, form), None)
    if fault is not None:
        pointer, sentence = fault
        raise UnreadableDocument(f"{file}: at {pointer or 'the top'}: {sentence}")
    return document


def _contract(files: Files, entry: JsonObject) -> Contract:
    folder = str(entry["schema"]).rpartition("/")[0]
    versions = {
        path.removeprefix(f"{folder}/history/").partition("/")[0]
        for path in files
        if path.startswith(f"{folder}/history/")
    }
    return Contract(
        f"{entry['name']}/{entry['major']}",
        read_release(files, folder, str(entry["version"])),
        tuple(
            read_release(files, f"{folder}/history/{version}", version)
            for version in sorted(versions, key=_order)
        ),
    )


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def read_release(files: Files, folder: str, version: str) -> Release:
    """Return the version of a contract that lies in a folder; "" is the top folder.

    Raises UnreadableDocument.
    """
    within = f"{folder}/" if folder else ""
    binding = f"{within}binding.json"
    return Release(
        version,
        read_document(files, f"{within}schema.json"),
        read_document(files, f"{within}writer.schema.json"),
        _of_form(binding, files, forms.BINDING) if binding in files else None,
    )


def _waiver(row: JsonObject) -> Waiver:
    waiver = Waiver(
        contract=str(row["contract"]),
        rule=str(row["rule"]),
        pointer=str(row["pointer"]),
        reason=str(row["reason"]).strip(),
        expires=date.fromisoformat(str(row["expires"])),
    )
    if not waiver.reason:
        raise ValueError("a waiver needs a reason")
    return waiver
