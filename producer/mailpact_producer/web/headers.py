"""The headers of the site's answers, which also say whether a browser may store the answer.

An answer that belongs to a session or sets a cookie is not stored at all. Every other page may be stored, but must be
requested again each time (`no-cache`), because a page can change or be withdrawn at any moment.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from mailpact.web.security import DEFAULT_HEADERS

ASK_AGAIN: Final = "no-cache"
HTTPS_ONLY: Final = (
    "max-age=31536000"  # one year, RFC 6797; the site does not decide for other hosts of the domain
)

HEADERS: Final = web.AppKey("HEADERS", Mapping[str, str])
"""What every answer carries that says nothing of its own."""


def add_site_headers(app: web.Application, *, is_https: bool) -> None:
    """Add the site's headers to every answer of `app`; headers that a handler has set are kept."""
    secure: dict[str, str] = {hdrs.STRICT_TRANSPORT_SECURITY: HTTPS_ONLY} if is_https else {}
    headers: dict[str, str] = {**DEFAULT_HEADERS, hdrs.VARY: hdrs.COOKIE, **secure}

    async def prepare(_request: web.Request, response: web.StreamResponse) -> None:
        if response.status < HTTPStatus.BAD_REQUEST and not response.cookies:
            response.headers.setdefault(hdrs.CACHE_CONTROL, ASK_AGAIN)
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        response.headers.pop(hdrs.SERVER, None)

    app[HEADERS] = headers
    app.on_response_prepare.append(prepare)
