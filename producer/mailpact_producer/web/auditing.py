"""Tells the audit log who sends each request."""

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from mailpact_producer import audit
from mailpact_producer.audit import Who
from mailpact_producer.web.network import Networks
from mailpact_producer.web.session import reader


def auditing(networks: Networks) -> Middleware:
    """Return a middleware that records account and network of a request; the session must be looked up before."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        user = reader(request)
        soon = asyncio.get_running_loop().call_soon_threadsafe
        who = Who(None if user is None else user.id, networks.of(request), soon)
        token = audit.current.set(who)
        try:
            return await handler(request)
        finally:
            audit.current.reset(token)

    return note
