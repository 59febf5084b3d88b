"""What is asked leaves nothing out, and an answer that is wrong is seen to be wrong."""

import json

import pytest

from tests.polyglot.engines import Answer, Engine
from tests.polyglot.questions import CONTRACTS, Fault, Instance

TOO_LONG = Fault("/email", "maxLength")


def test_every_schema_file_is_asked_about(asked):
    files = {str(path.relative_to(CONTRACTS)) for path in CONTRACTS.rglob("*schema.json")}
    vectors = {str(path.relative_to(CONTRACTS)) for path in CONTRACTS.rglob("vectors/*/*.json")}

    assert {question.schema_file for question in asked} == files - vectors


def test_each_schema_in_force_is_asked_about_bodies_that_it_takes_and_that_it_refuses(asked):
    index = json.loads((CONTRACTS / "index.json").read_text())
    in_force = {entry[member] for entry in index["contracts"] for member in ("schema", "writer_schema")}

    both = {
        question.schema_file
        for question in asked
        if {instance.expected is None for instance in question.instances} == {True, False}
    }
    assert both == in_force


@pytest.mark.parametrize(
    ("expected", "answer", "agrees"),
    [
        (None, Answer(valid=True, faults=frozenset()), True),
        (None, Answer(valid=False, faults=frozenset({TOO_LONG})), False),
        (TOO_LONG, Answer(valid=True, faults=frozenset()), False),
        (TOO_LONG, Answer(valid=False, faults=frozenset({TOO_LONG, Fault("/email", "pattern")})), True),
        (TOO_LONG, Answer(valid=False, faults=frozenset({Fault("", "maxLength")})), False),
        (TOO_LONG, Answer(valid=False, faults=frozenset({Fault("/email", "pattern")})), False),
    ],
)
def test_an_answer_agrees_if_its_verdict_does_and_the_expected_fault_is_among_its_own(
    expected, answer, agrees
):
    assert answer.agrees(Instance("vector", "{}", expected)) is agrees


def test_a_schema_that_an_engine_does_not_compile_is_a_difference(asked):
    engine = Engine("an engine", "1", ("bad escape",))

    assert engine.differences(asked[0], engine.answers[0]) == [
        f"{asked[0].schema_file} does not compile: bad escape"
    ]
