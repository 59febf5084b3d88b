"""Every vector of every contract, held against parse and validate and against what the READMEs say."""

import re
from typing import Any

import jsonschema_rs
import pytest

from mailpact.contracts.catalogue import Binding
from mailpact.contracts.errors import ErrorCode, Refusal

CODES_OF_A_BODY = list(ErrorCode)[: list(ErrorCode).index(ErrorCode.SCHEMA) + 1]
CODES_OF_PROPERTIES = [code for code in ErrorCode if code.startswith("unsupported_")]
SIDES = ("schema", "writer_schema")


def refused_with(refusal: Refusal | None) -> dict[str, str] | None:
    if refusal is None:
        return None
    if refusal.code is not ErrorCode.SCHEMA:
        return {"code": refusal.code}
    return {"code": refusal.code, "pointer": refusal.pointer, "keyword": refusal.keyword}


def refused_by_its_properties(document: dict[str, Any], binding: Binding) -> str | None:
    properties = document.get("properties", {})
    media_type = (document.get("content_type", "application/json") or "").split(";")[0].strip(" \t").lower()
    encoding = properties.get("content_encoding", "").lower()
    if properties.get("type", "") not in (binding.type, "" if binding.type_optional else None):
        return "unsupported_version"
    if media_type not in (*binding.content_types, "" if binding.content_type_optional else None):
        return "unsupported_content_type"
    if encoding not in (*binding.content_encodings, "" if binding.content_encoding_optional else None):
        return "unsupported_content_encoding"
    return None


def test_reader_takes_each_valid_vector(valid, judged):
    assert judged(valid) is None


def test_writer_schema_takes_each_valid_vector_but_those_that_say_otherwise(valid, judged):
    assert refused_with(judged(valid, "writer_schema")) == valid.document.get("writer_error")


def test_each_invalid_body_is_refused_with_its_code_pointer_and_keyword(invalid_body, judged):
    assert refused_with(judged(invalid_body)) == invalid_body.document["error"]


def test_writer_schema_takes_nothing_that_readers_refuse(invalid_body, judged):
    assert judged(invalid_body, "writer_schema") is not None


def test_body_that_is_refused_for_another_reason_obeys_the_schemas(refused, judged):
    assert [judged(refused, side) for side in SIDES] == [None, None]


def test_no_explanation_shows_what_the_message_holds(invalid_body, judged):
    refusal = judged(invalid_body)

    shown = f"{refusal.detail} {refusal.pointer}" if refusal else ""
    assert [held for held in ("@", "example", "Hello", "RCPT", "Bcc") if held in shown] == []


def test_properties_of_each_vector_decide_as_the_binding_says(vector, contracts):
    binding = contracts.contract(vector.contract).binding
    if binding is None:
        assert {"properties", "content_type"} & set(vector.document) == set()
        return

    code = vector.document.get("error", {}).get("code", "")
    decided = refused_by_its_properties(vector.document, binding)
    assert decided == (code if code.startswith("unsupported_") else None)


def test_routing_key_of_a_vector_is_the_one_that_the_binding_makes_of_its_body(routed, contracts, parsed):
    template = contracts.contract(routed.contract).wire.routing_key
    body = parsed(routed)

    key = re.sub(r"\{/(\w+)\}", lambda member: body[member[1]].lower(), template)
    assert key == routed.document["routing_key"]


def test_each_vector_has_only_the_members_that_the_readme_names(vector):
    named = {"description", "rule", "content_type", "properties"}
    bodies = {"body", "body_base64", "body_pieces"}
    outcomes = {
        "valid": {"mail", "meaning", "writer_error", "routing_key"},
        "invalid": {"error"},
        "refused": {"error", "given"},
    }

    assert set(vector.document) <= named | bodies | outcomes[vector.kind]
    assert len(set(vector.document) & bodies) == 1
    assert vector.kind != "valid" or len(set(vector.document) & {"mail", "meaning"}) == 1
    assert vector.document["description"][-1] in ".?"


