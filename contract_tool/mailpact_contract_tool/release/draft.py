"""Drafts a contract: the files that a team needs before it can lint and release its own contract.

Existing files are kept, except the readers' schema, which is derived from the writers' schema by opening its closed
objects. A vector is made for every keyword for which the search finds a value that breaks only this keyword.
"""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

from mailpact.contracts.errors import CatalogueError, ErrorCode
from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact_contract_tool.compare.draft import DRAFT
from mailpact_contract_tool.compare.judge import counterexample
from mailpact_contract_tool.compare.verdict import NO_WITNESS, NoWitness
from mailpact_contract_tool.folder.documents import Files, Unreadable, json_bytes, read_object, unescaped
from mailpact_contract_tool.folder.layout import ContractFolder
from mailpact_contract_tool.lint.schemas import unusable_fault
from mailpact_contract_tool.lint.subschemas import places
from mailpact_contract_tool.lint.vector_rules import Engine, assertions

_NAME = re.compile(r"(?P<name>[a-z][a-z0-9-]*(?:/[a-z][a-z0-9-]*)*?)(?:/(?P<major>[1-9][0-9]{0,8}))?")
_CLOSED = "additionalProperties"
_WRONG: tuple[tuple[str, str, ErrorCode, JsonObject], ...] = (
    ("not-json", "No JSON.", ErrorCode.INVALID_JSON, {"body": "{"}),
    ("no-type", "Without a type.", ErrorCode.UNSUPPORTED_VERSION, {"properties": {"type": ""}}),
    (
        "no-content-type",
        "Without a content type.",
        ErrorCode.UNSUPPORTED_CONTENT_TYPE,
        {"content_type": None},
    ),
)
"""Vectors that break no keyword: path, description, error code, and what differs from the smallest message.

Only the first one holds for a template, which has no AMQP properties.
"""


class DraftRefused(CatalogueError):
    """No draft can be made; the message says what has to change."""


class InvalidName(DraftRefused):
    """No contract can have this name."""


