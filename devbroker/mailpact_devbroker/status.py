"""The broker's state as JSON for people and programs: `/healthz` and `/status`, read-only.

Totals count since the start. Rates are per second over the last few seconds. They need a sample every second, so
samples are taken only if the status pages are enabled.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from aiohttp import web

from mailpact.web.security import add_security_headers
from mailpact_devbroker.broker import Broker
from mailpact_devbroker.consumers import Consumer
from mailpact_devbroker.queues import Queue

SAMPLE_SECONDS = 1.0
_WINDOW = 6  # samples

Totals = dict[str, int]


class Rates:
    """The last samples of each queue's totals, oldest first."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, Totals]]] = deque(maxlen=_WINDOW)

    def sample(self, broker: Broker, now: float) -> None:
        """Record the current totals."""
        self._samples.append((now, {name: _totals(queue) for name, queue in broker.topology.queues.items()}))

    def of(self, queue: str) -> dict[str, float]:
        """Return a queue's rates per second; 0 until the queue has two samples."""
        known = [(at, totals[queue]) for at, totals in self._samples if queue in totals]
        (first_at, first), (last_at, last) = (known[0], known[-1]) if known else ((0.0, {}), (0.0, {}))
        elapsed = last_at - first_at
        return {name: round((last[name] - first[name]) / elapsed, 1) if elapsed > 0 else 0.0 for name in last}


def application(look: Callable[[], dict[str, Any]]) -> web.Application:
    """Return the web application that shows the result of `look`."""

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def status(_request: web.Request) -> web.Response:
        return web.json_response({"product": "Mailpact devbroker", "version": version("mailpact"), **look()})

    app = web.Application()
    add_security_headers(app)
    app.add_routes([web.get("/healthz", health), web.get("/status", status)])
    return app


def queues(broker: Broker, rates: Rates) -> list[dict[str, Any]]:
    """Return each queue with its messages, rates and consumers."""
    return [_queue(queue, broker, rates) for queue in broker.topology.queues.values()]


def _queue(queue: Queue, broker: Broker, rates: Rates) -> dict[str, Any]:
    return {
        "name": queue.name,
        "type": "quorum" if queue.terms.quorum else "classic",
        "durable": queue.durable,
        "exclusive": queue.owner is not None,
        "ready": len(queue.ready),
        "unacked": len(queue.unacked),
        "held_letters": len(queue.held),
        "totals": _totals(queue),
        "rates": rates.of(queue.name),
        "consumers": [_consumer(consumer) for consumer in broker.consumers(queue)],
    }


def _consumer(consumer: Consumer) -> dict[str, Any]:
    return {
        "tag": consumer.tag,
        "connection": consumer.ledger.owner,
        "prefetch": consumer.prefetch,
        "unacked": consumer.unacked,
    }


def _totals(queue: Queue) -> Totals:
    return asdict(queue.totals)
