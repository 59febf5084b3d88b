"""Serves the health of a process to whoever operates it: `/livez`, `/readyz` and `/metrics`.

`/livez` answers 200 for as long as the event loop runs. It asks nothing of the broker or the database: an outage of
theirs would otherwise make an orchestrator restart processes that are well.

`/readyz` answers 200 while every required condition holds and 503 otherwise, each time with a JSON object that names
every condition:

    {"ready": false, "conditions": {"broker": {"ok": false, "required": true, "detail": "access refused"}}}

`/metrics` answers with the numbers of one Prometheus registry. The caller makes the registry and hands it in; nothing
is registered globally, so that two services in one process do not mix their numbers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from mailpact.web.security import add_security_headers

CHECK_SECONDS: Final = 3.0
"""How long the check may take before `/readyz` answers 503 without it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a service needs, and whether the service has it now.

    `detail` is one line for a person; it must not hold a password, an address of a reader or a message's body. A
    condition that is not `required` is shown, and does not make the service unready.
    """

    name: str
    ok: bool
    detail: str = ""
    required: bool = True


Check = Callable[[], Awaitable[Iterable[Condition]]]


def readiness(conditions: Iterable[Condition]) -> tuple[int, dict[str, object]]:
    """Return the HTTP status and the JSON object that `/readyz` answers with."""
    listed = list(conditions)
    ready = all(condition.ok for condition in listed if condition.required)
    shown = {
        condition.name: {"ok": condition.ok, "required": condition.required, "detail": condition.detail}
        for condition in listed
    }
    return (200 if ready else 503), {"ready": ready, "conditions": shown}


def add_probes(app: web.Application, check: Check) -> None:
    """Add `/livez` and `/readyz` to an application. `check` is awaited anew for each request to `/readyz`."""

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(_request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                conditions = list(await check())
        except TimeoutError:
            conditions = [Condition("check", ok=False, detail=f"no result within {CHECK_SECONDS:g} seconds")]
        status, body = readiness(conditions)
        return web.json_response(body, status=status)

    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)


def health_app(check: Check, registry: CollectorRegistry) -> web.Application:
    """Return the application for `--health HOST:PORT`; serve it with `mailpact.web.serving.serving`."""

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    add_security_headers(app)
    add_probes(app, check)
    app.router.add_get("/metrics", metrics)
    return app
