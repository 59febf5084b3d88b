import datetime as dt

import pytest

from mailpact_devbroker import messages, properties
from mailpact_devbroker.broker import LETTER_RETRY_SECONDS
from mailpact_devbroker.changes import Erased, Saved
from mailpact_devbroker.deadletters import is_cycle, rejections
from mailpact_devbroker.messages import Death

AT_LEAST_ONCE = {"dead_letter_strategy": "at-least-once", "overflow": "reject-publish"}


def dead(bench, **arguments):
    """Declare queue `q` with dead letters going to queue `dead`."""
    letters = bench.queue("dead")
    return bench.quorum("q", dead_letter_exchange="", dead_letter_routing_key="dead", **arguments), letters


def test_a_rejected_message_is_a_letter_that_says_so(bench):
    queue, letters = dead(bench)
    bench.publish(b"m", "q", expiration="60000", headers={"a": 1, "x-death": [{"queue": "invented"}]})

    bench.reject(bench.take(queue).tag, requeue=False)

    when = dt.datetime.fromtimestamp(bench.now, tz=dt.UTC)
    death = {
        "count": 1,
        "reason": "rejected",
        "queue": "q",
        "time": when,
        "exchange": "",
        "routing-keys": ["q"],
    }
    assert bench.headers(letters) == {
        "a": 1,
        "x-death": [death | {"original-expiration": "60000"}],
        **{f"x-{which}-death-exchange": "" for which in ("first", "last")},
        **{f"x-{which}-death-queue": "q" for which in ("first", "last")},
        **{f"x-{which}-death-reason": "rejected" for which in ("first", "last")},
    }
    letter = letters.ready[0]
    assert (letter.due_at, "expiration" in properties.split(letter.publication.header)) == (None, False)


def test_a_count_is_of_64_bits_as_rabbitmq_sends_it(bench):
    queue, letters = dead(bench)
    bench.publish(b"m", "q")

    bench.reject(bench.take(queue).tag, requeue=False)

    assert b"\x05countl\0\0\0\0\0\0\0\x01" in letters.ready[0].publication.header


def test_rounds_between_two_queues_are_counted(bench):
    work = bench.quorum("work", dead_letter_exchange="", dead_letter_routing_key="retry")
    bench.quorum("retry", dead_letter_exchange="", dead_letter_routing_key="work", message_ttl=1_000)
    bench.publish(b"m", "work")

    for _ in range(3):
        bench.reject(bench.take(work).tag, requeue=False)
        bench.wait(1.001)

    deaths = bench.headers(work)["x-death"]
    assert [(d["queue"], d["reason"], d["count"]) for d in deaths] == [
        ("retry", "expired", 3),
        ("work", "rejected", 3),
    ]
    assert bench.headers(work)["x-first-death-queue"] == "work"
    assert bench.headers(work)["x-last-death-queue"] == "retry"
    assert work.ready[0].redelivered


@pytest.mark.parametrize(("limit", "deliveries"), [(None, 21), (2, 3), (0, 1)])
def test_a_message_over_its_delivery_limit_is_a_letter(bench, limit, deliveries: int):
    queue, letters = dead(bench, **({} if limit is None else {"delivery_limit": limit}))
    bench.publish(b"m", "q")

    for _ in range(deliveries):
        assert bench.ready(letters) == []
        bench.reject(bench.take(queue).tag, requeue=True)

    assert bench.headers(letters)["x-last-death-reason"] == "delivery_limit"
    assert bench.ready(queue) == []


def test_a_limit_below_zero_is_none(bench):
    queue = bench.quorum("q", delivery_limit=-1)
    bench.publish(b"m", "q")

    for _ in range(50):
        bench.reject(bench.take(queue).tag, requeue=True)

    assert bench.ready(queue) == [b"m"]


def test_what_does_not_fit_is_a_letter(bench):
    letters = bench.queue("dead")
    letter_to = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    queue = bench.queue("q", arguments={"x-max-length": 1, **letter_to})

    bench.publish(b"1", "q")
    bench.publish(b"2", "q")

    assert (bench.ready(queue), bench.ready(letters)) == ([b"2"], [b"1"])
    assert bench.headers(letters)["x-first-death-reason"] == "maxlen"


