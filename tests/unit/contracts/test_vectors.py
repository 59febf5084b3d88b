"""Every vector of email/1, held against parse and validate and against the rules as its README words them."""

import re
from typing import Any

import jsonschema_rs
import pytest

from mailpact.contracts.catalogue import Binding, Contract
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator

CODES = list(ErrorCode)[: list(ErrorCode).index(ErrorCode.UNSUPPORTED_VERSION) + 1]


def judged(body: bytes, contract: Contract, schema: dict[str, Any]) -> Refusal | None:
    limits = contract.binding.limits
    value = parse(body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)
    return value if isinstance(value, Refusal) else Validator(schema).check(value)


def refused_with(refusal: Refusal | None) -> dict[str, str] | None:
    if refusal is None:
        return None
    if refusal.code is not ErrorCode.SCHEMA:
        return {"code": refusal.code}
    return {"code": refusal.code, "pointer": refusal.pointer, "keyword": refusal.keyword}


def subject_by_the_rules(message: str) -> str:
    for line in re.split("\r\n|\n|\r", message):
        if trimmed := re.sub("[\x00-\x1f\x7f-\x9f]", " ", line).strip(" "):
            return trimmed[:200].rstrip(" ")
    return "(no subject)"


def refused_by_its_properties(document: dict[str, Any], binding: Binding) -> str | None:
    properties = document.get("properties", {})
    media_type = (document.get("content_type", "application/json") or "").split(";")[0].strip(" \t").lower()
    encoding = properties.get("content_encoding", "").lower()
    if media_type not in (*binding.content_types, "" if binding.content_type_optional else None):
        return "unsupported_content_type"
    if encoding not in (*binding.content_encodings, "" if binding.content_encoding_optional else None):
        return "unsupported_content_encoding"
    if properties.get("type", "") not in (binding.type, "" if binding.type_optional else None):
        return "unsupported_version"
    return None


def test_properties_of_each_vector_decide_as_the_binding_and_the_readme_say(vector, email_1):
    decided = refused_by_its_properties(vector.document, email_1.binding)

    code = vector.document.get("error", {}).get("code", "")
    assert decided == (code if code.startswith("unsupported_") else None)


def test_reader_takes_each_valid_vector(valid, email_1):
    assert judged(valid.body, email_1, email_1.schema) is None


def test_writer_schema_takes_each_valid_vector_but_those_that_say_otherwise(valid, email_1):
    refusal = judged(valid.body, email_1, email_1.writer_schema)

    assert refused_with(refusal) == valid.document.get("writer_error")


def test_each_invalid_body_is_refused_with_its_code_pointer_and_keyword(invalid_body, email_1):
    assert refused_with(judged(invalid_body.body, email_1, email_1.schema)) == invalid_body.document["error"]


def test_writer_schema_takes_nothing_that_readers_refuse(invalid_body, email_1):
    assert judged(invalid_body.body, email_1, email_1.writer_schema) is not None


def test_mail_of_each_valid_vector_follows_from_the_written_rules(valid):
    sent = parse(valid.body, max_bytes=65536, max_depth=32)

    mail = {"to": sent["email"], "subject": subject_by_the_rules(sent["message"]), "text": sent["message"]}
    assert mail == valid.document["mail"]


def test_no_explanation_shows_what_the_message_holds(invalid_body, email_1):
    refusal = judged(invalid_body.body, email_1, email_1.schema)

    shown = f"{refusal.detail} {refusal.pointer}" if refusal else ""
    assert [held for held in ("@", "example", "Hello", "RCPT", "Bcc") if held in shown] == []


def test_each_vector_has_only_the_members_that_the_readme_names(vector):
    named = {"description", "rule", "content_type", "properties"}
    bodies = {"body", "body_base64", "body_pieces"}
    outcome = {"mail", "writer_error"} if vector.name.startswith("valid/") else {"error"}

    assert set(vector.document) <= named | bodies | outcome
    assert len(set(vector.document) & bodies) == 1
    assert vector.document["description"].endswith(".")


def test_rules_of_the_readme_are_the_rules_of_the_vectors(vectors, published):
    readme = (published / "email/1/README.md").read_text(encoding="utf-8")

    first_columns = re.findall(r"^\| (`.*?) \|", readme, re.MULTILINE)
    steps = re.findall(r"^\d\. (`.*?`)", readme, re.MULTILINE)
    headings = re.findall(r"^## .*\((`.*`)\)$", readme, re.MULTILINE)
    rules = set(re.findall(r"`(.+?)`", " ".join(first_columns + steps + headings)))
    assert rules == {vector.rule for vector in vectors}


@pytest.mark.parametrize("code", CODES)
def test_each_code_that_an_arriving_message_can_earn_has_a_vector(code, vectors):
    assert [vector for vector in vectors if vector.document.get("error", {}).get("code") == code]


@pytest.mark.parametrize("schema_name", ["schema", "writer_schema"])
def test_each_keyword_of_each_schema_has_a_vector_that_fails_on_it(schema_name, email_1, vectors):
    schema = getattr(email_1, schema_name)
    engine = jsonschema_rs.Draft202012Validator(schema)

    values = [parse(vector.body, max_bytes=65536, max_depth=32) for vector in vectors]
    errors = [error for v in values if not isinstance(v, Refusal) for error in engine.iter_errors(v)]
    failing = {tuple(error.schema_path) for error in errors}
    assert set(assertions(schema)) - failing == set()


@pytest.mark.parametrize("branch", [0, 1])
def test_each_form_that_the_address_must_not_have_has_a_vector_of_its_own(branch, email_1, vectors):
    refused_form = email_1.schema["properties"]["email"]["not"]["anyOf"][branch]
    engine = jsonschema_rs.Draft202012Validator({"type": "string"} | refused_form)

    addresses = [
        parse(vector.body, max_bytes=65536, max_depth=32) for vector in vectors if vector.rule == "address"
    ]
    assert [address for address in addresses if engine.is_valid(address["email"])]


ANNOTATIONS = {"$schema", "$id", "$comment", "title", "description", "examples"}


def assertions(schema, path=()):
    """Yield the path of each keyword that can refuse something; a `not` is one keyword with what it holds."""
    for keyword, demand in schema.items():
        if keyword == "properties":
            for name, member in demand.items():
                yield from assertions(member, (*path, keyword, name))
        elif keyword not in ANNOTATIONS:
            yield (*path, keyword)
