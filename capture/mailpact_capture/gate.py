"""Who may read the mails: programs and pages of this machine, and no web page from elsewhere.

A page that somebody opens in a browser can make the browser ask http://127.0.0.1:8025 too. The browser then says
where the page is from (`Origin`): a foreign one is answered with 403. A page can hide that by having its own host
name point to 127.0.0.1 (DNS rebinding); then `Host` is that name, and any name but this server's gets 421.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_own_host(host: str, bound_host: str) -> bool:
    """Tell whether a Host header names this server: localhost, a loopback address or where it listens, any port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or str(address) == bound_host


def is_own_origin(origin: str, host: str) -> bool:
    """Tell whether an Origin header names the very server that is asked."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def gate(bound_host: str) -> Middleware:
    """Make the middleware for a server that listens on `bound_host`."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_own_host(request.headers.get("Host", ""), bound_host):
            return web.Response(
                status=421, text="This server answers to localhost and its own address only.\n"
            )
        origin = request.headers.get("Origin")
        if origin is not None and not is_own_origin(origin, request.headers["Host"]):
            return web.Response(status=403, text="Pages from elsewhere may not read the mails here.\n")
        return await handler(request)

    return check
