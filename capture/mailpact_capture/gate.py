"""Decide who may read the mails: programs and pages of this machine, but no web page of another site.

Any web page in a browser can make the browser send requests to http://127.0.0.1:8025. The browser then names the
page's site in `Origin` and `Sec-Fetch-Site`. Requests of a page of another site get 403, except a link that somebody
follows (the navigation of a whole tab), which never changes anything. A page can hide its site by DNS rebinding: its
own host name resolves to 127.0.0.1. Then `Host` is this name, and a name that is not a name of this server gets 421.
"""

import ipaddress
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FOLLOWED_LINK: Final = web.RequestKey("followed_link", bool)

_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


def is_own_host(host: str, bound_host: str, allowed: Collection[str] = ()) -> bool:
    """Return whether a Host header names this server, on any port.

    The server's names are localhost, the loopback addresses, the address where the server listens, and the allowed
    names. Upper case and a dot at the end make no difference.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = bare_name(match[1] or match[2])
    if name == "localhost" or name in allowed:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback or str(address) == bound_host


def bare_name(name: str) -> str:
    """Return a host's name in the form in which names are compared."""
    return name.lower().removesuffix(".")


def is_own_origin(origin: str, host: str) -> bool:
    """Return whether an Origin header names the same server as the Host header; `null` names no server."""
    return origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())


def is_foreign(sites: Iterable[str]) -> bool:
    """Return whether Sec-Fetch-Site says that a page of another site made the request."""
    return any(site.lower() not in ("same-origin", "none") for site in sites)


def is_followed_link(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether the browser's headers say that somebody followed a link (no image, script or frame was loaded)."""
    return (
        method == "GET"
        and headers.get("Sec-Fetch-Mode", "").lower() == "navigate"
        and headers.get("Sec-Fetch-Dest", "").lower() == "document"
    )


def gate(bound_host: str, allowed: Collection[str] = ()) -> Middleware:
    """Return the middleware for a server that listens on `bound_host` and also has the allowed names."""
    names = frozenset(map(bare_name, allowed))

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origins = request.headers.get("Host", ""), request.headers.getall("Origin", [])
        if not is_own_host(host, bound_host, names):
            text = "This server answers to localhost, its own address and the names given by --allowed-host only.\n"
            return web.Response(status=421, text=text)
        followed = False
        if is_foreign(request.headers.getall("Sec-Fetch-Site", [])):
            followed = is_followed_link(request.method, request.headers)
            if not followed:
                return web.Response(status=403, text="Pages from elsewhere may not read the mails here.\n")
        if not all(is_own_origin(origin, host) for origin in origins):
            return web.Response(status=403, text="Pages from elsewhere may not read the mails here.\n")
        request[FOLLOWED_LINK] = followed
        return await handler(request)

    return check
