"""The registration form, and what becomes of it when it is posted.

The answer to an address that is known is the answer to one that is not, down to the cookie: 303 to the page from which
the form was opened. Whether a mail comes, only the owner of the mailbox learns.
"""

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp_jinja2 import render_template

from mailpact_producer import accounts, tokens
from mailpact_producer.accounts import Field, FieldErrors, IsMailable, Registration, read_form
from mailpact_producer.registration import Registrar
from mailpact_producer.web.cookies import Cookies
from mailpact_producer.web.form import posted_fields
from mailpact_producer.web.pages import Pages, read_guid

CSRF_FIELD: Final = "csrf"
PAGE_FIELD: Final = "page"
_LIMITS: Final = {
    "max_name": accounts.MAX_NAME,
    "max_address": accounts.MAX_ADDRESS,
    "min_password": accounts.MIN_PASSWORD,
    "max_password": accounts.MAX_PASSWORD,
}


class RegistrationForm:
    """Shows the form and takes it."""

    def __init__(
        self, registrar: Registrar, site_pages: Pages, cookies: Cookies, key: bytes, is_mailable: IsMailable
    ) -> None:
        self._registrar = registrar
        self._pages = site_pages
        self._cookies = cookies
        self._key = key
        self._is_mailable = is_mailable

    async def show(self, request: web.Request) -> web.Response:
        """Show the empty form, with a token that the browser must bring back."""
        token = self._cookies.csrf(request)
        if not tokens.is_ours(self._key, token):
            token = tokens.make_token(self._key, secrets.token_bytes(tokens.RANDOM_BYTES))
        response = self._form(request, token, {PAGE_FIELD: request.query.get(PAGE_FIELD, "")}, {})
        self._cookies.set_csrf(response, token)
        return response

    async def take(self, request: web.Request) -> web.Response:
        """Register the reader and lead back; 422 with the form and what is wrong in it, 403 if it is not ours."""
        fields = await posted_fields(request)
        token = self._cookies.csrf(request)
        if not tokens.is_from_our_form(self._key, cookie=token, field=fields.get(CSRF_FIELD, "")):
            raise web.HTTPForbidden
        registration = read_form(fields, self._is_mailable)
        if not isinstance(registration, Registration):
            return self._form(request, token, fields, registration)
        path = await self._pages.path_or_welcome(read_guid(fields.get(PAGE_FIELD, "")))
        await self._registrar.register(registration)
        response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path})
        self._cookies.set_notice(response)
        return response

    def _form(
        self, request: web.Request, token: str, fields: Mapping[str, str], errors: FieldErrors
    ) -> web.Response:
        context = {
            "csrf": token,
            "page": read_guid(fields.get(PAGE_FIELD, "")) or "",
            "name": fields.get(Field.NAME, ""),
            "email": fields.get(Field.EMAIL, ""),
            "errors": errors,
            **_LIMITS,
        }
        status = HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK
        return render_template("register.html", request, context, status=status)
