from mailpact.contracts import catalogue
from mailpact_consumer import queues


def test_each_name_of_the_consumer_is_one_that_the_topology_has_the_consumer_declare() -> None:
    topology = catalogue.load().topology.declared_by("consumer")
    exchanges = {exchange.name for exchange in topology.exchanges}

    assert {
        queues.INGRESS,
        queues.RETRY_EXCHANGE,
        queues.REQUEUE_EXCHANGE,
        queues.DEAD_LETTER_EXCHANGE,
        queues.STATUS_EXCHANGE,
    } <= exchanges
    assert {queues.WORK_QUEUE, queues.DEAD_QUEUE} <= {queue.name for queue in topology.queues}
    assert any(queue.name.startswith(queues.RETRY_PREFIX) for queue in topology.queues)
