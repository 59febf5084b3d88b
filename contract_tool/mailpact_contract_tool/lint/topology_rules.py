"""Rules about topology.json and the bindings: messages reach queues, and queues are declared in a valid order.

The form of the documents is checked before.
"""

from collections.abc import Iterator

from mailpact.contracts.catalogue import Exchange, Queue, Topology
from mailpact_contract_tool.lint.rules import Fault, LintRule

_DEAD_LETTER_EXCHANGE, _DEAD_LETTER_KEY = "x-dead-letter-exchange", "x-dead-letter-routing-key"


def exchange_of(topology: Topology, name: str) -> Exchange | None:
    """Return the exchange of that name."""
    return next((exchange for exchange in topology.exchanges if exchange.name == name), None)


def reached(topology: Topology, exchange: Exchange, key: str) -> list[str]:
    """Return the queues that a message of this key reaches through an exchange."""
    return [
        route.queue
        for route in topology.bindings
        if route.exchange == exchange.name and matches(exchange.type, route.routing_key, key)
    ]


def topology_faults(topology: Topology) -> Iterator[Fault]:
    """Check topology.json without the bindings of contracts."""
    yield from _names(topology)
    yield from _routes(topology)
    for number, queue in enumerate(topology.queues):
        yield from _queue(topology, queue, f"/queues/{number}")


def _names(topology: Topology) -> Iterator[Fault]:
    for member, names in (
        ("exchanges", [exchange.name for exchange in topology.exchanges]),
        ("queues", [queue.name for queue in topology.queues]),
    ):
        for number, name in enumerate(names):
            if name in names[:number]:
                yield Fault(
                    LintRule.TOPOLOGY_NAME_TWICE, f"/{member}/{number}/name", f"{name!r} is declared twice"
                )


def _routes(topology: Topology) -> Iterator[Fault]:
    queues = {queue.name for queue in topology.queues}
    exchanges = {exchange.name for exchange in topology.exchanges}
    for number, route in enumerate(topology.bindings):
        for kind, name, declared in (("exchange", route.exchange, exchanges), ("queue", route.queue, queues)):
            if name not in declared:
                pointer = f"/bindings/{number}/{kind}"
                yield Fault(LintRule.TOPOLOGY_UNDECLARED, pointer, f"no {kind} {name!r} is declared")


def _queue(topology: Topology, queue: Queue, pointer: str) -> Iterator[Fault]:
    arguments = f"{pointer}/arguments"
    limit = queue.arguments.get("x-delivery-limit")
    if queue.arguments.get("x-queue-type") == "quorum" and not (type(limit) is int and limit > 0):
        yield Fault(
            LintRule.DELIVERY_LIMIT_MISSING,
            arguments,
            "RabbitMQ 3.10 has no default and 4.0 has 20; state x-delivery-limit, greater than 0",
        )
    target = queue.arguments.get(_DEAD_LETTER_EXCHANGE)
    place = f"{arguments}/{_DEAD_LETTER_EXCHANGE}"
    if target is None:
        return
    exchange = exchange_of(topology, str(target))
    if exchange is None:
        yield Fault(LintRule.DEAD_LETTER_TARGET_MISSING, place, f"no exchange {target!r} is declared")
        return
    key = queue.arguments.get(_DEAD_LETTER_KEY)
    targets = reached(topology, exchange, str(key)) if key is not None else _bound(topology, exchange)
    if not targets:
        yield Fault(
            LintRule.DEAD_LETTER_TARGET_MISSING,
            place,
            f"what is dead-lettered to {target!r} reaches no queue and would wait at its source for three minutes",
        )
    before = {other.name for other in topology.queues[: topology.queues.index(queue)]}
    for late in targets:
        if late not in before and late != queue.name:
            sentence = f"queue {late!r} takes what is dead-lettered here and must be declared before it"
            yield Fault(LintRule.DEAD_LETTER_TARGET_LATE, place, sentence)


def _bound(topology: Topology, exchange: Exchange) -> list[str]:
    """Return all queues of an exchange; a dead letter without a key of its own keeps its routing key."""
    return [route.queue for route in topology.bindings if route.exchange == exchange.name]


def matches(exchange_type: str, pattern: str, key: str) -> bool:
    """Return whether an exchange of this type routes a key by a binding's pattern."""
    match exchange_type:
        case "fanout":
            return True
        case "topic":
            return _topic_matches(pattern.split("."), key.split("."))
        case _:
            return pattern == key


def _topic_matches(pattern: list[str], words: list[str]) -> bool:
    """Return whether a topic pattern matches; `*` is one word, `#` is any number of words."""
    reachable = {0}
    for part in pattern:
        if part == "#":
            reachable = set(range(min(reachable, default=len(words) + 1), len(words) + 1))
        else:
            reachable = {at + 1 for at in reachable if at < len(words) and part in ("*", words[at])}
    return len(words) in reachable
