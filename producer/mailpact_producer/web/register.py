"""The registration form, and what becomes of it when it is posted.

The answer to an address that is known is the answer to one that is not, down to the cookie: 303 to the page from which
the form was opened. Whether a mail comes, only the owner of the mailbox learns.
"""

import time
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from mailpact_producer import accounts
from mailpact_producer.accounts import IsMailable, Registration, read_registration
from mailpact_producer.limits import Admission
from mailpact_producer.mail_gate import MailGate
from mailpact_producer.registration import Registrar
from mailpact_producer.web.failures import TOO_MANY
from mailpact_producer.web.forms import FormRefused, Forms, see_other
from mailpact_producer.web.network import Networks
from mailpact_producer.web.notices import NoticeKind, Notices
from mailpact_producer.web.pages import Pages, read_guid

PAGE_FIELD: Final = "page"
_TEMPLATE: Final = "register.html"
_LIMITS: Final = {
    "max_name": accounts.MAX_NAME,
    "max_address": accounts.MAX_ADDRESS,
    "min_password": accounts.MIN_PASSWORD,
    "max_password": accounts.MAX_PASSWORD,
}


class RegistrationForm:
    """Shows the form and takes it."""

    def __init__(
        self,
        registrar: Registrar,
        gate: MailGate,
        *,
        forms: Forms,
        notices: Notices,
        networks: Networks,
        site_pages: Pages,
        is_mailable: IsMailable,
        common_passwords: Collection[str],
    ) -> None:
        self._registrar = registrar
        self._gate = gate
        self._forms = forms
        self._notices = notices
        self._networks = networks
        self._pages = site_pages
        self._is_mailable = is_mailable
        self._common_passwords = common_passwords

    async def show(self, request: web.Request) -> web.Response:
        """Show the empty form."""
        page = read_guid(request.query.get(PAGE_FIELD, "")) or ""
        return self._forms.show(request, _TEMPLATE, _LIMITS, fields={PAGE_FIELD: page})

    async def take(self, request: web.Request) -> web.Response:
        """Register the reader and lead back to the page that the form was opened from."""

        async def take(fields: Mapping[str, str]) -> web.Response:
            registration = read_registration(fields, self._is_mailable, self._common_passwords)
            if not isinstance(registration, Registration):
                raise FormRefused("Please correct the fields that are marked below.", errors=registration)
            await self._register(request, registration)
            response = see_other(await self._pages.path_or_welcome(read_guid(fields.get(PAGE_FIELD, ""))))
            self._notices.set(response, NoticeKind.REGISTERED, registration.email)
            return response

        return await self._forms.take(request, _TEMPLATE, _LIMITS, take)

    async def _register(self, request: web.Request, registration: Registration) -> None:
        network = self._networks.of(request)
        match await self._gate.admit(registration.email, network, now_seconds=time.monotonic()):
            case Admission.GRANTED:
                await self._registrar.register(registration)
            case Admission.MAILBOX_FULL:
                await self._registrar.pretend(registration)
            case Admission.NETWORK_FULL:
                raise FormRefused(TOO_MANY, status=HTTPStatus.TOO_MANY_REQUESTS, retry_seconds=3600)
