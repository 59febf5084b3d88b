"""The bundled schema is self-contained, whatever other schemas the published one refers to."""

import json

import jsonschema_rs
import pytest

from mailpact.contracts import catalogue
from mailpact_contract_tool.publish.bundle import Template, UnresolvedReference, bundled
from mailpact_contract_tool.publish.described import describe
from mailpact_contract_tool.publish.writing import read_published

ADDRESS = {"$id": "urn:mailpact:contract:address:1", "type": "string", "minLength": 3}
PEOPLE = {
    "$id": "urn:mailpact:contract:people:1",
    "$defs": {"one": {"type": "object", "properties": {"to": {"$ref": ADDRESS["$id"]}}}},
    "type": "array",
    "items": {"$ref": "#/$defs/one"},
}
LIBRARY = {schema["$id"]: schema for schema in (ADDRESS, PEOPLE)}
CATALOGUE = catalogue.load()


@pytest.fixture(scope="module")
def described():
    """Return the published contracts by their names."""
    return {contract.name: contract for contract in describe(CATALOGUE, read_published(CATALOGUE.root))}


@pytest.fixture(params=sorted(CATALOGUE.contracts))
def contract(request, described):
    """Return each published contract."""
    return described[request.param]


def accepts(schema, value):
    return jsonschema_rs.Draft202012Validator(schema, offline=True).is_valid(value)


def bodies(contract, folder):
    """Return the vectors of a folder whose body is a text, parsed, with what they say of it."""
    for path, data in contract.files.items():
        vector = json.loads(data) if path.startswith(f"vectors/{folder}/") else {}
        pieces = vector.get("body_pieces", [])
        text = vector.get("body") or "".join(piece["text"] * piece["times"] for piece in pieces)
        error = vector.get("error", {"code": "schema", "keyword": "any"})
        if text and (error["code"], bool(error.get("keyword"))) == ("schema", True):
            yield path, json.loads(text)


def references(value):
    if isinstance(value, list):
        return [found for child in value for found in references(child)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [found for child in value.values() for found in references(child)]


def test_what_stands_in_other_files_is_carried_along():
    whole = bundled({"type": "object", "properties": {"who": {"$ref": PEOPLE["$id"]}}}, LIBRARY)

    assert accepts(whole, {"who": [{"to": "a@b"}]})
    assert not accepts(whole, {"who": [{"to": "a"}]})
    assert {reference[:8] for reference in references(whole)} == {"#/$defs/"}


def test_a_reference_may_name_a_part_of_another_file():
    whole = bundled({"$ref": f"{PEOPLE['$id']}#/$defs/one"}, LIBRARY)

    assert accepts(whole, {"to": "abc"})
    assert not accepts(whole, {"to": "a"})


def test_a_schema_may_point_at_itself_by_its_name():
    tree = {"$id": "urn:mailpact:contract:tree:1", "type": "array"}
    tree["items"] = {"$ref": tree["$id"]}
    whole = bundled({"$ref": tree["$id"]}, {tree["$id"]: tree})

    assert accepts(whole, [[[]]])
    assert not accepts(whole, [[1]])


@pytest.mark.parametrize("reference", ["urn:mailpact:contract:nobody:1", "#/$defs/nothing", "other.json"])
def test_a_reference_that_leads_nowhere_is_named(reference):
    with pytest.raises(UnresolvedReference, match=r"the title.*refers to nothing") as caught:
        bundled({"title": "the title", "$ref": reference}, LIBRARY)

    assert repr(reference) in str(caught.value)


def test_what_only_looks_like_a_reference_is_data():
    schema = {"const": {"$ref": "nowhere"}, "examples": [{"$ref": "nowhere"}]}

    assert bundled(schema, {}) == schema


def test_templates_that_we_know_are_checked_and_others_are_not():
    schema = {"type": "object", "properties": {"template": {"type": "object"}}}
    name = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    whole = bundled(schema, {}, (Template("welcome", 1, name),))

    def message(template, data):
        return {"template": {"name": template, "version": 1, "data": data}}

    assert accepts(whole, message("welcome", {"name": "Ada"}))
    assert not accepts(whole, message("welcome", {}))
    assert accepts(whole, message("theirs", {}))
    assert accepts(whole, {})


@pytest.mark.parametrize("side", ["reader", "writer"])
def test_each_published_schema_stands_alone_and_takes_its_own_examples(contract, side):
    schema = contract.schemas[side]

    assert all(reference.startswith("#") for reference in references(schema))
    assert all(accepts(schema, example) for example in schema.get("examples", []))


def test_each_bundled_schema_takes_and_refuses_what_the_vectors_say(contract):
    validator = jsonschema_rs.Draft202012Validator(contract.schemas["reader"], offline=True)

    assert [path for path, body in bodies(contract, "valid") if not validator.is_valid(body)] == []
    assert [path for path, body in bodies(contract, "invalid") if validator.is_valid(body)] == []
    assert [path for path, body in bodies(contract, "refused") if validator.is_valid(body)] == []
