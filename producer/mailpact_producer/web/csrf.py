"""Distinguishes the site's own forms from forms that another site has made a browser send."""

import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from mailpact_producer import tokens
from mailpact_producer.web.cookies import Cookies
from mailpact_producer.web.session import reader

FIELD: Final = "csrf"
_FROM_ELSEWHERE: Final = frozenset({"cross-site", "same-site"})


class Csrf:
    """Makes the tokens of forms and checks them."""

    def __init__(self, key: bytes, cookies: Cookies, base_url: str) -> None:
        self._key = key
        self._cookies = cookies
        self._host = urlsplit(base_url).netloc

    def token(self, request: web.Request) -> str:
        """Return the token for a form on the page that is asked for."""
        if reader(request) is not None:
            return tokens.token_of_session(self._key, self._cookies.session(request))
        token = self._cookies.csrf(request)
        if tokens.is_ours(self._key, token):
            return token
        return tokens.make_token(self._key, secrets.token_bytes(tokens.RANDOM_BYTES))

    def keep(self, request: web.Request, response: web.StreamResponse, token: str) -> None:
        """Set the token as a cookie, unless the session takes its place."""
        if reader(request) is None:
            self._cookies.set_csrf(response, token)

    def is_ours(self, request: web.Request, fields: Mapping[str, str]) -> bool:
        """Return whether these fields come from a form that this site has made for this browser."""
        if self._is_from_elsewhere(request):
            return False
        field = fields.get(FIELD, "")
        if reader(request) is not None:
            return tokens.is_form_of_session(self._key, session=self._cookies.session(request), field=field)
        return tokens.is_from_our_form(self._key, cookie=self._cookies.csrf(request), field=field)

    def _is_from_elsewhere(self, request: web.Request) -> bool:
        if request.headers.get("Sec-Fetch-Site") in _FROM_ELSEWHERE:
            return True
        # The site's pages send no referrer, and then a browser calls its own origin "null".
        origin = request.headers.get(hdrs.ORIGIN, "null")
        return origin != "null" and urlsplit(origin).netloc not in (self._host, request.host)
