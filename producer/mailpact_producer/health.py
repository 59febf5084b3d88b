"""Reports the site's state to operators: whether the site can serve pages, and whether mail flows.

An outage of the mail must not make the site unready, so `/readyz` requires only the database. `/health/mail` answers
503 while mail does not flow: the database or the broker does not answer, a message has waited in the outbox for more
than two minutes, or the canary is late.
"""

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.registry import Collector

from mailpact.database.transactions import DatabaseUnavailable
from mailpact.health import Condition, health_app
from mailpact_producer.mail_flow import Flow, MailFlow
from mailpact_producer.mail_gate import MailGate
from mailpact_producer.mail_status import StatusListener
from mailpact_producer.store.outbox import Backlog

LOOK_SECONDS: Final = 3.0
"""How long the database may take before mail counts as not flowing."""


class Health:
    """Reports the site's state; `is_connected` returns whether the broker accepts messages from this process."""

    def __init__(
        self,
        flow: MailFlow,
        gate: MailGate,
        statuses: StatusListener,
        is_connected: Callable[[], bool],
        collectors: Iterable[Collector] = (),
    ) -> None:
        self._flow = flow
        self._gate = gate
        self._statuses = statuses
        self._is_connected = is_connected
        self.registry = CollectorRegistry()
        self._pending = self._gauge("cms_outbox_pending", "Messages that the broker has not confirmed yet.")
        self._oldest = self._gauge("cms_outbox_oldest_age_seconds", "Age of the oldest unconfirmed message.")
        self._dead = self._gauge("cms_outbox_dead", "Messages that their own contract refuses: a bug.")
        self._connected = self._gauge("cms_broker_connected", "1 while the broker accepts messages.")
        self._granted = self._gauge(
            "cms_mails_granted", "Mails that were requested and not over a limit, since the start."
        )
        self._withheld = self._gauge(
            "cms_mails_withheld", "Mails that were not sent because of a limit, since the start."
        )
        self._recorded = self._gauge("cms_status_events_recorded", "Status events of the site's mails.")
        self._foreign = self._gauge("cms_status_events_foreign", "Status events of other publishers' mails.")
        self._invalid = self._gauge("cms_status_events_invalid", "Status events that break their contract.")
        if flow.keeper is not None:
            flow.keeper.register(self.registry)
        for collector in collectors:
            self.registry.register(collector)

    async def conditions(self) -> Iterable[Condition]:
        """Return the conditions of the site: the database, and, which is not required, that mail flows."""
        try:
            flow = await self._flow.look()
        except DatabaseUnavailable as error:
            return [Condition("database", ok=False, detail=str(error))]
        trouble = self._trouble(flow)
        return [
            Condition("database", ok=True),
            Condition("mail", ok=not trouble, detail=trouble, required=False),
        ]

    def application(self) -> web.Application:
        """Return the application for `--health HOST:PORT`."""
        app = health_app(self.conditions, self.registry)
        app.middlewares.append(self._refreshing())
        app.router.add_get("/health/mail", self._mail)
        return app

    async def _mail(self, _request: web.Request) -> web.Response:
        canary = None
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                flow = await self._flow.look()
        except TimeoutError:
            trouble = f"the database has not answered within {LOOK_SECONDS:g} seconds"
        except DatabaseUnavailable as error:
            trouble = str(error)
        else:
            trouble, canary = self._trouble(flow), self._flow.described(flow)
        status = HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK
        return web.json_response({"flows": not trouble, "detail": trouble, "canary": canary}, status=status)

    def _trouble(self, flow: Flow) -> str:
        return flow.trouble or (
            "" if self._is_connected() else "the broker accepts no messages from this process"
        )

    def _refreshing(self) -> Middleware:
        @web.middleware
        async def refresh(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path == "/metrics":
                await self._refresh()
            return await handler(request)

        return refresh

    async def _refresh(self) -> None:
        self._connected.set(self._is_connected())
        self._granted.set(self._gate.granted)
        self._withheld.set(self._gate.withheld)
        self._recorded.set(self._statuses.recorded)
        self._foreign.set(self._statuses.foreign)
        self._invalid.set(self._statuses.invalid)
        sighting = None
        try:
            flow = await self._flow.look()
        except DatabaseUnavailable:
            nothing_known = float("nan")
            backlog = Backlog(nothing_known, nothing_known, nothing_known)
        else:
            backlog, sighting = flow.backlog, flow.sighting
        if self._flow.keeper is not None:
            self._flow.keeper.refresh(sighting)
        self._pending.set(backlog.pending)
        self._oldest.set(backlog.oldest_seconds)
        self._dead.set(backlog.dead)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self.registry)
