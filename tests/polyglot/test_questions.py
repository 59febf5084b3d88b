"""The questions leave nothing out, and a wrong answer is found."""

import json

import pytest

from tests.polyglot.engines import Answer, Engine, Found
from tests.polyglot.questions import CONTRACTS, Fault, Instance

TOO_LONG, NONE_OF = Fault("/email", "maxLength"), Fault("/to", "anyOf")


def contracts():
    return json.loads((CONTRACTS / "index.json").read_text())["contracts"]


def in_force():
    files = {entry[member] for entry in contracts() for member in ("schema", "writer_schema")}
    names = [f"{entry['name']}/{entry['major']}" for entry in contracts()]
    return files | {f"{name} {side} bundle" for name in names for side in ("reader", "writer")}


def test_every_schema_and_every_bundle_is_asked_about(asked):
    files = {str(path.relative_to(CONTRACTS)) for path in CONTRACTS.rglob("*schema.json")}
    vectors = {str(path.relative_to(CONTRACTS)) for path in CONTRACTS.rglob("vectors/*/*.json")}

    assert {question.name for question in asked} == (files - vectors) | in_force()


def test_each_schema_in_force_is_asked_about_bodies_that_it_takes_and_that_it_refuses(asked):
    both = {
        question.name
        for question in asked
        if {instance.expected is None for instance in question.instances} == {True, False}
    }

    assert both == in_force()


def test_readers_are_expected_to_take_each_valid_vector(asked):
    refused = [
        (question.name, instance.vector)
        for question in asked
        if question.name.endswith("/schema.json") or "reader" in question.name
        for instance in question.instances
        if "/valid/" in instance.vector and instance.expected is not None
    ]

    assert refused == []


@pytest.mark.parametrize(
    ("expected", "answer", "agrees"),
    [
        (None, Answer(valid=True), True),
        (None, Answer(valid=False, faults=(Found("/email", "maxLength"),)), False),
        (TOO_LONG, Answer(valid=True), False),
        (TOO_LONG, Answer(valid=False), False),
        (
            TOO_LONG,
            Answer(valid=False, faults=(Found("/email", "pattern"), Found("/email", "maxLength"))),
            True,
        ),
        (TOO_LONG, Answer(valid=False, faults=(Found("", "maxLength"),)), False),
        (TOO_LONG, Answer(valid=False, faults=(Found("/email", "pattern"),)), False),
        (TOO_LONG, Answer(valid=False, faults=(Found("/email", "pattern", ("maxLength",)),)), False),
        (TOO_LONG, Answer(valid=False, faults=(Found(None, "maxLength"),)), True),
        (
            NONE_OF,
            Answer(valid=False, faults=(Found("/to/0", "required", ("anyOf", "0", "required")),)),
            True,
        ),
        (NONE_OF, Answer(valid=False, faults=(Found("/to/0", "required", ("required",)),)), False),
        (NONE_OF, Answer(valid=False, faults=(Found("/tools", "enum", ("anyOf", "0", "enum")),)), False),
    ],
)
def test_an_answer_agrees_if_its_verdict_does_and_the_expected_fault_is_among_its_own(
    expected, answer, agrees
):
    assert answer.agrees(Instance("vector", "{}", expected)) is agrees


def test_a_schema_that_an_engine_does_not_compile_is_a_difference(asked):
    engine = Engine("an engine", "1", ("bad escape",))

    assert engine.differences(asked[0], engine.answers[0]) == [
        f"{asked[0].name} does not compile: bad escape"
    ]
