"""Changes outside the body's schema: bindings, topology and error codes."""

import copy

import pytest

from mailpact.contracts import catalogue
from mailpact_contract_tool.check.reading import compare_documents, read_document
from mailpact_contract_tool.check.topology import compare_topologies, unreachable
from mailpact_contract_tool.check.wire import compare_bindings, sent_and_taken
from mailpact_contract_tool.compare.verdict import Verdict

FOLDER = catalogue.installed_folder()


def document(path):
    return read_document({path: (FOLDER / path).read_bytes()}, path)


BINDING = document("email/1/binding.json")
TOPOLOGY = document("topology.json")


def changed(original, *path, to):
    """Return a copy with another value at one place; None removes the place."""
    other = copy.deepcopy(original)
    at = other
    for step in path[:-1]:
        at = at[step]
    if to is None:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return other


@pytest.mark.parametrize(
    ("path", "value", "rule", "backward", "forward"),
    [
        (["exchange"], "mail", "EXCHANGE_CHANGED", {"exchange": "email"}, {"exchange": "mail"}),
        (["type"], "email.v9", "MESSAGE_TYPE_CHANGED", {"type": "email.v1"}, {"type": "email.v9"}),
        (["readers", "routing_keys"], [""], "ROUTING_KEY_REMOVED", {"routing_key": "email"}, None),
        (
            ["readers", "content_types"],
            ["application/json"],
            "CONTENT_TYPE_REMOVED",
            {"content_type": "text/plain"},
            None,
        ),
        (["readers", "type_optional"], False, "AMQP_PROPERTY_REQUIRED_ADDED", {"type": None}, None),
        (["limits", "max_body_bytes"], 1000, "MAX_BODY_BYTES_DECREASED", {"body_bytes": 65536}, None),
        (["limits", "max_depth"], 64, "MAX_DEPTH_INCREASED", None, {"depth": 64}),
        (["properties", 4, "writers"], "required", "AMQP_PROPERTY_REQUIRED_ADDED", {"timestamp": None}, None),
        (["properties", 2, "pattern"], "^[0-9a-f-]{36}$", "AMQP_PROPERTY_CHANGED", ..., ...),
    ],
)
def test_change_of_a_binding_is_shown_by_what_is_sent(path, value, rule, backward, forward):
    (change,) = compare_bindings(BINDING, changed(BINDING, *path, to=value))

    assert change.rule == rule
    for verdict, witness, expected in (
        (change.backward, change.to_json()["witness_backward"], backward),
        (change.forward, change.to_json()["witness_forward"], forward),
    ):
        assert verdict == (Verdict.COMPATIBLE if expected is None else Verdict.BREAKING)
        assert expected is ... or witness == expected


def test_key_that_readers_took_already_may_be_written():
    new = changed(BINDING, "writers", "routing_key", to="email")

    assert [change.backward for change in compare_bindings(BINDING, new)] == [Verdict.COMPATIBLE]
    assert sent_and_taken(BINDING, new) == sent_and_taken(new, BINDING) == []


def test_readers_that_take_more_do_not_trouble_old_writers():
    new = changed(
        BINDING, "readers", "content_types", to=["application/json", "text/plain", "application/cbor"]
    )

    assert sent_and_taken(BINDING, new) == sent_and_taken(new, BINDING) == []


def test_binding_is_the_same_as_itself():
    assert compare_bindings(BINDING, BINDING) == []


@pytest.mark.parametrize("kind", ["exchanges", "queues", "bindings"])
def test_what_goes_from_the_topology_breaks_and_what_comes_does_not(kind):
    less = changed(TOPOLOGY, kind, 0, to=None)

    assert {change.backward for change in compare_topologies(TOPOLOGY, less)} == {Verdict.BREAKING}
    assert {change.rule for change in compare_topologies(less, TOPOLOGY)} == {"TOPOLOGY_ADDED"}


def test_words_for_people_are_no_change_of_the_topology():
    assert compare_topologies(TOPOLOGY, changed(TOPOLOGY, "queues", 0, "purpose", to="other words")) == []


def test_published_writers_must_reach_a_queue():
    assert unreachable(BINDING, TOPOLOGY) == []

    lost = {**TOPOLOGY, "bindings": [row for row in TOPOLOGY["bindings"] if row["exchange"] != "email"]}
    assert [change.rule for change in unreachable(BINDING, lost)] == ["TOPOLOGY_BINDING_REMOVED"]
    assert [change.rule for change in unreachable({**BINDING, "exchange": "gone"}, TOPOLOGY)] == [
        "TOPOLOGY_EXCHANGE_REMOVED"
    ]


def test_error_code_that_goes_breaks_whoever_acts_upon_it():
    errors = document("errors.json")

    (change,) = compare_documents(errors, changed(errors, "errors", 0, to=None), "old", "new").changes
    assert (change.rule, change.backward, change.witness_backward) == (
        "ERROR_CODE_REMOVED",
        Verdict.BREAKING,
        "too_large",
    )


def test_a_content_encoding_may_be_missing_unless_the_binding_says_otherwise() -> None:
    unstated = changed(BINDING, "readers", "content_encoding_optional", to=None)
    demanded = changed(BINDING, "readers", "content_encoding_optional", to=False)

    assert (
        compare_bindings(unstated, changed(unstated, "readers", "content_encoding_optional", to=True)) == []
    )
    assert [change.rule for change in compare_bindings(unstated, demanded)] == [
        "AMQP_PROPERTY_REQUIRED_ADDED"
    ]
