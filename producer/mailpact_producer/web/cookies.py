"""The site's two cookies: the form's token, and a word that is shown once.

Both are for the server alone (HttpOnly) and never sent along from other sites (SameSite=Strict). On https they carry
the `__Host-` prefix, so that no neighbouring host can plant one; on http browsers would refuse that.
"""

from aiohttp import web

TOKEN = "mailpact_csrf"  # noqa: S105  # the cookie's name
NOTICE = "mailpact_notice"
NOTICE_SECONDS = 30


class Cookies:
    """Reads and writes the site's cookies."""

    def __init__(self, *, is_https: bool) -> None:
        self._prefix = "__Host-" if is_https else ""
        self._is_https = is_https

    def token(self, request: web.Request) -> str:
        """Give the form token that the browser sent, "" if none."""
        return request.cookies.get(self._prefix + TOKEN, "")

    def set_token(self, response: web.StreamResponse, token: str) -> None:
        """Have the browser keep a form token until it is closed."""
        self._set(response, TOKEN, token, max_age=None)

    def has_notice(self, request: web.Request) -> bool:
        """Whether the reader has just registered."""
        return self._prefix + NOTICE in request.cookies

    def set_notice(self, response: web.StreamResponse) -> None:
        """Have the next page thank the reader. The same word for all: it must not tell who was known already."""
        self._set(response, NOTICE, "registered", max_age=NOTICE_SECONDS)

    def clear_notice(self, response: web.StreamResponse) -> None:
        """Take the notice back: it was shown."""
        response.del_cookie(
            self._prefix + NOTICE, path="/", secure=self._is_https, httponly=True, samesite="Strict"
        )

    def _set(self, response: web.StreamResponse, name: str, value: str, *, max_age: int | None) -> None:
        response.set_cookie(
            self._prefix + name,
            value,
            path="/",
            max_age=max_age,
            secure=self._is_https,
            httponly=True,
            samesite="Strict",
        )
