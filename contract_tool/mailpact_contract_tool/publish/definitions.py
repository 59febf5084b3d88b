"""The topology as definitions that RabbitMQ imports, with users that have only the permissions they need.

The users have no password: RabbitMQ refuses their login until an operator sets a password. The file contains no secret.
Permissions are RabbitMQ's three regular expressions for the names of exchanges and queues:

    mailpact-producer   declares the public exchange, publishes to it and its log records; reads nothing
    mailpact-site       the same; also tells its processes what has changed, and reads status events
    mailpact-consumer   declares the consumer's queues, reads the work queue, publishes; reads no dead letters
    mailpact-observer   reads copies of messages, events and log records through private queues; publishes nothing
    mailpact-operator   declares, reads and publishes everything: `topology apply`, `dead`, `logs`

A policy limits the queue of log records, because a limit in the queue's arguments could not be changed later (406).
"""

import re
from collections.abc import Iterable

from mailpact.contracts.catalogue import Exchange, Queue, Topology
from mailpact.contracts.parse import JsonObject, JsonValue

USERS = ("mailpact-producer", "mailpact-site", "mailpact-consumer", "mailpact-observer", "mailpact-operator")
INGRESS = "email"
_CONSUMER = "consumer"
_SITE = "site"
LOGS = "logs"
CACHE = "cache.invalidation"
LOG_QUEUE = "logs.all"
LOG_POLICY = "mailpact-logs"
MOST_LOG_RECORDS, MOST_LOG_BYTES = 100_000, 100_000_000
_OBSERVED = ("email", "email.status", LOGS)
_PRIVATE_QUEUES = r"amq\.gen-.*"  # RabbitMQ's names for queues that are declared without a name
_CACHE_QUEUES = r"cache\.invalidation\..+"  # one queue for each process of the site
_DEAD_LETTER_EXCHANGE = "x-dead-letter-exchange"


def definitions(topology: Topology, *, vhost: str) -> JsonObject:
    """Return the definitions for one vhost, in the topology's order, the same on every call."""
    return {
        "vhosts": [{"name": vhost}],
        "users": [_user(name) for name in USERS],
        "permissions": [{"user": name, "vhost": vhost, **_permissions(name, topology)} for name in USERS],
        "policies": [_log_policy(vhost) for queue in topology.queues if queue.name == LOG_QUEUE],
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
    queues = [queue.name for queue in topology.queues]
    everything = _names([*exchanges, *queues], own=_PRIVATE_QUEUES)
    match user:
        case "mailpact-producer":
            written = [INGRESS, *(name for name in exchanges if name == LOGS)]
            return {"configure": _names([INGRESS]), "write": _names(written), "read": _names([])}
        case "mailpact-site":
            return _site_permissions(topology)
        case "mailpact-consumer":
            return _consumer_permissions(topology)
        case "mailpact-observer":
            own = f"^{_PRIVATE_QUEUES}$"
            observed = _names([name for name in _OBSERVED if name in exchanges], own=_PRIVATE_QUEUES)
            return {"configure": own, "write": own, "read": observed}
        case _:
            return dict.fromkeys(("configure", "write", "read"), everything)


def _site_permissions(topology: Topology) -> JsonObject:
    """Return the permissions of the site; binding a queue needs write access to the queue."""
    names = [exchange.name for exchange in topology.exchanges]
    told = [name for name in names if name == CACHE]
    logs = [name for name in names if name == LOGS]
    own = topology.declared_by(_SITE)
    heard = [exchange.name for exchange in own.exchanges]
    queues = [queue.name for queue in own.queues]
    return {
        "configure": _names([INGRESS, *told, *heard, *queues], own=_CACHE_QUEUES),
        "write": _names([INGRESS, *logs, *told, *queues], own=_CACHE_QUEUES),
        "read": _names([*told, *heard, *queues], own=_CACHE_QUEUES),
    }


def _consumer_permissions(topology: Topology) -> JsonObject:
    """Return the permissions of the consumer.

    Binding a queue needs write access to the queue and read access to the exchange. A queue with a dead-letter exchange
    needs read access to the queue.
    """
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


def _names(names: Iterable[str], *, own: str = "") -> str:
    """Return the expression that matches exactly these names and the names that `own` matches."""
    alternatives = "|".join([*(re.escape(name) for name in dict.fromkeys(names)), *filter(None, [own])])
    return f"^(?:{alternatives})$" if alternatives else "^$"


def _log_policy(vhost: str) -> JsonObject:
    """Return the policy that drops the oldest log records if there are too many."""
    return {
        "vhost": vhost,
        "name": LOG_POLICY,
        "pattern": f"^{re.escape(LOG_QUEUE)}$",
        "apply-to": "queues",
        "priority": 0,
        "definition": {
            "max-length": MOST_LOG_RECORDS,
            "max-length-bytes": MOST_LOG_BYTES,
            "overflow": "drop-head",
        },
    }


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
