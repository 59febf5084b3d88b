"""Dead letters: how a queue's dropped message is dead-lettered, with the headers that RabbitMQ 4.0 writes.

The history of deaths is the broker's own (`Publication.deaths`). An `x-death` header that a client publishes is
carried along until the broker writes the first true one, and decides nothing: RabbitMQ 4.0 ignores it, 3.x did not.
"""

from dataclasses import replace
from enum import StrEnum

from mailpact_devbroker import properties
from mailpact_devbroker.messages import Death, Publication
from mailpact_devbroker.properties import Value
from mailpact_devbroker.queues import Queue


class Reason(StrEnum):
    """Why a queue dead-letters a message; the value stands in `x-death`."""

    REJECTED = "rejected"
    EXPIRED = "expired"
    MAXLEN = "maxlen"
    DELIVERY_LIMIT = "delivery_limit"


def letter(dead: Publication, reason: Reason, queue: Queue, *, exchange: str, now: float) -> Publication:
    """Return a queue's dead letter for `exchange`; the key is the message's own unless the queue sets one."""
    found = properties.split(dead.header)
    expiration = properties.text(found, "expiration")
    found.pop("expiration", None)  # or the letter would expire in the dead letter queue
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
    """Count how often consumers of quorum queues rejected a letter: the next quorum queue shows it as redelivered."""
    counted = (each.count for each in publication.deaths if each.quorum and each.reason == Reason.REJECTED)
    return sum(counted)


def is_cycle(deaths: tuple[Death, ...], target: str) -> bool:
    """Tell whether a letter comes back to a queue by itself: it died there, and nobody rejected it since."""
    for at, death in enumerate(deaths):
        if death.queue == target:
            return all(each.reason != Reason.REJECTED for each in deaths[: at + 1])
    return False


def _recorded(death: Death, earlier: tuple[Death, ...]) -> tuple[Death, ...]:
    """Put a death in front; the same queue and reason are one entry that counts."""
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
