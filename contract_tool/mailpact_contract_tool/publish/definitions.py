"""The topology as definitions that RabbitMQ imports, with users who may do no more than their part.

The users have no password: RabbitMQ refuses their login until an operator sets one. No secret can leak from a file that
holds none. Permissions are RabbitMQ's three regular expressions over the names of exchanges and queues:

    mailpact-producer   declares the public exchange and publishes to it; reads nothing
    mailpact-consumer   declares its part, reads what waits for mail, publishes; reads no dead letters
    mailpact-observer   reads copies of messages and events through private queues of its own; publishes to neither
    mailpact-operator   declares, reads and publishes in all of it: `topology apply`, the tools for dead letters
"""

import re
from collections.abc import Iterable

from mailpact.contracts.catalogue import Exchange, Queue, Topology
from mailpact.contracts.parse import JsonObject, JsonValue

USERS = ("mailpact-producer", "mailpact-consumer", "mailpact-observer", "mailpact-operator")
INGRESS = "email"
_CONSUMER = "consumer"
_OBSERVED = ("email", "email.status")
_PRIVATE_QUEUES = r"amq\.gen-.*"  # what RabbitMQ calls a queue that is declared without a name
_DEAD_LETTER_EXCHANGE = "x-dead-letter-exchange"


def definitions(topology: Topology, *, vhost: str) -> JsonObject:
    """Return the definitions for one vhost, in the topology's order, the same on every call."""
    return {
        "vhosts": [{"name": vhost}],
        "users": [_user(name) for name in USERS],
        "permissions": [{"user": name, "vhost": vhost, **_permissions(name, topology)} for name in USERS],
        "exchanges": [_exchange(exchange, vhost) for exchange in topology.exchanges],
        "queues": [_queue(queue, vhost) for queue in topology.queues],
        "bindings": [
            {
                "source": route.exchange,
                "vhost": vhost,
                "destination": route.queue,
                "destination_type": "queue",
                "routing_key": route.routing_key,
                "arguments": {},
            }
            for route in topology.bindings
        ],
    }


def _user(name: str) -> JsonObject:
    return {
        "name": name,
        "password_hash": "",
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": [],
    }


def _permissions(user: str, topology: Topology) -> JsonObject:
    exchanges = [exchange.name for exchange in topology.exchanges]
    everything = _names([*exchanges, *(queue.name for queue in topology.queues)])
    match user:
        case "mailpact-producer":
            public = _names([INGRESS])
            return {"configure": public, "write": public, "read": _names([])}
        case "mailpact-consumer":
            return _consumer_permissions(topology)
        case "mailpact-observer":
            own = f"^{_PRIVATE_QUEUES}$"
            observed = "|".join(
                [*(re.escape(name) for name in _OBSERVED if name in exchanges), _PRIVATE_QUEUES]
            )
            return {"configure": own, "write": own, "read": f"^(?:{observed})$"}
        case _:
            return {"configure": everything, "write": everything, "read": everything}


def _consumer_permissions(topology: Topology) -> JsonObject:
    """Binding takes writing to the queue and reading from the exchange; a dead-letter exchange, reading the queue."""
    queues = [queue for queue in topology.queues if _CONSUMER in queue.declared_by]
    names = [queue.name for queue in queues]
    declared = [exchange.name for exchange in topology.exchanges if _CONSUMER in exchange.declared_by]
    sources = [route.exchange for route in topology.bindings if route.queue in names]
    waiting = [queue.name for queue in queues if _DEAD_LETTER_EXCHANGE in queue.arguments]
    return {
        "configure": _names([*declared, *names]),
        "write": _names([*(exchange.name for exchange in topology.exchanges), *names]),
        "read": _names([*sources, *waiting]),
    }


def _names(names: Iterable[str]) -> str:
    """Return the expression that matches these names and no others."""
    alternatives = "|".join(re.escape(name) for name in dict.fromkeys(names))
    return f"^(?:{alternatives})$" if alternatives else "^$"


def _exchange(exchange: Exchange, vhost: str) -> JsonObject:
    return {
        "name": exchange.name,
        "vhost": vhost,
        "type": exchange.type,
        "durable": exchange.durable,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }


def _queue(queue: Queue, vhost: str) -> JsonObject:
    arguments: dict[str, JsonValue] = dict(queue.arguments)
    return {
        "name": queue.name,
        "vhost": vhost,
        "durable": queue.durable,
        "auto_delete": False,
        "arguments": arguments,
    }