def test_rules_of_the_readme_are_the_rules_of_the_vectors(contract_name, vectors, published):
    readme = (published / contract_name / "README.md").read_text(encoding="utf-8")

    first_columns = re.findall(r"^\| (`.*?) \|", readme, re.MULTILINE)
    steps = re.findall(r"^\d\. (`.*?`)", readme, re.MULTILINE)
    headings = re.findall(r"^## .*\((`.*`)\)$", readme, re.MULTILINE)
    rules = set(re.findall(r"`(.+?)`", " ".join(first_columns + steps + headings)))
    assert rules == {vector.rule for vector in vectors if vector.contract == contract_name}


def test_each_code_that_an_arriving_message_can_earn_has_a_vector(contract_name, vectors, contracts):
    earned = CODES_OF_A_BODY + (CODES_OF_PROPERTIES if contracts.contract(contract_name).binding else [])
    shown = {
        v.document["error"]["code"] for v in vectors if (v.contract, v.kind) == (contract_name, "invalid")
    }

    assert shown == set(earned)


@pytest.mark.parametrize("side", SIDES)
def test_each_keyword_of_each_schema_has_a_vector_that_fails_on_it(
    contract_name, side, vectors, contracts, parsed
):
    schema = getattr(contracts.contract(contract_name), side)

    failing = {location for location, _ in errors_of(contract_name, schema, vectors, parsed)}
    assert set(assertions(schema)) - failing == set()


@pytest.mark.parametrize("side", SIDES)
def test_each_form_that_a_schema_refuses_has_a_vector_of_its_own(
    contract_name, side, vectors, contracts, parsed
):
    schema = getattr(contracts.contract(contract_name), side)
    nots = {path: at(schema, path) for path in assertions(schema) if path[-1] == "not"}
    refused = [
        (path, value) for path, value in errors_of(contract_name, schema, vectors, parsed) if path in nots
    ]

    for path, demand in nots.items():
        values = [value for where, value in refused if where == path]
        for form in demand.get("anyOf", [{}]):
            engine = jsonschema_rs.Draft202012Validator({"allOf": [demand, form]})
            assert [value for value in values if engine.is_valid(value)], (path, form)


def errors_of(contract_name, schema, vectors, parsed):
    """Return the path of each keyword that some vector fails on, branches included, with the value at fault."""
    engine = jsonschema_rs.Draft202012Validator(schema)
    values = [parsed(vector) for vector in vectors if vector.contract == contract_name]
    errors = [error for v in values if not isinstance(v, Refusal) for error in engine.iter_errors(v)]
    while errors:
        error = errors.pop()
        yield tuple(error.schema_path), error.instance
        for branch in getattr(error.kind, "context", []):
            errors += branch
        if error.kind.name == "propertyNames":
            errors.append(error.kind.error)


def at(schema, path):
    for step in path:
        schema = schema[step]
    return schema


ANNOTATIONS = {"$schema", "$id", "$comment", "$ref", "title", "description", "examples"}


def assertions(schema, path=()):
    """Yield the path of each keyword that can refuse something; a `not` is one keyword with what it holds."""
    if not isinstance(schema, dict):
        return
    for keyword, demand in schema.items():
        match keyword, demand:
            case ("properties" | "$defs", _):
                for name, member in demand.items():
                    yield from assertions(member, (*path, keyword, name))
            case ("items" | "additionalProperties", dict()):
                yield from assertions(demand, (*path, keyword))
            case ("propertyNames", _):
                names = {word: rule for word, rule in demand.items() if word != "type"}  # a name is a string
                yield from assertions(names, (*path, keyword))
            case ("anyOf", _):
                yield (*path, keyword)
                for number, branch in enumerate(demand):
                    yield from assertions(branch, (*path, keyword, number))
            case _ if keyword not in ANNOTATIONS and demand is not True:
                yield (*path, keyword)
