"""A folder of contracts without errors, and the linter's findings when one file is replaced."""

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from mailpact_contract_tool.lint.folder import lint
from mailpact_contract_tool.lint.rules import Finding

DRAFT = "https://json-schema.org/draft/2020-12/schema"
READER: dict[str, Any] = {
    "$schema": DRAFT,
    "$id": "urn:example:order:1",
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {
            "type": "string",
            "maxLength": 8,
            "pattern": "^[a-z]+$",
            "not": {"pattern": "[\\x00-\\x20]"},
        }
    },
    "examples": [{"id": "abc"}],
}
BINDING: dict[str, Any] = {
    "contract": "order/1",
    "exchange": "orders",
    "type": "order.v1",
    "writers": {"routing_key": "", "content_type": "application/json"},
    "readers": {
        "routing_keys": [""],
        "content_types": ["application/json"],
        "content_type_optional": True,
        "content_encodings": ["utf-8"],
        "type_optional": True,
    },
    "limits": {"max_body_bytes": 1000, "max_depth": 4, "max_headers_bytes": 1000},
    "properties": [{"name": "type", "writers": "required", "value": "order.v1"}],
}
TOPOLOGY: dict[str, Any] = {
    "exchanges": [
        {"name": "orders", "type": "direct", "durable": True, "declared_by": ["consumer"]},
        {"name": "orders.dlx", "type": "fanout", "durable": True, "declared_by": ["consumer"]},
    ],
    "queues": [
        {
            "name": "orders.dead",
            "durable": True,
            "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 1000000},
            "declared_by": ["consumer"],
        },
        {
            "name": "orders.work",
            "durable": True,
            "arguments": {
                "x-queue-type": "quorum",
                "x-delivery-limit": 20,
                "x-dead-letter-exchange": "orders.dlx",
            },
            "declared_by": ["consumer"],
        },
    ],
    "bindings": [
        {"exchange": "orders.dlx", "queue": "orders.dead", "routing_key": ""},
        {"exchange": "orders", "queue": "orders.work", "routing_key": ""},
    ],
}
ERRORS = {
    "errors": [
        {"code": "invalid_json", "meaning": "Not JSON.", "publisher": "Use a library."},
        {"code": "id_conflict", "meaning": "Two bodies.", "publisher": "Make a new id."},
        {"code": "schema", "meaning": "Breaks the schema.", "publisher": "Validate."},
    ]
}


def _refused(body: str, pointer: str, keyword: str) -> dict[str, Any]:
    return {
        "description": f"Breaks {keyword}.",
        "body": body,
        "error": {"code": "schema", "pointer": pointer, "keyword": keyword},
    }


VECTORS = {
    "valid/minimal": {"description": "The least.", "body": '{"id": "a"}'},
    "valid/more": {
        "description": "Readers ignore what they do not know.",
        "body": '{"id": "a", "more": 1}',
        "writer_error": {"pointer": "", "keyword": "additionalProperties"},
    },
    "invalid/not-json": {
        "description": "Not JSON.",
        "body": "id=a",
        "error": {"code": "invalid_json"},
    },
    "invalid/type": _refused("[]", "", "type"),
    "invalid/required": _refused("{}", "", "required"),
    "invalid/id-type": _refused('{"id": 1}', "/id", "type"),
    "invalid/id-long": _refused('{"id": "abcdefghi"}', "/id", "maxLength"),
    "invalid/id-pattern": _refused('{"id": "A"}', "/id", "pattern"),
    "invalid/id-not": _refused('{"id": "a\\n"}', "/id", "not"),
}


def _document(value: Any) -> bytes:
    return f"{json.dumps(value, indent=2)}\n".encode()


def _sound() -> dict[str, bytes]:
    writer = {**copy.deepcopy(READER), "$id": "urn:example:order:1:writer", "additionalProperties": False}
    working = {"schema.json": READER, "writer.schema.json": writer, "binding.json": BINDING}
    files = {
        "topology.json": _document(TOPOLOGY),
        "errors.json": _document(ERRORS),
        "order/1/CHANGELOG.md": b"# Changes\n\n## 1.0\n\nThe first.\n",
        **{f"order/1/vectors/{name}.json": _document(vector) for name, vector in VECTORS.items()},
        **{f"order/1/{name}": _document(value) for name, value in working.items()},
        **{f"order/1/history/1.0/{name}": _document(value) for name, value in working.items()},
    }
    published = [f"order/1/{folder}{name}" for folder in ("", "history/1.0/") for name in working]
    entry = {
        "name": "order",
        "major": 1,
        "version": "1.0",
        "status": "published",
        "files": [{"path": path, "sha256": hashlib.sha256(files[path]).hexdigest()} for path in published],
    }
    return {**files, "index.json": _document({"contracts": [entry]})}


@pytest.fixture
def sound() -> dict[str, bytes]:
    """Return the files of a folder with one contract, `order/1`, without errors."""
    return _sound()


@pytest.fixture
def found(sound: dict[str, bytes]) -> Callable[..., list[Finding]]:
    """Return the findings for the sound folder with one file replaced, or left out by None."""

    def lint_with(path: str, content: Any) -> list[Finding]:
        files = {name: body for name, body in sound.items() if name != path}
        if content is not None:
            files[path] = content if isinstance(content, bytes) else _document(content)
        return lint(files)

    return lint_with
