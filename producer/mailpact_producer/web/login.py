"""Logging in, logging out, and a new password for those who have forgotten theirs."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from mailpact_producer import accounts
from mailpact_producer.accounts import Field, Wrong, read_password
from mailpact_producer.errors import TooManyAttempts
from mailpact_producer.login import Login
from mailpact_producer.recovery import Recovery
from mailpact_producer.web.asking import FormTools, typed_address
from mailpact_producer.web.forms import FORM_FIELD, FormRefused, see_other
from mailpact_producer.web.notices import NoticeKind
from mailpact_producer.web.session import reader

LIMITS: Final = {
    "max_address": accounts.MAX_ADDRESS,
    "min_password": accounts.MIN_PASSWORD,
    "max_password": accounts.MAX_PASSWORD,
}
WRONG: Final = "Address or password is wrong. Please check both."
UNCONFIRMED: Final = (
    "Your address is not confirmed yet. Please open the link in the mail, or ask for a new link below."
)


class LoginForms:
    """Shows and handles the forms for logging in."""

    def __init__(self, login: Login, recovery: Recovery, tools: FormTools) -> None:
        self._login = login
        self._recovery = recovery
        self._tools = tools

    async def show(self, request: web.Request) -> web.Response:
        """Show the form; redirect a person who is logged in to the account."""
        if reader(request) is not None:
            return see_other("/account")
        return self._tools.forms.show(request, "login.html", LIMITS)

    async def take(self, request: web.Request) -> web.Response:
        """Begin a session with a new secret, whatever secret the browser has sent."""

        async def take(fields: Mapping[str, str]) -> web.Response:
            email = typed_address(fields, self._tools.is_mailable)
            password = accounts.normalised_password(fields.get(Field.PASSWORD, ""))
            try:
                found = await self._login.log_in(email, password, self._tools.asking.network(request))
            except TooManyAttempts as error:
                raise FormRefused(
                    f"There were too many attempts. Please try again in {error.retry_seconds} seconds.",
                    status=HTTPStatus.TOO_MANY_REQUESTS,
                    retry_seconds=error.retry_seconds,
                ) from None
            if found is None:
                raise FormRefused(WRONG)
            if found.secret is None:
                raise FormRefused(UNCONFIRMED, status=HTTPStatus.FORBIDDEN)
            before = self._tools.cookies.session(request)
            if before:
                await self._login.log_out(before)
            response = see_other("/account")
            self._tools.cookies.set_session(response, found.secret)
            return response

        return await self._tools.forms.take(request, "login.html", LIMITS, take)

    async def log_out(self, request: web.Request) -> web.Response:
        """End the session on the server, too."""

        async def take(_fields: Mapping[str, str]) -> web.Response:
            await self._login.log_out(self._tools.cookies.session(request))
            response = see_other("/")
            self._tools.cookies.drop_session(response)
            self._tools.notices.set(response, NoticeKind.LOGGED_OUT)
            return response

        return await self._tools.forms.take(request, "logout.html", {}, take)

    async def show_forgotten(self, request: web.Request) -> web.Response:
        """Show the form that asks for a link."""
        return self._tools.forms.show(request, "forgot.html", LIMITS)

    async def take_forgotten(self, request: web.Request) -> web.Response:
        """Send a link if there is such a reader; the answer is the same if there is none."""

        async def take(fields: Mapping[str, str]) -> web.Response:
            email = typed_address(fields, self._tools.is_mailable)
            wanted = self._tools.asking.mail(request, email)
            await self._recovery.ask(email, fields.get(FORM_FIELD, ""), wanted)
            response = see_other("/")
            self._tools.notices.set(response, NoticeKind.RESET_SENT, email)
            return response

        return await self._tools.forms.take(request, "forgot.html", LIMITS, take, hides_its_work=True)

    async def show_reset(self, request: web.Request) -> web.Response:
        """Show the form for a new password, or say that the link does not work; the link is not used up."""
        token = request.query.get("token", "")
        link = await self._recovery.look(token)
        if link is None or not link.works:
            return self._dead(request, is_used=link is not None and link.is_used)
        return self._tools.forms.show(request, "reset.html", LIMITS | {"token": token})

    async def take_reset(self, request: web.Request) -> web.Response:
        """Store the new password. The reader is not logged in and must type the password once more."""
        token = request.query.get("token", "")

        async def take(fields: Mapping[str, str]) -> web.Response:
            try:
                password = read_password(fields.get(Field.PASSWORD, ""), self._tools.common_passwords, ())
            except Wrong as wrong:
                raise FormRefused(errors={Field.PASSWORD: str(wrong)}) from None
            if not await self._recovery.choose(token, password):
                return self._dead(request, is_used=False)
            response = see_other("/login")
            self._tools.cookies.drop_session(response)
            self._tools.notices.set(response, NoticeKind.PASSWORD_CHANGED)
            return response

        return await self._tools.forms.take(request, "reset.html", LIMITS | {"token": token}, take)

    def _dead(self, request: web.Request, *, is_used: bool) -> web.Response:
        context = {"is_used": is_used, "again": "/forgot", "what": "choose a new password"}
        return self._tools.forms.show(request, "dead-link.html", context, status=HTTPStatus.GONE)
