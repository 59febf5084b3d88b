"""Defines the form of index, bindings, topology, error codes and vectors as JSON Schemas.

The form is checked before a rule looks at a file, so that rules can rely on the form. Members that are not named here
are allowed, because the files say more than the rules need.
"""

from collections.abc import Iterator

from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact.contracts.pointer import pointer_to

_TEXT: JsonObject = {"type": "string", "minLength": 1}
_ANY_TEXT: JsonObject = {"type": "string"}
_TRUTH: JsonObject = {"type": "boolean"}
_COUNT: JsonObject = {"type": "integer", "minimum": 1}
_TEXTS: JsonObject = {"type": "array", "items": _ANY_TEXT}


def _object(required: dict[str, JsonValue], optional: dict[str, JsonValue] | None = None) -> JsonObject:
    return {"type": "object", "required": [*required], "properties": {**required, **(optional or {})}}


def _list(items: JsonValue) -> JsonObject:
    return {"type": "array", "items": items}


INDEX = _object(
    {
        "contracts": _list(
            _object(
                {
                    "name": _TEXT,
                    "major": _COUNT,
                    "version": {"type": "string", "pattern": "^[1-9][0-9]{0,8}\\.(?:0|[1-9][0-9]{0,8})$"},
                    "status": {"enum": ["published", "deprecated"]},
                    "files": _list(
                        _object({"path": _TEXT, "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}})
                    ),
                },
                {"deprecated": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}},
            )
        )
    }
)
BINDING = _object(
    {
        "contract": _TEXT,
        "exchange": _TEXT,
        "type": _TEXT,
        "writers": _object({"content_type": _TEXT, "routing_key": _ANY_TEXT}, {"mandatory": _TRUTH}),
        "readers": _object(
            {
                "routing_keys": _TEXTS,
                "content_types": _TEXTS,
                "content_type_optional": _TRUTH,
                "content_encodings": _TEXTS,
                "type_optional": _TRUTH,
            }
        ),
        "limits": _object({"max_body_bytes": _COUNT, "max_depth": _COUNT, "max_headers_bytes": _COUNT}),
        "properties": _list(
            _object(
                {"name": _TEXT, "writers": {"enum": ["required", "expected", "optional"]}}, {"pattern": _TEXT}
            )
        ),
    }
)
TOPOLOGY = _object(
    {
        "exchanges": _list(
            _object(
                {
                    "name": _TEXT,
                    "type": {"enum": ["direct", "fanout", "topic", "headers"]},
                    "durable": _TRUTH,
                    "declared_by": _TEXTS,
                }
            )
        ),
        "queues": _list(
            _object(
                {
                    "name": _TEXT,
                    "durable": _TRUTH,
                    "arguments": {
                        "type": "object",
                        "additionalProperties": {"type": ["string", "integer", "boolean"]},
                    },
                    "declared_by": _TEXTS,
                }
            )
        ),
        "bindings": _list(_object({"exchange": _TEXT, "queue": _TEXT, "routing_key": _ANY_TEXT})),
    }
)
ERRORS = _object({"errors": _list(_object({"code": _TEXT, "meaning": _TEXT, "publisher": _TEXT}))})
WAIVERS = _object(
    {
        "waivers": _list(
            _object(
                {
                    "contract": _TEXT,
                    "rule": _TEXT,
                    "pointer": _ANY_TEXT,
                    "reason": _ANY_TEXT,
                    "expires": _ANY_TEXT,
                }
            )
        )
    }
)
_PIECES = _list(
    _object({"text": _ANY_TEXT, "times": {"type": "integer", "minimum": 0, "maximum": 4_000_000}})
)
VECTOR: JsonObject = {
    **_object(
        {"description": _TEXT},
        {
            "body": _ANY_TEXT,
            "body_base64": _ANY_TEXT,
            "body_pieces": _PIECES,
            "properties": {"type": "object"},
            "content_type": {"type": ["string", "null"]},
            "error": _object({"code": _TEXT}, {"pointer": _ANY_TEXT, "keyword": _TEXT}),
            "writer_error": _object({}, {"pointer": _ANY_TEXT, "keyword": _TEXT}),
        },
    ),
    "oneOf": [{"required": [member]} for member in ("body", "body_base64", "body_pieces")],
}


def form_faults(document: JsonValue, form: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the pointer and a sentence for each place where a document does not have the form, at most ten times."""
    import jsonschema_rs

    validator = jsonschema_rs.Draft202012Validator(form, pattern_options=jsonschema_rs.RegexOptions())
    for number, error in enumerate(validator.iter_errors(document)):
        if number == 10:
            return
        keyword = error.kind.name
        yield pointer_to(error.instance_path), f"is not of the published form: {_words(keyword, error.kind)}"


def _words(keyword: str, kind: object) -> str:
    match keyword:
        case "required":
            return f"{getattr(kind, 'property', 'a member')!r} is missing"
        case "oneOf":
            return "exactly one of body, body_base64 and body_pieces says what is sent"
        case _:
            return f"it breaks the keyword {keyword}"
