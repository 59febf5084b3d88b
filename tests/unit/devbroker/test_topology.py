import re

import pytest
from pamqp import commands
from pamqp.common import FieldTable

from mailpact_devbroker.changes import Declared, Undeclared
from mailpact_devbroker.errors import AmqpError

WORK: FieldTable = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 20,
    "x-dead-letter-exchange": "email.dlx",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def test_declaring_the_same_again_changes_nothing(bench):
    first = bench.queue("email.work", arguments=WORK)

    assert bench.queue("email.work", arguments=dict(WORK)) is first


@pytest.mark.parametrize(
    ("flags", "arguments", "complaint"),
    [
        (
            {"durable": False},
            WORK,
            "'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
        ),
        (
            {"auto_delete": True},
            WORK,
            "'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {},
            WORK | {"x-delivery-limit": 5},
            "'x-delivery-limit' for queue 'q' in vhost '/': received '5' but current is '20'",
        ),
        (
            {},
            {k: v for k, v in WORK.items() if k != "x-delivery-limit"},
            ("'x-delivery-limit' for queue 'q' in vhost '/': received none but current is '20'"),
        ),
        (
            {},
            WORK | {"x-message-ttl": 60_000},
            ("'x-message-ttl' for queue 'q' in vhost '/': received '60000' but current is none"),
        ),
        (
            {},
            {"x-dead-letter-exchange": "email.dlx"},
            "'x-delivery-limit' for queue 'q' in vhost '/': received none but current is '20'",
        ),
    ],
)
def test_declaring_otherwise_is_a_406_in_rabbitmqs_words(bench, flags, arguments, complaint: str):
    bench.queue("q", arguments=WORK)

    with pytest.raises(AmqpError, match=re.escape(f"PRECONDITION_FAILED - inequivalent arg {complaint}")):
        bench.queue("q", arguments=arguments, **flags)


def test_a_classic_queue_may_be_declared_with_and_without_its_type(bench):
    first = bench.queue("q")

    assert bench.queue("q", arguments={"x-queue-type": "classic"}) is first


def test_the_default_delivery_limit_is_not_an_argument(bench):
    queue = bench.quorum("q")

    assert bench.quorum("q") is queue
    assert queue.terms.delivery_limit == 20


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (
            {"x-message-ttl": -1},
            406,
            "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': {value_negative,-1}",
        ),
        ({"x-message-ttl": "1"}, 406, "expected int, got str"),
        ({"x-max-length": True}, 406, "expected int, got bool"),
        ({"x-delivery-limit": 1}, 406, "of queue type rabbit_classic_queue"),
        ({"x-dead-letter-routing-key": "k"}, 406, "routing_key_but_no_dlx_defined"),
        (
            {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "k" * 256},
            406,
            "longer than 255 bytes",
        ),
        ({"x-overflow": "nonsense"}, 406, "invalid_overflow"),
        ({"x-overflow": "reject-publish-dlx"}, 540, "'x-overflow' = 'reject-publish-dlx' is not supported"),
        ({"x-queue-type": "stream"}, 540, "'x-queue-type' = 'stream' is not supported"),
        ({"x-max-priority": 9}, 540, "queue argument 'x-max-priority' is not supported"),
        ({"x-expires": 0}, 406, "invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}"),
        (
            {"x-single-active-consumer": True},
            540,
            "queue argument 'x-single-active-consumer' is not supported",
        ),
        (
            {
                "x-queue-type": "quorum",
                "x-dead-letter-strategy": "at-least-once",
                "x-dead-letter-exchange": "d",
            },
            540,
            "at-least-once without x-overflow=reject-publish",
        ),
    ],
)
def test_an_argument_that_is_not_honoured_is_refused(bench, arguments, code: int, complaint: str):
    with pytest.raises(AmqpError, match=re.escape(complaint)) as refused:
        bench.queue("q", arguments=arguments)

    assert refused.value.code == code
    assert "q" not in bench.broker.topology.queues


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ({"durable": False}, "non-durable"),
        ({"auto_delete": True}, "auto-delete"),
        ({"exclusive": True}, "exclusive-owner"),
    ],
)
def test_a_quorum_queue_is_durable_and_nobodys_own(bench, flags, what: str):
    with pytest.raises(
        AmqpError, match=f"PRECONDITION_FAILED - invalid property '{what}' for queue 'q' in vhost '/'"
    ):
        bench.queue("q", arguments={"x-queue-type": "quorum"}, **flags)


def test_an_exclusive_queue_is_locked_for_others(bench):
    bench.queue("q", owner=1, exclusive=True)

    with pytest.raises(
        AmqpError, match="RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q'"
    ) as refused:
        bench.broker.topology.queue("q", 2)

    assert (refused.value.code, refused.value.closes_connection) == (405, False)


def test_an_exclusive_queue_goes_with_its_connection(bench):
    bench.queue("mine", owner=1, exclusive=True)
    bench.queue("yours", owner=2, exclusive=True)

    bench.broker.drop_owner(1)

    assert list(bench.broker.topology.queues) == ["yours"]


def test_a_missing_queue_is_deleted_already(bench):
    assert bench.broker.delete_queue("nowhere", 1) == 0


@pytest.mark.parametrize(
    ("method", "complaint"),
    [
        (commands.Exchange.Declare(0, "", "direct"), "operation not permitted on the default exchange"),
        (commands.Exchange.Declare(0, "", passive=True), "operation not permitted on the default exchange"),
        (
            commands.Exchange.Declare(0, "amq.mine"),
            "exchange name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
        (commands.Exchange.Declare(0, "x", "x-random"), "invalid exchange type 'x-random'"),
        (commands.Exchange.Declare(0, "x", passive=True), "no exchange 'x' in vhost '/'"),
        (
            commands.Exchange.Declare(0, "amq.topic", "fanout", durable=True),
            "inequivalent arg 'type' for exchange 'amq.topic' in vhost '/': received 'fanout' but current is 'topic'",
        ),
        (
            commands.Exchange.Declare(0, "x", arguments={"alternate-exchange": "y"}),
            "exchange argument 'alternate-exchange' is not supported",
        ),
    ],
)
def test_an_exchange_that_cannot_be_declared_is_refused(bench, method, complaint: str):
    with pytest.raises(AmqpError, match=re.escape(complaint)):
        bench.broker.topology.declare_exchange(method)


def test_a_binding_that_cannot_be_honoured_is_refused(bench):
    bench.queue("q")

    with pytest.raises(AmqpError, match="x-match=all-with-x is not supported"):
        bench.bind("q", "amq.headers", "", {"x-match": "all-with-x"})


def test_what_survives_is_noted_and_nothing_else(bench):
    bench.exchange("x")
    bench.exchange("transient", durable=False)
    bench.queue("q", arguments=WORK)
    bench.queue("own", exclusive=True)
    for exchange, queue in (("x", "q"), ("x", "own"), ("transient", "q")):
        bench.bind(queue, exchange)

    noted = bench.broker.take_changes()

    assert [change.key.split()[0] for change in noted if isinstance(change, Declared)] == [
        "exchange",
        "queue",
        "binding",
    ]


def test_a_deleted_queue_takes_its_bindings_along(bench):
    bench.exchange("x")
    bench.queue("q")
    bench.bind("q", "x")
    kept = {change.key for change in bench.broker.take_changes() if isinstance(change, Declared)}

    bench.broker.delete_queue("q", 1)

    gone = {change.key for change in bench.broker.take_changes() if isinstance(change, Undeclared)}
    assert gone == kept - {"exchange x"}
