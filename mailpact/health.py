"""Serves the health of a process over HTTP: `/livez`, `/readyz` and `/metrics`.

`/livez` answers 200 while the event loop runs. It does not ask the broker or the database: during their outage an
orchestrator would restart processes that work.

`/readyz` answers 200 while every required condition holds, and 503 otherwise. The body names every condition:

    {"ready": false, "conditions": {"broker": {"ok": false, "required": true, "detail": "access refused"}}}

`/metrics` answers with the metrics of the caller's Prometheus registry. No global registry is used, so that two
services in one process do not mix their metrics.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from mailpact.web.security import add_security_headers

CHECK_SECONDS: Final = 3.0  # if the check takes longer, `/readyz` answers 503 without it


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a service needs, and whether the service has it now.

    `detail` is one line for a person, without passwords, readers' addresses or message bodies. A condition that is not
    `required` is shown, but does not make the service unready.
    """

    name: str
    ok: bool
    detail: str = ""
    required: bool = True


Check = Callable[[], Awaitable[Iterable[Condition]]]


def health_app(check: Check, registry: CollectorRegistry) -> web.Application:
    """Return the application for `--health HOST:PORT`. `check` is awaited for each request to `/readyz`."""

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(_request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                conditions = list(await check())
        except TimeoutError:
            conditions = [Condition("check", ok=False, detail=f"no result within {CHECK_SECONDS:g} seconds")]
        ready = all(condition.ok for condition in conditions if condition.required)
        shown = {
            condition.name: {"ok": condition.ok, "required": condition.required, "detail": condition.detail}
            for condition in conditions
        }
        return web.json_response({"ready": ready, "conditions": shown}, status=200 if ready else 503)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    add_security_headers(app)
    for path, handler in {"/livez": livez, "/readyz": readyz, "/metrics": metrics}.items():
        app.router.add_get(path, handler)
    return app
