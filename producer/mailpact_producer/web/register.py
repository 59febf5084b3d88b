"""The registration form and its processing.

The answer, with its cookie, is the same for a known and an unknown address: 303 to the page from which the form was
opened. Only the owner of the mailbox learns whether an account exists.
"""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from mailpact_producer import accounts
from mailpact_producer.accounts import Registration, read_registration
from mailpact_producer.registration import Registrar
from mailpact_producer.web.asking import FormTools, typed_address
from mailpact_producer.web.forms import FORM_FIELD, FormRefused, see_other
from mailpact_producer.web.notices import NoticeKind
from mailpact_producer.web.pages import Pages, read_guid

PAGE_FIELD: Final = "page"
AGAIN_TEMPLATE: Final = "again.html"
_TEMPLATE: Final = "register.html"
_LIMITS: Final = {
    "max_name": accounts.MAX_NAME,
    "max_address": accounts.MAX_ADDRESS,
    "min_password": accounts.MIN_PASSWORD,
    "max_password": accounts.MAX_PASSWORD,
}


class RegistrationForm:
    """Shows and handles the form."""

    def __init__(self, registrar: Registrar, site_pages: Pages, tools: FormTools) -> None:
        self._registrar = registrar
        self._pages = site_pages
        self._tools = tools

    async def show(self, request: web.Request) -> web.Response:
        """Show the empty form."""
        page = read_guid(request.query.get(PAGE_FIELD, "")) or ""
        return self._tools.forms.show(request, _TEMPLATE, _LIMITS, fields={PAGE_FIELD: page})

    async def take(self, request: web.Request) -> web.Response:
        """Register the reader and redirect to the page from which the form was opened."""

        async def take(fields: Mapping[str, str]) -> web.Response:
            registration = read_registration(fields, self._tools.is_mailable, self._tools.common_passwords)
            if not isinstance(registration, Registration):
                raise FormRefused("Please correct the fields that are marked below.", errors=registration)
            wanted = self._tools.asking.mail(request, registration.email)
            await self._registrar.register(registration, fields.get(FORM_FIELD, ""), wanted)
            response = see_other(await self._pages.path_or_welcome(read_guid(fields.get(PAGE_FIELD, ""))))
            self._tools.notices.set(response, NoticeKind.REGISTERED, registration.email)
            return response

        return await self._tools.forms.take(request, _TEMPLATE, _LIMITS, take)

    async def send_again(self, request: web.Request) -> web.Response:
        """Send the mail of a registration once more, to the address in the notice."""

        async def take(fields: Mapping[str, str]) -> web.Response:
            email = self._tools.notices.address(fields.get("to", ""))
            if email is None:
                raise FormRefused("Please enter your address.")
            return await self._send_again(request, email, fields.get(FORM_FIELD, ""))

        return await self._tools.forms.take(request, AGAIN_TEMPLATE, _LIMITS, take, hides_its_work=True)

    async def show_again(self, request: web.Request) -> web.Response:
        """Show the form that asks for another link."""
        return self._tools.forms.show(request, AGAIN_TEMPLATE, _LIMITS)

    async def take_again(self, request: web.Request) -> web.Response:
        """Send another link to a typed address."""

        async def take(fields: Mapping[str, str]) -> web.Response:
            email = typed_address(fields, self._tools.is_mailable)
            return await self._send_again(request, email, fields.get(FORM_FIELD, ""))

        return await self._tools.forms.take(request, AGAIN_TEMPLATE, _LIMITS, take, hides_its_work=True)

    async def _send_again(self, request: web.Request, email: str, form: str) -> web.Response:
        await self._registrar.send_again(email, form, self._tools.asking.mail(request, email))
        response = see_other("/")
        self._tools.notices.set(response, NoticeKind.REGISTERED, email)
        return response
