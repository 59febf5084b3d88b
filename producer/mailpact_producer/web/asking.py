"""Asks whether a form may send a mail, and to which address."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from mailpact_producer.accounts import Field, IsMailable, Wrong, read_email
from mailpact_producer.limits import HOUR_SECONDS, Admission
from mailpact_producer.mail_gate import MailGate
from mailpact_producer.web.cookies import Cookies
from mailpact_producer.web.failures import TOO_MANY
from mailpact_producer.web.forms import FormRefused, Forms
from mailpact_producer.web.network import Networks
from mailpact_producer.web.notices import Notices


class Asking:
    """Counts what is asked for by a request's network."""

    def __init__(self, gate: MailGate, networks: Networks) -> None:
        self._gate = gate
        self._networks = networks

    def network(self, request: web.Request) -> str:
        """Return the network that a request comes from."""
        return self._networks.of(request)

    async def admits(self, request: web.Request, email: str) -> bool:
        """Return whether a mail to this address may be sent; False is to be told to nobody.

        Raises FormRefused if the network has asked for too many mails.
        """
        network = self._networks.of(request)
        admission = await self._gate.admit(email, network, now_seconds=time.monotonic())
        if admission is Admission.NETWORK_FULL:
            raise FormRefused(TOO_MANY, status=HTTPStatus.TOO_MANY_REQUESTS, retry_seconds=HOUR_SECONDS)
        return admission is Admission.GRANTED


@dataclass(frozen=True, slots=True)
class FormTools:
    """What the handlers of forms share."""

    forms: Forms
    notices: Notices
    cookies: Cookies
    asking: Asking
    is_mailable: IsMailable
    common_passwords: Collection[str]


def typed_address(fields: Mapping[str, str], is_mailable: IsMailable) -> str:
    """Return the address in a form's field. Raises FormRefused with a sentence beside the field."""
    try:
        return read_email(fields.get(Field.EMAIL, ""), is_mailable)
    except Wrong as wrong:
        raise FormRefused(errors={Field.EMAIL: str(wrong)}) from None
