"""Tells whether a document is a JSON Schema of draft 2020-12, the only draft that is linted and compared."""

from typing import TypeAlias

from mailpact.contracts.parse import JsonObject
from mailpact.contracts.pointer import pointer_to

Schema: TypeAlias = JsonObject | bool
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def metaschema_fault(schema: JsonObject) -> tuple[str, str] | None:
    """Return the pointer and the keyword of the metaschema that a document breaks; None if it is a schema."""
    import jsonschema_rs

    try:
        jsonschema_rs.meta.validate({**schema, "$schema": DRAFT})
    except jsonschema_rs.ValidationError as error:
        return pointer_to(error.instance_path), error.kind.name
    return None
