"""The site's two cookies, which nothing but the site itself reads.

Both are HttpOnly. On https they are `Secure` and carry the prefix `__Host-`, with which no other host, a subdomain
included, can plant them (RFC 6265bis 4.1.3). SameSite is Lax, not Strict: who follows a link from a mail to the form
would come without the cookie, get a new one, and break the form that is still open in another tab. The cookie is no
login; a form posted from another site is stopped by Lax as well.
"""

from typing import Final

from aiohttp import web

NOTICE_SECONDS: Final = 30
_SHOWN: Final = "registered"


class Cookies:
    """Reads and sets them, under the names that the site's scheme allows."""

    def __init__(self, *, is_https: bool) -> None:
        prefix = "__Host-" if is_https else ""
        self._is_https = is_https
        self._csrf = f"{prefix}mailpact_csrf"
        self._notice = f"{prefix}mailpact_notice"

    def csrf(self, request: web.Request) -> str:
        """Return the token that the browser sent; empty without one."""
        return request.cookies.get(self._csrf, "")

    def set_csrf(self, response: web.StreamResponse, token: str) -> None:
        """Let the browser keep a token until it is closed."""
        self._set(response, self._csrf, token, max_age=None)

    def set_notice(self, response: web.StreamResponse) -> None:
        """Let the next page say thank you, whoever has registered and whether that was news."""
        self._set(response, self._notice, _SHOWN, max_age=NOTICE_SECONDS)

    def has_notice(self, request: web.Request) -> bool:
        """Whether the page is to say thank you."""
        return request.cookies.get(self._notice) == _SHOWN

    def drop_notice(self, response: web.StreamResponse) -> None:
        """Let it be said once only."""
        self._set(response, self._notice, "", max_age=0)

    def _set(self, response: web.StreamResponse, name: str, value: str, *, max_age: int | None) -> None:
        response.set_cookie(
            name, value, max_age=max_age, path="/", secure=self._is_https, httponly=True, samesite="Lax"
        )
