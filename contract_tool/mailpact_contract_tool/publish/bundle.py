"""Makes a self-contained schema of a contract: schemas of other files that it refers to are copied into `$defs`.

A team can use the file with any validator: the validator loads no other file, and every `$ref` begins with `#`. The
schemas of Mailpact's own templates are included too, so that the data of a message that names such a template are
checked; the consumer does this in a second step. Data of other templates are checked by the consumer only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailpact.contracts.errors import CatalogueError
from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact_contract_tool.folder.documents import array_at, object_at, unescaped
from mailpact_contract_tool.lint.subschemas import LISTED_SCHEMAS, NAMED_SCHEMAS, ONE_SCHEMA

_OF_A_WHOLE_FILE = frozenset({"$id", "$schema", "examples"})


class UnresolvedReference(CatalogueError):
    """A schema refers to something that no contract publishes."""

    def __init__(self, where: str, reference: str) -> None:
        super().__init__(
            f"{where}: the $ref {reference!r} refers to nothing. Point at a $id that is published."
        )


@dataclass(frozen=True, slots=True)
class Template:
    """The schema for `template.data` in a message that names this template."""

    name: str
    version: int
    schema: JsonObject


def bundled(
    schema: JsonObject, library: Mapping[str, JsonObject], templates: tuple[Template, ...] = ()
) -> JsonObject:
    """Return `schema` with all schemas of `library` (by `$id`) that it refers to; raise UnresolvedReference."""
    collected = _Collected(library)
    whole = collected.localized(schema, name=str(schema.get("title", schema.get("$id", "schema"))), home="#")
    if templates and "template" in object_at(schema, "properties"):
        rules = [_rule(template, collected) for template in templates]
        whole["allOf"] = [*array_at(whole, "allOf"), *rules]
    if "$id" in whole:
        whole["$id"] = f"{whole['$id']}:bundled"
    definitions = {**object_at(whole, "$defs"), **collected.definitions}
    whole.pop("$defs", None)
    return {**whole, "$defs": definitions} if definitions else whole


def with_references(schema: JsonObject, change: Callable[[str], str]) -> JsonObject:
    """Return a copy of `schema` with each `$ref` changed. A `$ref` in an example, or as a member's name, stays."""
    return {keyword: _changed(keyword, value, change) for keyword, value in schema.items()}


def _changed(keyword: str, value: JsonValue, change: Callable[[str], str]) -> JsonValue:
    match value:
        case str() if keyword == "$ref":
            return change(value)
        case dict() if keyword in NAMED_SCHEMAS:
            return {name: _schema(child, change) for name, child in value.items()}
        case dict() if keyword in ONE_SCHEMA:
            return with_references(value, change)
        case list() if keyword in LISTED_SCHEMAS:
            return [_schema(child, change) for child in value]
        case _:
            return value


def _schema(value: JsonValue, change: Callable[[str], str]) -> JsonValue:
    return with_references(value, change) if isinstance(value, dict) else value


@dataclass(slots=True)
class _Collected:
    """The schemas that were referred to so far, by their names in `$defs`."""

    library: Mapping[str, JsonObject]
    definitions: JsonObject = field(default_factory=dict)

    def localized(self, schema: JsonObject, *, name: str, home: str) -> JsonObject:
        """Return a copy of a schema for the place `home`, with references that start at the top of the file."""

        def change(reference: str) -> str:
            base, _, fragment = reference.partition("#")
            if base not in ("", schema.get("$id")):
                return self._place(base, where=name) + fragment
            if _at(schema, fragment) is None:
                raise UnresolvedReference(name, reference)
            return home + fragment

        return with_references(schema, change)

    def _place(self, identifier: str, *, where: str) -> str:
        """Return the reference of a published schema's copy; the copy is made at the first reference."""
        if identifier not in self.library:
            raise UnresolvedReference(where, identifier)
        return self.keep(key(identifier), self.library[identifier])

    def keep(self, name: str, schema: JsonObject) -> str:
        home = f"#/$defs/{name}"
        if name not in self.definitions:
            self.definitions[name] = None  # two schemas can refer to each other
            copy = self.localized(schema, name=name, home=home)
            self.definitions[name] = {
                word: value for word, value in copy.items() if word not in _OF_A_WHOLE_FILE
            }
        return home


def key(identifier: str) -> str:
    """Return a `$id`, or a contract's name, as a name that needs no escapes in a JSON Pointer or a file name."""
    return identifier.removeprefix("urn:mailpact:contract:").replace("/", "-").replace(":", "-")


def _rule(template: Template, collected: _Collected) -> JsonObject:
    place = collected.keep(key(f"template/{template.name}/{template.version}"), template.schema)
    chosen: JsonObject = {"name": {"const": template.name}, "version": {"const": template.version}}
    return {
        "if": _about_template({"type": "object", "required": ["name", "version"], "properties": chosen}),
        "then": _about_template({"type": "object", "properties": {"data": {"$ref": place}}}),
    }


def _about_template(schema: JsonObject) -> JsonObject:
    return {"type": "object", "required": ["template"], "properties": {"template": schema}}


def _at(schema: JsonValue, fragment: str) -> JsonValue:
    """Return the value at a JSON Pointer through objects; None if there is no value."""
    for step in fragment.split("/")[1:]:
        if not isinstance(schema, dict):
            return None
        schema = schema.get(unescaped(step))
    return schema
