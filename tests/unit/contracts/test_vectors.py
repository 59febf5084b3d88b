"""Every vector of every contract agrees with parse, with validate, and with the READMEs."""

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


def test_reader_takes_each_valid_vector(all_valid, judged):
    assert {vector.name: judged(vector) for vector in all_valid if judged(vector)} == {}


def test_writer_schema_takes_each_valid_vector_but_those_that_say_otherwise(all_valid, judged):
    said = {vector.name: refused_with(judged(vector, "writer_schema")) for vector in all_valid}

    assert said == {vector.name: vector.document.get("writer_error") for vector in all_valid}


def test_each_invalid_body_is_refused_with_its_code_pointer_and_keyword(all_invalid_bodies, judged):
    said = {vector.name: refused_with(judged(vector)) for vector in all_invalid_bodies}

    assert said == {vector.name: vector.document["error"] for vector in all_invalid_bodies}


def test_writer_schema_takes_nothing_that_readers_refuse(all_invalid_bodies, judged):
    assert [each.name for each in all_invalid_bodies if judged(each, "writer_schema") is None] == []


def test_body_that_is_refused_for_another_reason_obeys_the_schemas(all_refused, judged):
    assert [each.name for each in all_refused if any(judged(each, side) for side in SIDES)] == []


def test_no_explanation_shows_what_the_message_holds(all_invalid_bodies, judged):
    for vector in all_invalid_bodies:
        refusal = judged(vector)

        shown = f"{refusal.detail} {refusal.pointer}" if refusal else ""
        found = [held for held in ("@", "example", "Hello", "RCPT", "Bcc") if held in shown]
        assert found == [], vector.name


def test_properties_of_each_vector_decide_as_the_binding_says(all_vectors, contracts):
    for vector in all_vectors:
        binding = contracts.contract(vector.contract).binding
        code = vector.document.get("error", {}).get("code", "")
        expected = code if code.startswith("unsupported_") else None
        if binding is None:
            assert {"properties", "content_type"} & set(vector.document) == set(), vector.name
        else:
            assert refused_by_its_properties(vector.document, binding) == expected, vector.name


def test_routing_key_of_a_vector_is_the_one_that_the_binding_makes_of_its_body(all_routed, contracts, parsed):
    for vector in all_routed:
        template = contracts.contract(vector.contract).wire.routing_key
        body = parsed(vector)

        key = re.sub(r"\{/(\w+)\}", lambda member, body=body: body[member[1]].lower(), template)
        assert key == vector.document["routing_key"], vector.name


def test_each_vector_has_only_the_members_that_the_readme_names(all_vectors):
    named = {"description", "rule", "content_type", "properties"}
    bodies = {"body", "body_base64", "body_pieces"}
    outcomes = {
        "valid": {"mail", "meaning", "writer_error", "routing_key"},
        "invalid": {"error"},
        "refused": {"error", "given"},
    }

    for vector in all_vectors:
        members = set(vector.document)
        assert members <= named | bodies | outcomes[vector.kind], vector.name
        assert len(members & bodies) == 1, vector.name
        assert vector.kind != "valid" or len(members & {"mail", "meaning"}) == 1, vector.name
        assert vector.document["description"][-1] in ".?", vector.name


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
    """Yield the path of each keyword that can refuse something; a `not` with its content is one keyword."""
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
