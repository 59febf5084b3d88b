"""Tells administrators on every page when mail does not flow."""

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from mailpact.database.transactions import Database
from mailpact_producer.health import LONGEST_WAIT_SECONDS
from mailpact_producer.store import outbox
from mailpact_producer.web.session import WAITING_MINUTES, is_admin

_MINUTE_SECONDS: Final = 60


def watching_mail(database: Database) -> Middleware:
    """Return what looks at the outbox for the pages of administrators; the session is looked up before."""

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_admin(request):
            oldest = (await database.transact(outbox.backlog)).oldest_seconds
            if oldest > LONGEST_WAIT_SECONDS:
                request[WAITING_MINUTES] = int(oldest // _MINUTE_SECONDS)
        return await handler(request)

    return watch
