"""Routing: from an exchange and a key to the queues that take the message.

Four kinds of exchange, as AMQP 0-9-1 has them (3.1.3). The default exchange `""` reaches each queue by its name and
has no bindings that anybody could change. A binding leads to a queue or to another exchange; a message visits each
exchange once, so that a circle of bindings ends.
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
    """One way from an exchange to its target. `arguments` is an encoded table, so that equal bindings are one.

    The target is a queue, or an exchange if `to_exchange` is set.
    """

    target: str
    routing_key: str
    arguments: bytes
    to_exchange: bool = False


@dataclass(slots=True)
class Exchange:
    """An exchange and its bindings, in order, each with its arguments decoded.

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
    """Return a binding's arguments as bytes.

    Raises:
        AmqpError: 406 for an `x-match` that does not exist, 540 for one, or a value, that is not supported, and for
            any argument that is not for a headers exchange.
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
    """Return the names of the queues that a message published to exchange `first` is for, each once."""
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
    """Match a topic pattern (`*` one word, `#` any number) against a key, in time words of both multiplied."""
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
    """Return the words of a key or pattern; an empty one has none."""
    return key.split(".") if key else []


def headers_match(wanted: common.FieldTable, present: common.FieldTable) -> bool:
    """Match a headers binding; a wanted header without value only has to be there."""
    hits = [
        name in present and (value is None or (type(value) is type(present[name]) and value == present[name]))
        for name, value in wanted.items()
        if not name.startswith("x-")
    ]
    return any(hits) if wanted.get("x-match") == "any" else all(hits)