def draft(files: Files, name: str, errors: bytes) -> tuple[tuple[str, bytes], ...]:
    """Return the files of a draft that are to be written; `errors` is the errors.json of a folder that has none.

    Raises InvalidName for a name that no contract can have, and DraftRefused for a contract that was released and for a
    writers' schema that cannot be used.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise InvalidName(f"{name!r} is not the name of a contract; use lower case letters, such as order/1")
    folder = ContractFolder(
        f"{match['name']}/{match['major'] or 1}", match["name"], int(match["major"] or 1), ()
    )
    if any(path.startswith(f"{folder.path}/history/") for path in files):
        raise DraftRefused(f"{folder.path} was released; change its files, then release the next version")
    writer = _object(files, folder.schemas[1], _writer_schema(folder))
    reader = reader_schema(writer)
    if (fault := unusable_fault(reader)) is not None:
        raise DraftRefused(f"{folder.schemas[1]} at {fault.pointer or 'the top'}: {fault.sentence}")
    made: dict[str, Any] = {
        "index.json": {"contracts": []},
        "topology.json": {"exchanges": [], "queues": [], "bindings": []},
        folder.schemas[1]: writer,
    }
    made |= {} if folder.is_template else {folder.binding: _binding(folder)}
    made |= {
        f"{folder.path}/vectors/{path}.json": vector
        for path, vector in _vectors(folder, reader, writer).items()
    }
    texts = {"errors.json": errors} | {path: json_bytes(document) for path, document in made.items()}
    written = {path: text for path, text in texts.items() if path not in files}
    if not folder.is_template and f"{folder.path}/binding.json" not in files:
        topology = _object(files, "topology.json", made["topology.json"])
        written["topology.json"] = json_bytes(_with_route(topology, folder))
    return (*written.items(), (folder.schemas[0], json_bytes(reader)))


def reader_schema(writer: JsonObject) -> JsonObject:
    """Return the readers' schema of a writers' schema: readers ignore members that writers may not send."""
    reader = copy.deepcopy(writer)
    for place in places(reader):
        if place.schema.get(_CLOSED) is False and not place.negated:
            del place.schema[_CLOSED]
    if isinstance(identifier := reader.get("$id"), str):
        reader["$id"] = identifier.removesuffix(":writer")
    return reader


def _object(files: Files, path: str, otherwise: JsonObject) -> JsonObject:
    found = read_object(files, path) if path in files else otherwise
    if isinstance(found, Unreadable):
        raise DraftRefused(f"{path}: {found.sentence}")
    return found


def _writer_schema(folder: ContractFolder) -> JsonObject:
    return {
        "$schema": DRAFT,
        "$id": f"urn:contract:{folder.name.replace('/', ':')}:{folder.major}:writer",
        "title": folder.path,
        "type": "object",
        "required": ["id"],
        _CLOSED: False,
        "properties": {"id": {"type": "string", "minLength": 1, "maxLength": 64}},
    }


def _type(folder: ContractFolder) -> str:
    return f"{folder.name}.v{folder.major}"


def _exchange(folder: ContractFolder) -> str:
    return folder.name.replace("/", ".")


def _binding(folder: ContractFolder) -> JsonObject:
    return {
        "contract": folder.path,
        "exchange": _exchange(folder),
        "type": _type(folder),
        "writers": {"routing_key": "", "content_type": "application/json", "mandatory": True},
        "readers": {
            "routing_keys": [""],
            "content_types": ["application/json"],
            "content_type_optional": False,
            "content_encodings": ["utf-8"],
            "content_encoding_optional": True,
            "type_optional": False,
        },
        "limits": {"max_body_bytes": 65536, "max_depth": 32, "max_headers_bytes": 32768},
        "properties": [
            {
                "name": "type",
                "writers": "required",
                "value": _type(folder),
                "meaning": "the contract and its major",
            },
            {
                "name": "content_type",
                "writers": "required",
                "value": "application/json",
                "meaning": "what the body is",
            },
        ],
    }


def _with_route(topology: Any, folder: ContractFolder) -> JsonObject:
    """Return the topology with an exchange and a queue for the contract, and a place for dead letters."""
    name, by = _exchange(folder), ["operator"]
    if any(row.get("name") == name for row in topology["exchanges"]):
        return dict(topology)
    quorum = {"x-queue-type": "quorum", "x-delivery-limit": 20, "x-dead-letter-exchange": f"{name}.dlx"}
    dead = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
    return {
        **topology,
        "exchanges": [
            *topology["exchanges"],
            {"name": name, "type": "direct", "durable": True, "declared_by": by},
            {"name": f"{name}.dlx", "type": "fanout", "durable": True, "declared_by": by},
        ],
        "queues": [
            *topology["queues"],
            {"name": f"{name}.dead", "durable": True, "arguments": dead, "declared_by": by},
            {"name": f"{name}.work", "durable": True, "arguments": quorum, "declared_by": by},
        ],
        "bindings": [
            *topology["bindings"],
            {"exchange": f"{name}.dlx", "queue": f"{name}.dead", "routing_key": ""},
            {"exchange": name, "queue": f"{name}.work", "routing_key": ""},
        ],
    }


def _vectors(folder: ContractFolder, reader: JsonObject, writer: JsonObject) -> dict[str, JsonObject]:
    """Return vectors by their paths below `vectors`: the smallest message, and a message for each broken keyword."""
    sent: JsonObject = {} if folder.is_template else {"properties": {"type": _type(folder)}}
    least = counterexample(writer, refusing=False)
    if least is NO_WITNESS:
        return {}
    body = json.dumps(least, ensure_ascii=False)
    made: dict[str, JsonObject] = {
        "valid/minimal": {"description": "The least message.", "body": body, **sent}
    }
    for path, description, code, change in _WRONG[: 1 if folder.is_template else None]:
        wrong: JsonObject = {"description": description, "body": body, **sent, **change}
        made[f"invalid/{path}"] = {**wrong, "error": {"code": code}}
    for path, vector in (*_breaking(reader, "invalid", "error"), *_breaking(writer, "valid", "writer_error")):
        if path not in made and path.replace("valid/", "invalid/", 1) not in made:
            made[path] = {**vector, **sent}
    return made


def _breaking(schema: JsonObject, kind: str, member: str) -> Iterator[tuple[str, JsonObject]]:
    """Yield a vector for each keyword; its body breaks this keyword, and no other keyword if that is possible."""
    engine = Engine(schema)
    for pointer in assertions(schema):
        value = _breaks(schema, pointer)
        failures = [] if value is NO_WITNESS else list(engine.failures(value))
        failure = next((one for one in failures if one.schema_pointer == pointer), None)
        if failure is not None:
            expected: JsonObject = {"pointer": failure.pointer, "keyword": failure.keyword}
            if kind == "invalid":
                expected = {"code": ErrorCode.SCHEMA, **expected}
            yield (
                f"{kind}/{re.sub('[^a-zA-Z0-9]+', '-', pointer).strip('-')}",
                {
                    "description": f"Breaks {failure.keyword} at {failure.pointer or 'the top'}.",
                    "body": json.dumps(value, ensure_ascii=False),
                    member: expected,
                },
            )


def _breaks(schema: JsonObject, pointer: str) -> JsonValue | NoWitness:
    """Return a value that breaks one keyword, and no other keyword if that is possible."""
    path, _, keyword = pointer.rpartition("/")
    alone: Any = copy.deepcopy(schema)
    at = alone
    for step in path.split("/")[1:]:
        at = at[int(step)] if isinstance(at, list) else at[unescaped(step)]
    value = at.pop(keyword)
    if (found := counterexample(alone, refusing=schema)) is not NO_WITNESS:
        return found
    for other in at.keys() - {
        "$schema",
        "$defs",
        "$id",
    }:  # these keywords break together with this keyword
        del at[other]
    accepting = copy.deepcopy(alone)
    at[keyword] = value
    return counterexample(accepting, refusing=alone)
