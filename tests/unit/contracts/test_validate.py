"""The engine that decides and the engine that explains agree; and the texts of explanations."""

import copy

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailpact.contracts import catalogue
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.validate import Validator

atoms = st.sampled_from(
    [*"aZ09.@-_+ <>,;:\"'()[]\\\t\n\r\x00\x7fé\u2028", "example", ".org", "@example.org", "xn--"]
)
addresses = st.lists(atoms, max_size=12).map("".join) | st.integers(1, 70).map(
    lambda n: "a" * n + "@example.org"
)
domains = st.lists(st.integers(1, 64), min_size=1, max_size=5).map(lambda ns: ".".join("b" * n for n in ns))
strings = (
    addresses | domains.map("a@{}".format) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | strings
)
members = scalars | st.lists(scalars, max_size=2) | st.dictionaries(strings, scalars, max_size=2)
documents = st.dictionaries(st.sampled_from(["email", "message", "Email", "x/y~z", ""]), members) | members
documents |= st.fixed_dictionaries({"email": strings, "message": strings})

SCHEMAS = [catalogue.load().contract("email/1").schema, catalogue.load().contract("email/1").writer_schema]
REFERENCES = [jsonschema.Draft202012Validator(schema) for schema in SCHEMAS]
ENGINES = [jsonschema_rs.Draft202012Validator(schema) for schema in SCHEMAS]
VALIDATORS = [Validator(schema) for schema in SCHEMAS]


@given(documents)
def test_both_engines_give_the_same_verdict(document):
    for validator, reference in zip(VALIDATORS, REFERENCES, strict=True):
        assert (validator.check(document) is None) == reference.is_valid(document)


@given(documents)
def test_explanation_names_a_rule_that_the_deciding_engine_lists_too(document):
    for validator, engine in zip(VALIDATORS, ENGINES, strict=True):
        refusal = validator.check(document)
        assume(refusal is not None)

        listed = {(tuple(error.instance_path), error.kind.name) for error in engine.iter_errors(document)}
        assert (tuple(refusal.pointer.split("/")[1:]), refusal.keyword) in listed


CONTRACTS = catalogue.load().contracts
ALL = {name: (contract, Validator(contract.schema)) for name, contract in CONTRACTS.items()}
# A new value each time: a list that is inserted twice could contain itself, which JSON cannot.
junk = st.sampled_from(
    [None, True, 0, -1, 10**6, 0.5, "", " ", "a\n", "a" * 300, [], {}, ["a"], {"a": 1}]
).map(copy.deepcopy)


@st.composite
def damaged(draw):
    """Return an example of some contract with one or two members replaced, at any depth."""
    name = draw(st.sampled_from(sorted(ALL)))
    document = copy.deepcopy(draw(st.sampled_from(ALL[name][0].schema["examples"])))
    for _ in range(draw(st.integers(1, 2))):
        place = document
        while place and draw(st.booleans()):
            inner = [value for value in (place.values() if isinstance(place, dict) else place) if value]
            place = next((value for value in inner if isinstance(value, dict | list)), {})
        if isinstance(place, dict):
            place[draw(st.sampled_from([*place, "new", "bad\n"]))] = draw(junk | strings)
        elif place:
            place[0] = draw(junk)
    return name, document


@given(damaged())
def test_engines_agree_about_damaged_examples_of_every_contract(drawn):
    name, document = drawn
    contract, validator = ALL[name]

    refused = validator.check(document)
    reference = jsonschema.Draft202012Validator(contract.schema)
    listed = {
        ("/".join(map(str, ["", *error.instance_path])), error.kind.name)
        for error in jsonschema_rs.Draft202012Validator(contract.schema).iter_errors(document)
    }
    assert (refused is None) == reference.is_valid(document)
    assert refused is None or (refused.pointer, refused.keyword) in listed


@given(addresses | domains.map("a@{}".format))
def test_address_is_the_same_in_every_contract(address):
    email_2, status = (ALL[name][0].schema["$defs"]["address"] for name in ("email/2", "email-status/1"))
    email_1 = ALL["email/1"][0].schema["properties"]["email"]

    verdicts = {jsonschema_rs.is_valid(schema, address) for schema in (email_1, email_2, status)}
    assert len(verdicts) == 1


def refusal(pointer, keyword, detail):
    return Refusal(ErrorCode.SCHEMA, pointer=pointer, keyword=keyword, detail=detail)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, refusal("", "required", "has no email and no message")),
        ({"email": 5}, refusal("", "required", "has no message")),
        (None, refusal("", "type", "is not of type object")),
        ({"email": "a@", "message": 5}, refusal("/email", "minLength", "has fewer than 3 characters")),
        ({"email": "a" * 255, "message": ""}, refusal("/email", "maxLength", "has more than 254 characters")),
        (
            {"email": "ann b@x.org", "message": "m"},
            refusal("/email", "pattern", "does not match the pattern"),
        ),
        (
            {"email": "a@x.org\n", "message": "m"},
            refusal("/email", "not", "has a form that the contract refuses"),
        ),
    ],
)
def test_refusal_names_the_first_broken_rule_in_the_order_of_the_schema(document, expected):
    assert VALIDATORS[0].check(document) == expected


def test_unknown_member_is_not_named_to_writers():
    secret = {"email": "a@example.org", "message": "m", "ann@example.org": 1}

    assert VALIDATORS[1].check(secret) == refusal(
        "", "additionalProperties", "has a member that the contract does not name"
    )


def test_pointer_is_escaped_as_rfc_6901_says():
    validator = Validator({"properties": {"a/b~c": {"items": {"enum": [1]}}}})

    assert validator.check({"a/b~c": [1, 2]}) == refusal("/a~1b~0c/1", "enum", "is none of: 1")


def test_deciding_engine_explains_where_the_reference_finds_nothing():
    validator = Validator({"type": "string", "pattern": "^a$"})

    assert validator.check("a\n") == refusal("", "pattern", "breaks the keyword pattern")


def test_format_decides_nothing():
    assert Validator({"type": "string", "format": "email"}).check("no address") is None


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"type": 5}, "anyOf"),
        ({"pattern": "("}, "regex"),
        ({"$ref": "#/nowhere"}, "nowhere"),
        ({"$ref": "urn:mailpact:elsewhere"}, "elsewhere"),
    ],
)
def test_schema_that_is_none_is_refused_at_once(schema, fault):
    with pytest.raises(ValueError, match=fault):
        Validator(schema)
