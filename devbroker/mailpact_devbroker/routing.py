"""Routing: from an exchange and a key to the queues that take the message.

Four kinds of exchange, as AMQP 0-9-1 has them (3.1.3). The default exchange `""` reaches each queue by its name and
has no bindings that anybody could change.
"""

from collections.abc import Callable, Iterable
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
    """One way from an exchange to a queue. `arguments` is an encoded table, so that equal bindings are one."""

    queue: str
    routing_key: str
    arguments: bytes


@dataclass(slots=True)
class Exchange:
    """An exchange and its bindings, in order, each with its arguments decoded."""

    name: str
    type: ExchangeType
    durable: bool = True
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


def destinations(exchange: Exchange, routing_key: str, headers: Headers) -> Iterable[str]:
    """Return the names of the queues a message is for, each once."""
    match exchange.type:
        case _ if not exchange.name:
            return [routing_key]
        case ExchangeType.FANOUT:
            found = [b.queue for b in exchange.bindings]
        case ExchangeType.DIRECT:
            found = [b.queue for b in exchange.bindings if b.routing_key == routing_key]
        case ExchangeType.TOPIC:
            found = [b.queue for b in exchange.bindings if topic_matches(b.routing_key, routing_key)]
        case ExchangeType.HEADERS:
            present = headers()
            found = [b.queue for b, wanted in exchange.bindings.items() if headers_match(wanted, present)]
    return dict.fromkeys(found)


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
