"""RabbitMQ definitions: no secret, no more than the topology, and each user's expressions match only its names."""

import json
import re

import pytest

from mailpact.contracts import catalogue
from mailpact_contract_tool.publish.definitions import USERS, definitions

TOPOLOGY = catalogue.load().topology
DEFINITIONS = definitions(TOPOLOGY, vhost="mail")
NAMES = {row.name for row in (*TOPOLOGY.exchanges, *TOPOLOGY.queues)}


def allowed(user: str, right: str) -> set[str]:
    """Return the names, of the topology and of strangers, that a user's expression matches."""
    (row,) = [row for row in DEFINITIONS["permissions"] if row["user"] == user]
    strangers = {"", "amq.default", "emailx", "xemail", "email-work", "other", "amq.gen-1"}
    return {name for name in NAMES | strangers if re.search(row[right], name)}


def test_definitions_are_the_same_each_time_and_hold_no_secret():
    assert definitions(TOPOLOGY, vhost="mail") == DEFINITIONS
    assert [(user["name"], user["password_hash"], user["tags"]) for user in DEFINITIONS["users"]] == [
        (name, "", []) for name in USERS
    ]


def test_everything_is_in_the_vhost_that_was_asked_for():
    parts = ("permissions", "policies", "exchanges", "queues", "bindings")

    assert {row["vhost"] for part in parts for row in DEFINITIONS[part]} == {"mail"}


def test_topology_is_there_in_its_order():
    assert [row["name"] for row in DEFINITIONS["exchanges"]] == [row.name for row in TOPOLOGY.exchanges]
    assert [row["name"] for row in DEFINITIONS["queues"]] == [row.name for row in TOPOLOGY.queues]
    assert [row["arguments"] for row in DEFINITIONS["queues"]] == [
        dict(row.arguments) for row in TOPOLOGY.queues
    ]
    assert len(DEFINITIONS["bindings"]) == len(TOPOLOGY.bindings)
    json.dumps(DEFINITIONS)


@pytest.mark.parametrize(
    ("right", "names"), [("configure", {"email"}), ("write", {"email", "logs"}), ("read", {""})]
)
def test_producer_has_the_public_exchange_and_reads_nothing(right, names):
    # The empty expression `^$` matches the empty name alone: that is how RabbitMQ writes "nothing".
    assert allowed("mailpact-producer", right) == names


def test_consumer_reads_no_dead_letters_and_no_logs():
    assert allowed("mailpact-consumer", "read") & {"email.dead", "logs.all", "amq.gen-1", "other"} == set()
    assert {"email", "email.work"} <= allowed("mailpact-consumer", "read")


def test_observer_writes_to_its_own_queues_alone():
    assert allowed("mailpact-observer", "write") == {"amq.gen-1"}
    assert allowed("mailpact-observer", "configure") == {"amq.gen-1"}


@pytest.mark.parametrize("right", ["configure", "write", "read"])
def test_operator_has_the_topology_and_nothing_else(right):
    assert allowed("mailpact-operator", right) == NAMES | {"amq.gen-1"}


def test_the_queue_of_log_records_is_bounded_by_a_policy():
    (policy,) = DEFINITIONS["policies"]

    assert {name for name in NAMES if re.search(policy["pattern"], name)} == {"logs.all"}
    assert policy["definition"] == {
        "max-length": 100_000,
        "max-length-bytes": 100_000_000,
        "overflow": "drop-head",
    }
