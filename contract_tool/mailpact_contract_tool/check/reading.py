"""Reads the documents that are compared, and the contracts that index.json names, from bytes of bounded size."""

from collections.abc import Callable
from datetime import date
from typing import Any

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
from mailpact_contract_tool.folder.layout import contract_folders

WAIVERS = "compat-waivers.json"
_KINDS: tuple[tuple[Callable[[JsonObject], bool], Callable[[JsonObject, JsonObject], list[Change]]], ...] = (
    (lambda document: {"exchanges", "queues", "bindings"} <= document.keys(), compare_topologies),
    (lambda document: isinstance(document.get("errors"), list), compare_error_codes),
    (lambda document: {"exchange", "writers", "readers"} <= document.keys(), compare_bindings),
)
"""How a document of each kind is known, and how two of the kind are compared; any other document is a schema."""


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
        for is_of_kind, changed in _KINDS:
            if isinstance(old, dict) and isinstance(new, dict) and is_of_kind(old) and is_of_kind(new):
                changes = changed(old, new)
                backward, forward = (
                    (change.backward for change in changes),
                    (change.forward for change in changes),
                )
                return Comparison(worst(backward), worst(forward), tuple(changes))
        return compare(old, new)
    except SchemaError as error:
        raise UnreadableDocument(f"{new_file if error.side == 'new' else old_file}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise UnreadableDocument(
            f"{old_file} or {new_file}: is not of the published form: {error!r}"
        ) from error


def read_contracts(files: Files) -> list[Contract]:
    """Return the contracts that index.json names, each with its history; raises UnreadableDocument."""
    folders = {folder.path: folder for folder in contract_folders(files)}
    found = []
    for row in _of_form("index.json", files, forms.INDEX)["contracts"]:
        path = f"{row['name']}/{row['major']}"
        versions = folders[path].history() if path in folders else {}
        published = [read_release(files, f"{path}/history/{version}", version) for version in versions]
        found.append(Contract(path, read_release(files, path, row["version"]), tuple(published)))
    return found


def read_topology(files: Files) -> JsonObject | None:
    """Return the content of topology.json, or None if the folder has no such file; raises UnreadableDocument."""
    return _of_form("topology.json", files, forms.TOPOLOGY) if "topology.json" in files else None


def read_waivers(files: Files) -> list[Waiver]:
    """Return the waivers, or an empty list if the folder has no file of waivers.

    Raises UnreadableDocument for a waiver that lacks a member.
    """
    if WAIVERS not in files:
        return []
    try:
        return [_waiver(row) for row in _of_form(WAIVERS, files, forms.WAIVERS)["waivers"]]
    except ValueError as error:
        raise UnreadableDocument(f"{WAIVERS}: {error}") from error


def _of_form(file: str, files: Files, form: JsonObject) -> Any:
    """Return a document; raises UnreadableDocument, which names the file and the place, if its form is wrong."""
    document = read_document(files, file)
    fault = next(forms.form_faults(document, form), None)
    if fault is not None:
        pointer, sentence = fault
        raise UnreadableDocument(f"{file}: at {pointer or 'the top'}: {sentence}")
    return document


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


def _waiver(row: Any) -> Waiver:
    reason, expires = row["reason"].strip(), date.fromisoformat(row["expires"])
    if not reason:
        raise ValueError("a waiver needs a reason")
    return Waiver(row["contract"], row["rule"], row["pointer"], reason, expires)