def test_a_letter_without_an_exchange_is_gone(bench):
    queue = bench.quorum("q", dead_letter_exchange="nowhere")
    bench.publish(b"m", "q")

    bench.reject(bench.take(queue).tag, requeue=False)

    assert bench.broker.held_bytes == 0


@pytest.mark.parametrize("obstacle", ["missing", "full"])
def test_at_least_once_keeps_a_letter_until_the_target_takes_it(bench, obstacle: str):
    queue = bench.quorum("q", dead_letter_exchange="", dead_letter_routing_key="dead", **AT_LEAST_ONCE)
    if obstacle == "full":
        full = bench.queue("dead", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
        bench.publish(b"in the way", "dead")
    bench.publish(b"m", "q")
    bench.reject(bench.take(queue).tag, requeue=False)
    assert (bench.ready(queue), len(queue.held)) == ([], 1)

    letters = bench.queue("dead") if obstacle == "missing" else full
    if obstacle == "full":
        bench.ack(bench.take(full).tag)
    bench.wait(LETTER_RETRY_SECONDS - 1)
    assert bench.ready(letters) == []
    bench.wait(1)

    assert (bench.ready(letters), queue.held) == ([b"m"], [])
    assert bench.headers(letters)["x-death"][0]["count"] == 1


def test_a_letter_is_saved_at_its_target_and_erased_at_its_source_together(bench):
    bench.quorum("dead")
    queue = bench.quorum("q", dead_letter_exchange="", dead_letter_routing_key="dead", **AT_LEAST_ONCE)
    bench.publish(b"m", "q")
    tag = bench.take(queue).tag
    bench.broker.take_changes()

    bench.reject(tag, requeue=False)

    match bench.broker.take_changes():
        case [Saved("dead", message), Erased(1)]:
            assert message.publication.deaths[0].queue == "q"
        case other:
            pytest.fail(f"not saved and erased: {other}")


def test_a_circle_of_expiry_alone_ends(bench):
    queue = bench.quorum("q", dead_letter_exchange="", dead_letter_routing_key="q", message_ttl=10)
    bench.publish(b"m", "q")

    bench.wait(1)

    assert (bench.ready(queue), bench.broker.held_bytes) == ([], 0)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], False),
        ([("other", "expired")], False),
        ([("q", "expired")], True),
        ([("other", "expired"), ("q", "expired")], True),
        ([("q", "rejected")], False),
        ([("other", "rejected"), ("q", "expired")], False),
        ([("q", "expired"), ("q", "rejected")], True),
    ],
)
def test_a_cycle_is_one_that_nobody_broke_by_rejecting(history, expected: bool):
    deaths = tuple(Death(queue, reason, "", "k", 0.0) for queue, reason in history)

    assert is_cycle(deaths, "q") is expected


def test_a_letter_with_headers_that_cannot_be_read_is_not_lost_half_way(bench):
    queue = bench.quorum("q", dead_letter_exchange="amq.headers")
    bench.bind("q", "amq.headers", "", {"a": 1})
    unreadable = b"\0\0\0\x0b\x01tT" + b"\xff" * 8
    header = properties.join({"headers": unreadable}, 1)
    bench.broker.publish(messages.publication("", "q", header, b"m", user="guest"), bench.now)

    bench.reject(bench.take(queue).tag, requeue=False)

    assert (bench.ready(queue), bench.broker.held_bytes) == ([], 0)


@pytest.mark.heavy
def test_a_long_chain_of_full_queues_is_followed_to_its_end(bench):
    for at in range(400):
        letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"q{at + 1}", "x-max-length": 0}
        bench.queue(f"q{at}", arguments=letters)
    last = bench.queue("q400")

    bench.publish(b"m", "q0")

    assert bench.ready(last) == [b"m"]


def test_a_rejected_letter_is_redelivered_in_the_next_quorum_queue_and_new_in_a_classic_one(bench):
    source = bench.quorum("q", dead_letter_exchange="amq.fanout")
    quorum, classic = bench.quorum("quorum"), bench.queue("classic")
    for queue in (quorum, classic):
        bench.bind(queue.name, "amq.fanout")
    bench.publish(b"m", "q")

    bench.reject(bench.take(source).tag, requeue=False)

    assert (quorum.ready[0].redelivered, classic.ready[0].redelivered) == (True, False)
    assert rejections(quorum.ready[0].publication) == 1
