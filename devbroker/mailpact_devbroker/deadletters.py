"""Dead letters: make a dead letter from a queue's dropped message, with the headers that RabbitMQ 4.0 writes.

The broker keeps the history of deaths itself (`Publication.deaths`). An `x-death` header from a client has no effect.
It stays in the message until the broker writes its own. RabbitMQ 4.0 ignores the client's header, too; RabbitMQ 3.x
used it.
"""

from dataclasses import replace
from enum import StrEnum

from mailpact_devbroker import properties
from mailpact_devbroker.messages import Death, Publication
from mailpact_devbroker.properties import Value
from mailpact_devbroker.queues import Queue


class Reason(StrEnum):
    """The reason why a queue dead-letters a message; `x-death` contains the value."""

    REJECTED = "rejected"
    EXPIRED = "expired"
    MAXLEN = "maxlen"
    DELIVERY_LIMIT = "delivery_limit"


def letter(dead: Publication, reason: Reason, queue: Queue, *, exchange: str, now: float) -> Publication:
    """Return the dead letter for `exchange`, with the queue's dead letter routing key or else the message's own key."""
    found = properties.split(dead.header)
    expiration = properties.text(found, "expiration")
    found.pop("expiration", None)  # otherwise the letter would expire in the dead letter queue
    death = Death(
        queue.name, reason.value, dead.exchange, dead.routing_key, now, 1, expiration, queue.terms.quorum
    )
    deaths = _recorded(death, dead.deaths)
    headers: dict[str, Value] = {"x-death": [_entry(each) for each in deaths]}
    if not dead.deaths:
        headers |= _summary("first", deaths[0])
    found = properties.with_headers(found, headers | _summary("last", deaths[0]))
    key = queue.terms.dead_letter_routing_key
    header = properties.join(found, len(dead.body))
    key = dead.routing_key if key is None else key
    return replace(dead, exchange=exchange, routing_key=key, header=header, ttl_ms=None, deaths=deaths)


def rejections(publication: Publication) -> int:
    """Count how often consumers of quorum queues rejected a letter.

    If they did, the next quorum queue marks it redelivered.
    """
    counted = (each.count for each in publication.deaths if each.quorum and each.reason == Reason.REJECTED)
    return sum(counted)


def is_cycle(deaths: tuple[Death, ...], target: str) -> bool:
    """Return whether a letter returns to a queue where it died before, without a rejection by a consumer since then."""
    for at, death in enumerate(deaths):
        if death.queue == target:
            return all(each.reason != Reason.REJECTED for each in deaths[: at + 1])
    return False


def _recorded(death: Death, earlier: tuple[Death, ...]) -> tuple[Death, ...]:
    """Put a death first in the history. Deaths in the same queue for the same reason share one entry with a count."""
    same = next((e for e in earlier if (e.queue, e.reason) == (death.queue, death.reason)), None)
    latest = death if same is None else replace(same, count=same.count + 1)
    return (latest, *(each for each in earlier if each is not same))


def _summary(which: str, death: Death) -> dict[str, Value]:
    return {f"x-{which}-death-{name}": getattr(death, name) for name in ("exchange", "queue", "reason")}


def _entry(death: Death) -> Value:
    expiration = (
        {} if death.original_expiration is None else {"original-expiration": death.original_expiration}
    )
    return expiration | {
        "count": death.count,
        "reason": death.reason,
        "queue": death.queue,
        "time": death.time,
        "exchange": death.exchange,
        "routing-keys": [death.routing_key],
    }
