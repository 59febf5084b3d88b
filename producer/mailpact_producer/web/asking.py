"""Finds the mailbox and the network for which the mail of a form counts, and reads the typed address."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiohttp import web

from mailpact_producer.accounts import Field, IsMailable, Wrong, read_email
from mailpact_producer.mail_gate import MailGate, MailRequest
from mailpact_producer.web.cookies import Cookies
from mailpact_producer.web.forms import FormRefused, Forms
from mailpact_producer.web.network import Networks
from mailpact_producer.web.notices import Notices


class Asking:
    """Makes requests for mail that count for the network of a web request."""

    def __init__(self, gate: MailGate, networks: Networks) -> None:
        self._gate = gate
        self._networks = networks

    def network(self, request: web.Request) -> str:
        """Return the network that a request comes from."""
        return self._networks.of(request)

    def mail(self, request: web.Request, email: str) -> MailRequest:
        """Return the request for a mail to this address."""
        return self._gate.request(email, self._networks.of(request))


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
