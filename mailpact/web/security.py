"""HTTP headers that make a page harmless even if hostile text ever slipped through its escaping.

The pages are plain HTML with one stylesheet: no script runs, nothing is loaded from elsewhere, nobody may
frame them, and forms post only to where they came from. Answers are not stored by browsers or proxies
unless a handler says otherwise by a Cache-Control header of its own.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aiohttp import web

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

DEFAULT_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
)


def add_security_headers(app: web.Application) -> None:
    """Return every answer of `app` the headers above; one that a handler has set itself stays as it is."""
    app.on_response_prepare.append(_set_headers)


async def _set_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in DEFAULT_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "Mailpact"  # aiohttp would tell the versions of itself and of Python
