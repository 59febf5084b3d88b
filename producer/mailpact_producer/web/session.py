"""Determines who is logged in, from the session's cookie."""

from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from mailpact_producer.login import Login
from mailpact_producer.store.users import User
from mailpact_producer.web.cookies import Cookies

_READER: Final = web.RequestKey("READER", User)

MAIL_TROUBLE: Final = web.RequestKey("MAIL_TROUBLE", str)
"""Why mail does not flow, for an administrator; empty if it flows."""


def reader(request: web.Request) -> User | None:
    """Return the reader who sent this request; None if nobody is logged in."""
    return request.get(_READER)


def is_admin(request: web.Request) -> bool:
    """Return whether an administrator sent this request."""
    user = reader(request)
    return user is not None and user.is_admin


def sessions(login: Login, cookies: Cookies) -> Middleware:
    """Return a middleware that looks up the session of each request. Browsers do not store pages of a session."""

    @web.middleware
    async def look_up(request: web.Request, handler: Handler) -> web.StreamResponse:
        secret = cookies.session(request)
        user = await login.reader(secret) if secret else None
        if user is not None:
            request[_READER] = user
        response = await handler(request)
        if secret and user is None and not cookies.sets_session(response):
            cookies.drop_session(response)
        if secret:
            response.headers[hdrs.CACHE_CONTROL] = "no-store"
        return response

    return look_up
