"""What the consumer declares: its part of the contract's topology, with the retry queues of its schedule."""

from dataclasses import replace

from mailpact.contracts.catalogue import Queue, QueueBinding, Topology
from mailpact_consumer.schedule import Schedule

# The names from the contract's topology that the consumer uses; a test checks that the topology has them.
INGRESS = "email"
WORK_QUEUE = "email.work"
RETRY_EXCHANGE = "email.retry"
RETRY_PREFIX = "email.retry."
REQUEUE_EXCHANGE = "email.requeue"
DEAD_LETTER_EXCHANGE = "email.dlx"
DEAD_QUEUE = "email.dead"
STATUS_EXCHANGE = "email.status"


def with_schedule(topology: Topology, schedule: Schedule) -> Topology:
    """Return the topology with one retry queue for each step; queues of other steps are not touched."""
    named = [queue for queue in topology.queues if queue.name.startswith(RETRY_PREFIX)]
    others = tuple(queue for queue in topology.queues if queue not in named)
    pattern = named[0]
    queues = tuple(
        Queue(
            f"{RETRY_PREFIX}{step.name}",
            pattern.durable,
            {**pattern.arguments, "x-message-ttl": step.seconds * 1000},
            pattern.declared_by,
        )
        for step in schedule.steps
    )
    routes = tuple(route for route in topology.bindings if route.exchange != RETRY_EXCHANGE)
    steps = tuple(
        QueueBinding(RETRY_EXCHANGE, f"{RETRY_PREFIX}{step.name}", step.name) for step in schedule.steps
    )
    return replace(topology, queues=(*others, *queues), bindings=(*routes, *steps))
