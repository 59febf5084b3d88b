import pytest

from mailpact_devbroker.errors import AmqpError


def test_consumers_take_turns(bench):
    queue = bench.queue("q")
    for tag in ("a", "b", "c"):
        bench.consume(queue, tag)

    for _ in range(6):
        bench.publish(b"m", "q")

    assert [tag for tag, _ in bench.outlet.deliveries] == ["a", "b", "c", "a", "b", "c"]


def test_a_consumer_that_holds_its_limit_is_passed_over(bench):
    queue = bench.queue("q")
    limited, outlet = bench.channel(prefetch=1)
    bench.consume(queue, "limited", limited)
    bench.consume(queue, "free")

    for _ in range(4):
        bench.publish(b"m", "q")

    assert (len(outlet.deliveries), len(bench.outlet.deliveries)) == (1, 3)


def test_an_ack_makes_room_for_the_next(bench):
    queue = bench.queue("q")
    bench.ledger.prefetch = 1
    bench.consume(queue)
    bench.publish(b"1", "q")
    bench.publish(b"2", "q")
    assert bench.outlet.bodies() == [b"1"]

    bench.ack(1)

    assert bench.outlet.bodies() == [b"1", b"2"]


def test_a_global_limit_counts_the_whole_channel(bench):
    queues = [bench.queue("a"), bench.queue("b")]
    bench.ledger.global_prefetch = 1
    for queue in queues:
        bench.consume(queue, queue.name)
        bench.publish(b"m", queue.name)
    assert [tag for tag, _ in bench.outlet.deliveries] == ["a"]

    bench.ack(1)

    assert [tag for tag, _ in bench.outlet.deliveries] == ["a", "b"]


def test_a_global_limit_and_a_quorum_queue_do_not_go_together(bench):
    queue = bench.quorum("q")
    bench.ledger.global_prefetch = 1

    with pytest.raises(AmqpError, match="queue 'q' in vhost '/' does not support global qos") as refused:
        bench.consume(queue)

    assert (refused.value.code, refused.value.closes_connection) == (540, True)


def test_without_acks_nothing_is_held(bench):
    queue = bench.queue("q")
    bench.consume(queue, no_ack=True)

    bench.publish(b"m", "q")

    assert bench.outlet.bodies() == [b"m"]
    assert (bench.ledger.unacked, queue.unacked, bench.broker.held_bytes) == ({}, {}, 0)


def test_a_peer_that_does_not_read_gets_nothing_until_it_does(bench):
    queue = bench.queue("q")
    bench.outlet.writable = False
    bench.consume(queue)
    bench.publish(b"m", "q")
    assert bench.outlet.bodies() == []

    bench.outlet.writable = True
    bench.broker.resume(bench.ledger)
    bench.broker.proceed(bench.now)

    assert bench.outlet.bodies() == [b"m"]


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True)])
def test_an_exclusive_consumer_is_alone(bench, first: bool, second: bool):
    queue = bench.queue("q")
    bench.consume(queue, "a", exclusive=first)

    with pytest.raises(AmqpError, match="ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"):
        bench.consume(queue, "b", exclusive=second)


def test_a_consumer_tag_is_used_once(bench):
    queue = bench.queue("q")
    bench.consume(queue, "a")

    with pytest.raises(AmqpError, match="NOT_ALLOWED - attempt to reuse consumer tag 'a'"):
        bench.consume(queue, "a")


def test_a_cancelled_consumer_keeps_what_it_holds(bench):
    queue = bench.queue("q")
    bench.consume(queue, "a")
    bench.publish(b"m", "q")

    bench.broker.cancel(bench.ledger, "a")
    bench.publish(b"later", "q")
    bench.ack(1)

    assert bench.ready(queue) == [b"later"]


def test_consumers_are_told_when_their_queue_goes(bench):
    queue = bench.queue("q")
    bench.consume(queue, "a")

    bench.broker.delete_queue("q", 1)

    assert bench.outlet.cancelled_tags == ["a"]
    assert bench.ledger.consumers == {}


def test_an_auto_delete_queue_goes_with_its_last_consumer(bench):
    queue = bench.queue("q", auto_delete=True)
    for tag in ("a", "b"):
        bench.consume(queue, tag)

    bench.broker.cancel(bench.ledger, "a")
    assert "q" in bench.broker.topology.queues
    bench.broker.cancel(bench.ledger, "b")

    assert "q" not in bench.broker.topology.queues


def test_recover_returns_everything_the_channel_holds(bench):
    queue = bench.queue("q")
    for body in (b"1", b"2"):
        bench.publish(body, "q")
        bench.take(queue)

    bench.broker.recover(bench.ledger)
    bench.broker.proceed(bench.now)

    assert [(message.publication.body, message.redelivered) for message in queue.ready] == [
        (b"1", True),
        (b"2", True),
    ]
