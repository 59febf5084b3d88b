"""Routing: find the queues for a message by its exchange and routing key.

There are the four exchange types of AMQP 0-9-1 (3.1.3). The default exchange `""` routes to each queue by the queue's
name, and its bindings cannot be changed. The target of a binding is a queue or another exchange. A message visits
each exchange only once, so a circle of bindings does no harm.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pamqp import common, decode, encode

from mailpact_devbroker.errors import AmqpError, unsupported

Headers = Callable[[], common.FieldTable]


class ExchangeType(StrEnum):
    """How an exchange chooses among its bindings."""

    DIRECT = "direct"
    FANOUT = "fanout"
    TOPIC = "topic"
    HEADERS = "headers"


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding of an exchange to its target. `arguments` is an encoded table, so that equal bindings compare equal.

    The target is a queue, or an exchange if `to_exchange` is set.
    """

    target: str
    routing_key: str
    arguments: bytes
    to_exchange: bool = False


@dataclass(slots=True)
class Exchange:
    """An exchange and its bindings in order, each with its decoded arguments.

    An auto-delete exchange is deleted together with its last binding.
    """

    name: str
    type: ExchangeType
    durable: bool = True
    auto_delete: bool = False
    bindings: dict[Binding, common.FieldTable] = field(default_factory=dict)


def standard_exchanges() -> dict[str, Exchange]:
    """Return the exchanges that every broker has."""
    named = {"": ExchangeType.DIRECT, "amq.match": ExchangeType.HEADERS}
    named |= {f"amq.{kind}": kind for kind in ExchangeType}
    return {name: Exchange(name, kind) for name, kind in named.items()}


def encoded_arguments(arguments: common.FieldTable, exchange: Exchange) -> bytes:
    """Return a binding's encoded arguments.

    Raises:
        AmqpError: 406 for an unknown `x-match`, 540 for an unsupported `x-match` or value, and for any argument if
            the exchange is not a headers exchange.
    """
    if arguments and exchange.type is not ExchangeType.HEADERS:
        raise unsupported(f"argument '{next(iter(arguments))}' of a binding to a {exchange.type} exchange")
    match arguments.get("x-match", "all"):
        case "all" | "any":
            pass
        case "all-with-x" | "any-with-x" as wanted:
            raise unsupported(f"x-match={wanted}")
        case wanted:
            expected = "expected all, any, all-with-x, or any-with-x"
            raise AmqpError(406, f'Invalid x-match field value "{wanted!s:.40}"; {expected}')
    try:
        encoded = encode.field_table(arguments)
    except TypeError as error:
        raise unsupported(f"binding argument ({str(error)[:80]})") from error
    if decode.field_table(encoded)[1] != arguments:
        raise unsupported("binding argument of type double")
    return encoded


def destinations(
    exchanges: Mapping[str, Exchange], first: Exchange, routing_key: str, headers: Headers
) -> Iterable[str]:
    """Return the names of the queues to which exchange `first` routes a message, each name once."""
    if not first.name:
        return [routing_key]
    queues: dict[str, None] = {}
    reached, ahead = {first.name}, deque((first,))
    while ahead:
        for binding in _matching(ahead.popleft(), routing_key, headers):
            if not binding.to_exchange:
                queues[binding.target] = None
            elif binding.target not in reached:
                reached.add(binding.target)
                ahead.append(exchanges[binding.target])
    return queues


def _matching(exchange: Exchange, routing_key: str, headers: Headers) -> Iterable[Binding]:
    match exchange.type:
        case ExchangeType.FANOUT:
            return exchange.bindings
        case ExchangeType.DIRECT:
            return [b for b in exchange.bindings if b.routing_key == routing_key]
        case ExchangeType.TOPIC:
            return [b for b in exchange.bindings if topic_matches(b.routing_key, routing_key)]
        case ExchangeType.HEADERS:
            present = headers()
            return [b for b, wanted in exchange.bindings.items() if headers_match(wanted, present)]


def topic_matches(pattern: str, key: str) -> bool:
    """Return whether a topic pattern (`*` one word, `#` any number) matches a key.

    The time is proportional to the words of the pattern times the words of the key.
    """
    words, reached = _words(key), {0}
    for part in _words(pattern):
        if part == "#":
            reached = set(range(min(reached), len(words) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(words) and part in ("*", words[at])}
        if not reached:
            return False
    return len(words) in reached


def _words(key: str) -> list[str]:
    """Return the words of a key or pattern; none if the text is empty."""
    return key.split(".") if key else []


def headers_match(wanted: common.FieldTable, present: common.FieldTable) -> bool:
    """Return whether a headers binding matches. A header without value in the binding matches any value."""
    hits = [
        name in present and (value is None or (type(value) is type(present[name]) and value == present[name]))
        for name, value in wanted.items()
        if not name.startswith("x-")
    ]
    return any(hits) if wanted.get("x-match") == "any" else all(hits)
