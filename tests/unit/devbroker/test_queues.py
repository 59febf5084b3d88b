import pytest

from mailpact_devbroker.changes import Erased, Saved
from mailpact_devbroker.errors import AmqpError


def test_messages_leave_in_the_order_in_which_they_came(bench):
    queue = bench.queue("q")
    for body in (b"1", b"2", b"3"):
        bench.publish(body, "q")

    assert [bench.take(queue).message.publication.body for _ in range(3)] == [b"1", b"2", b"3"]
    assert bench.get(queue) is None


@pytest.mark.parametrize(
    ("kind", "expected"), [("classic", [b"1", b"2", b"3", b"4"]), ("quorum", [b"2", b"3", b"1", b"4"])]
)
def test_returned_messages_stand_before_the_others(bench, kind: str, expected: list[bytes]):
    queue = bench.queue("q", arguments={"x-queue-type": kind})
    for body in (b"1", b"2", b"3", b"4"):
        bench.publish(body, "q")
    first, second, third = (bench.take(queue).tag for _ in range(3))

    for tag in (second, third, first):
        bench.reject(tag, requeue=True)

    assert bench.ready(queue) == expected
    assert [message.redelivered for message in queue.ready] == [True, True, True, False]


@pytest.mark.parametrize(("tag", "multiple", "left"), [(2, False, 2), (2, True, 1), (0, True, 0)])
def test_an_ack_settles_one_or_all_up_to_it(bench, tag: int, multiple: bool, left: int):
    queue = bench.queue("q")
    for _ in range(3):
        bench.publish(b"m", "q")
        bench.take(queue)

    bench.ack(tag, multiple=multiple)

    assert len(queue.unacked) == left
    assert bench.broker.held_bytes == sum(message.held_bytes for message in queue.unacked.values())


@pytest.mark.parametrize("multiple", [False, True])
def test_an_unknown_delivery_tag_is_a_406(bench, multiple: bool):
    with pytest.raises(AmqpError, match="PRECONDITION_FAILED - unknown delivery tag 7"):
        bench.ack(7, multiple=multiple)


def test_a_closed_channel_returns_what_it_held(bench):
    queue = bench.quorum("q")
    bench.publish(b"m", "q")
    bench.take(queue)

    bench.broker.release(bench.ledger)
    bench.broker.proceed(bench.now)

    assert bench.ready(queue) == [b"m"]
    assert queue.ready[0].deliveries == 1


def test_purging_leaves_what_consumers_hold(bench):
    queue = bench.queue("q")
    for _ in range(3):
        bench.publish(b"m", "q")
    bench.take(queue)

    assert bench.broker.purge(queue) == 2
    assert (len(queue.ready), len(queue.unacked)) == (0, 1)


def test_a_message_of_a_deleted_queue_may_still_be_acked(bench):
    queue = bench.queue("q")
    bench.publish(b"m", "q")
    tag = bench.take(queue).tag

    bench.broker.delete_queue("q", 1)
    bench.ack(tag)

    assert bench.broker.held_bytes == 0


@pytest.mark.parametrize(
    ("queue_ttl", "expiration", "lives_seconds"),
    [(1_000, None, 1.0), (None, "500", 0.5), (1_000, "500", 0.5), (500, "1000", 0.5)],
)
def test_the_shorter_time_to_live_counts(bench, queue_ttl, expiration, lives_seconds: float):
    queue = bench.queue("q", arguments={"x-message-ttl": queue_ttl} if queue_ttl else {})
    bench.publish(b"m", "q", expiration=expiration)

    assert bench.broker.next_deadline() == bench.now + lives_seconds
    bench.wait(lives_seconds - 0.001)
    assert bench.ready(queue) == [b"m"]
    bench.wait(0.002)
    assert (bench.ready(queue), bench.broker.next_deadline(), bench.broker.held_bytes) == ([], None, 0)


def test_nothing_expires_behind_a_message_that_lives(bench):
    queue = bench.queue("q")
    bench.publish(b"lives", "q")
    bench.publish(b"short", "q", expiration="10")

    bench.wait(1)
    assert bench.ready(queue) == [b"lives", b"short"]
    bench.ack(bench.take(queue).tag)

    assert bench.ready(queue) == []


def test_a_time_to_live_of_zero_means_at_once_or_never(bench):
    queue = bench.queue("q")
    bench.publish(b"nobody waits", "q", expiration="0")
    bench.consume(queue)
    bench.publish(b"somebody waits", "q", expiration="0")

    assert bench.outlet.bodies() == [b"somebody waits"]


@pytest.mark.parametrize("expiration", ["", "-1", "1.5", "soon", "²"])
def test_an_expiration_that_is_no_number_is_a_406(bench, expiration: str):
    bench.queue("q")

    if expiration == "":
        assert bench.publish(b"m", "q", expiration=expiration).accepted  # pamqp does not send it
        return
    with pytest.raises(AmqpError, match="PRECONDITION_FAILED - invalid expiration"):
        bench.publish(b"m", "q", expiration=expiration)


