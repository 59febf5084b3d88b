import pytest
from pamqp.common import FieldTable

from mailpact_devbroker.errors import AmqpError
from mailpact_devbroker.routing import headers_match, topic_matches


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("*", "", False),
        ("", "", True),
        ("", "a", False),
        ("*", ".", False),
        ("*.*", ".", True),
        ("#", "", True),
        ("#", "a.b.c", True),
        ("a.#", "a", True),
        ("a.#.z", "a.b.c.z", True),
        ("a.#.z", "a.z", True),
        ("a.#.z", "a.b", False),
        ("#.*", "a", True),
        ("*.#.*", "a", False),
    ],
)
def test_a_topic_pattern_matches_words(pattern: str, key: str, expected: bool):
    assert topic_matches(pattern, key) is expected


def test_a_hostile_topic_pattern_takes_no_time():
    assert not topic_matches(".".join(["#", "a"] * 60), ".".join(["a"] * 59))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"a": 1}, True),
        ({"a": 1, "b": 3}, False),
        ({"x-match": "any", "a": 1, "b": 3}, True),
        ({"x-match": "any", "b": 3}, False),
        ({"a": None}, True),
        ({"a": True}, False),
        ({}, True),
    ],
)
def test_a_headers_binding_wants_all_or_any(wanted: FieldTable, expected: bool):
    assert headers_match(wanted, {"a": 1, "b": 2}) is expected


@pytest.mark.parametrize(
    ("kind", "key", "reached"),
    [("direct", "k", True), ("direct", "other", False), ("fanout", "other", True), ("topic", "k", True)],
)
def test_an_exchange_chooses_by_its_type(bench, kind: str, key: str, reached: bool):
    queue = bench.queue("q")
    bench.exchange("x", kind)
    bench.bind("q", "x", "k")

    published = bench.publish(b"m", key, "x")

    assert (published.routed, len(queue.ready)) == (int(reached), int(reached))


def test_a_headers_exchange_reads_the_message(bench):
    queue = bench.queue("q")
    bench.bind("q", "amq.headers", "", {"kind": "wanted"})

    bench.publish(b"no", "", "amq.headers", headers={"kind": "other"})
    bench.publish(b"yes", "", "amq.headers", headers={"kind": "wanted"})

    assert bench.ready(queue) == [b"yes"]


def test_a_queue_that_is_bound_twice_gets_one_copy(bench):
    queue = bench.queue("q")
    bench.exchange("x", "fanout")
    bench.bind("q", "x", "a")
    bench.bind("q", "x", "b")

    assert bench.publish(b"m", "", "x").routed == 1
    assert bench.ready(queue) == [b"m"]


def test_a_message_for_nobody_is_accepted_and_gone(bench):
    published = bench.publish(b"m", "nowhere")

    assert (published.routed, published.accepted) == (0, True)


def test_an_internal_exchange_is_refused(bench):
    with pytest.raises(AmqpError, match="NOT_IMPLEMENTED - an internal exchange"):
        bench.exchange("x", "fanout", internal=True)

    assert "x" not in bench.broker.topology.exchanges


def test_a_message_goes_through_a_circle_of_exchanges_once(bench):
    queue = bench.queue("q")
    for name in ("a", "b"):
        bench.exchange(name, "fanout")
    bench.bind("q", "a")
    bench.bind("q", "b")
    bench.bind_exchange("b", "a")
    bench.bind_exchange("a", "b")

    bench.publish(b"m", "", "a")

    assert bench.ready(queue) == [b"m"]


def test_an_auto_delete_exchange_goes_with_its_last_binding(bench):
    bench.queue("q")
    bench.exchange("first", "fanout", auto_delete=True)
    bench.exchange("second", "fanout", auto_delete=True)
    bench.bind_exchange("second", "first")
    bench.bind("q", "second")

    bench.broker.delete_queue("q", 1)

    assert {"first", "second"}.isdisjoint(bench.broker.topology.exchanges)


def test_an_exchange_with_bindings_is_in_use(bench):
    bench.queue("q")
    bench.exchange("x", "fanout")
    bench.bind("q", "x")

    with pytest.raises(AmqpError, match="PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"):
        bench.broker.topology.delete_exchange("x", if_unused=True)

    bench.broker.delete_queue("q", 1)
    bench.broker.topology.delete_exchange("x", if_unused=True)

    assert "x" not in bench.broker.topology.exchanges


def test_only_a_headers_exchange_takes_arguments_of_a_binding(bench):
    bench.queue("q")

    with pytest.raises(AmqpError, match="argument 'a' of a binding to a topic exchange is not supported"):
        bench.bind("q", "amq.topic", "#", {"a": 1})
