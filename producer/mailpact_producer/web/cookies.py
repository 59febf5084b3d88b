"""The site's cookies, which only the site itself reads.

All are HttpOnly. On https they are `Secure` and have the prefix `__Host-`, with which no other host, not even a
subdomain, can set them (RFC 6265bis 4.1.3). SameSite is Lax, not Strict: with Strict, a person who follows a link from
a mail would come without cookies, get a new one, and the form that is still open in another tab would fail. A form
posted from another site comes without cookies under Lax as well.
"""

from typing import Final

from aiohttp import web

NOTICE_SECONDS: Final = 60


class Cookies:
    """Reads and sets cookies, under the names that the site's scheme allows."""

    def __init__(self, *, is_https: bool) -> None:
        prefix = "__Host-" if is_https else ""
        self._is_https = is_https
        self._csrf = f"{prefix}mailpact_csrf"
        self._notice = f"{prefix}mailpact_notice"
        self._session = f"{prefix}mailpact_session"

    def csrf(self, request: web.Request) -> str:
        """Return the token that the browser sent; empty without one."""
        return request.cookies.get(self._csrf, "")

    def set_csrf(self, response: web.StreamResponse, token: str) -> None:
        """Set the token as a cookie that is kept until the browser is closed."""
        self._set(response, self._csrf, token, max_age=None)

    def session(self, request: web.Request) -> str:
        """Return the session's secret that the browser sent; empty without one."""
        return request.cookies.get(self._session, "")

    def set_session(self, response: web.StreamResponse, secret: str) -> None:
        """Set the session's secret as a cookie that is kept until the browser is closed."""
        self._set(response, self._session, secret, max_age=None)

    def sets_session(self, response: web.StreamResponse) -> bool:
        """Return whether an answer begins or ends a session."""
        return self._session in response.cookies

    def drop_session(self, response: web.StreamResponse) -> None:
        """Delete the session's cookie."""
        self._set(response, self._session, "", max_age=0)

    def set_notice(self, response: web.StreamResponse, notice: str) -> None:
        """Set the notice for the next page."""
        self._set(response, self._notice, notice, max_age=NOTICE_SECONDS)

    def notice(self, request: web.Request) -> str:
        """Return the notice that the page must show; empty without one."""
        return request.cookies.get(self._notice, "")

    def drop_notice(self, response: web.StreamResponse) -> None:
        """Delete the notice, so that it is shown only once."""
        self._set(response, self._notice, "", max_age=0)

    def _set(self, response: web.StreamResponse, name: str, value: str, *, max_age: int | None) -> None:
        response.set_cookie(
            name, value, max_age=max_age, path="/", secure=self._is_https, httponly=True, samesite="Lax"
        )