def test_drop_head_keeps_the_newest(bench):
    queue = bench.queue("q", arguments={"x-max-length": 2})
    for body in (b"1", b"2", b"3"):
        assert bench.publish(body, "q").accepted

    assert bench.ready(queue) == [b"2", b"3"]


def test_reject_publish_keeps_the_oldest_and_says_so(bench):
    queue = bench.queue("q", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})

    outcomes = [bench.publish(body, "q").accepted for body in (b"1", b"2")]

    assert (outcomes, bench.ready(queue)) == ([True, False], [b"1"])


def test_one_full_queue_among_two_makes_a_nack_and_the_other_takes_its_copy(bench):
    bench.exchange("x", "fanout")
    roomy = bench.queue("roomy")
    bench.queue("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    for name in ("roomy", "full"):
        bench.bind(name, "x")

    assert not bench.publish(b"m", "", "x").accepted
    assert bench.ready(roomy) == [b"m"]


@pytest.mark.parametrize(
    ("kind", "durable", "delivery_mode", "kept"),
    [
        ("classic", True, 2, True),
        ("classic", True, 1, False),
        ("classic", False, 2, False),
        ("quorum", True, 1, True),
        ("quorum", True, None, True),
    ],
)
def test_what_must_survive_is_saved_and_erased(bench, kind: str, durable: bool, delivery_mode, kept: bool):
    queue = bench.queue("q", durable=durable, arguments={"x-queue-type": kind})
    bench.broker.take_changes()

    bench.publish(b"m", "q", delivery_mode=delivery_mode)
    bench.ack(bench.take(queue).tag)

    assert [type(change) for change in bench.broker.take_changes()] == ([Saved, Erased] if kept else [])


@pytest.mark.parametrize(
    ("properties", "code", "complaint"),
    [
        ({"user_id": "bob"}, 406, "user_id property set to 'bob' but authenticated user was 'guest'"),
        ({"headers": {"CC": ["q"]}}, 540, "header CC or BCC is not supported"),
        ({"reply_to": "amq.rabbitmq.reply-to"}, 406, "fast reply consumer does not exist"),
    ],
)
def test_properties_that_ask_for_more_are_refused(bench, properties, code: int, complaint: str):
    bench.queue("q")

    with pytest.raises(AmqpError, match=complaint) as refused:
        bench.publish(b"m", "q", **properties)

    assert refused.value.code == code


def test_an_unused_queue_expires(bench):
    queue = bench.queue("q", arguments={"x-expires": 1_000})
    bench.broker.use(queue)
    bench.broker.proceed(bench.now)

    bench.wait(0.9)
    bench.publish(b"a publish is no use", "q")
    bench.wait(0.2)

    assert "q" not in bench.broker.topology.queues
    assert (bench.broker.next_deadline(), bench.broker.held_bytes) == (None, 0)


@pytest.mark.parametrize("use", ["get", "declare again"])
def test_a_queue_in_use_expires_later(bench, use: str):
    queue = bench.queue("q", arguments={"x-expires": 1_000})
    bench.broker.use(queue)
    bench.broker.proceed(bench.now)

    bench.wait(0.9)
    if use == "get":
        bench.get(queue)
    else:
        bench.broker.use(queue)
        bench.broker.proceed(bench.now)
    bench.wait(0.9)

    assert "q" in bench.broker.topology.queues
    bench.wait(0.2)
    assert "q" not in bench.broker.topology.queues


def test_a_consumer_keeps_its_queue_from_expiring(bench):
    queue = bench.queue("q", arguments={"x-expires": 1_000})
    bench.consume(queue)

    bench.wait(5)
    assert bench.broker.next_deadline() is None
    bench.broker.cancel(bench.ledger, "c")
    bench.broker.proceed(bench.now)
    bench.wait(0.9)

    assert "q" in bench.broker.topology.queues
    bench.wait(0.2)
    assert "q" not in bench.broker.topology.queues


def test_a_queue_is_deleted_only_if_the_conditions_hold(bench):
    queue = bench.queue("q")
    bench.publish(b"m", "q")
    with pytest.raises(AmqpError, match="PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"):
        bench.broker.delete_queue("q", 1, if_empty=True)
    bench.consume(queue)
    with pytest.raises(AmqpError, match="PRECONDITION_FAILED - queue 'q' in vhost '/' in use"):
        bench.broker.delete_queue("q", 1, if_unused=True, if_empty=True)
    bench.broker.cancel(bench.ledger, "c")

    bench.broker.delete_queue("q", 1, if_unused=True, if_empty=True)

    assert bench.broker.topology.queues == {}


@pytest.mark.parametrize("flag", ["if_unused", "if_empty"])
def test_a_quorum_queue_is_deleted_without_conditions(bench, flag: str):
    bench.quorum("q")

    with pytest.raises(AmqpError, match=f"NOT_IMPLEMENTED .* with {flag.replace('_', '-')} flag set"):
        bench.broker.delete_queue("q", 1, **{flag: True})
