"""HTTP headers that protect a page even if hostile text was not escaped.

No script runs, nothing is loaded from other sites, no other site may show the page in a frame, and forms post only to
the same site. Browsers and proxies store no answers, unless a handler sets a Cache-Control header.
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
    """Add the headers above to every answer of `app`; a header that a handler has set is not changed."""
    app.on_response_prepare.append(_set_headers)


async def _set_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in DEFAULT_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "Mailpact"  # aiohttp would send its own version and that of Python
