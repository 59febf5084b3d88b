"""The pages of mailed links. Opening a link only shows a page with a button; the button uses the link.

Mail programs and virus scanners open links automatically, so a GET must not change anything.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from aiohttp import web

from mailpact_producer.profile import Profile
from mailpact_producer.registration import Registrar
from mailpact_producer.web.asking import FormTools
from mailpact_producer.web.forms import see_other
from mailpact_producer.web.notices import NoticeKind

_Use = Callable[[str], Awaitable[bool]]


class LinkPages:
    """Shows what a mailed link does, and carries it out."""

    def __init__(self, registrar: Registrar, profile: Profile, tools: FormTools) -> None:
        self._registrar = registrar
        self._profile = profile
        self._tools = tools

    async def show_confirm(self, request: web.Request) -> web.Response:
        """Show the button that confirms an address."""
        token = request.query.get("token", "")
        found = await self._registrar.look(token)
        if found is None or not found[0].works:
            return self._dead_confirm(request, is_used=found is not None and found[0].is_used)
        return self._tools.forms.show(request, "confirm.html", {"token": token, "user": found[1]})

    async def confirm(self, request: web.Request) -> web.Response:
        """Confirm the address. This does not log anybody in."""
        return await self._use(
            request, self._registrar.confirm, "/login", NoticeKind.CONFIRMED, dead=self._dead_confirm
        )

    async def disown(self, request: web.Request) -> web.Response:
        """Delete the registration, because the owner of the mailbox says that another person made it."""
        return await self._use(
            request, self._registrar.disown, "/", NoticeKind.DISOWNED, dead=self._dead_confirm
        )

    async def show_change(self, request: web.Request) -> web.Response:
        """Show the button that confirms a new address."""
        token = request.query.get("token", "")
        link = await self._profile.look(token)
        if link is None or not link.works:
            return self._dead_change(request, is_used=link is not None and link.is_used)
        return self._tools.forms.show(request, "change-address.html", {"token": token, "email": link.email})

    async def change(self, request: web.Request) -> web.Response:
        """Store the new address."""
        return await self._use(
            request,
            self._profile.change_address,
            "/account",
            NoticeKind.ADDRESS_CHANGED,
            dead=self._dead_change,
        )

    async def disown_change(self, request: web.Request) -> web.Response:
        """End the link, because the owner of the mailbox says that another person asked for it."""
        return await self._use(
            request, self._profile.disown_change, "/", NoticeKind.DISOWNED, dead=self._dead_change
        )

    async def _use(
        self,
        request: web.Request,
        use: _Use,
        path: str,
        notice: NoticeKind,
        *,
        dead: Callable[..., web.Response],
    ) -> web.Response:
        async def take(fields: Mapping[str, str]) -> web.Response:
            if not await use(fields.get("token", "")):
                return dead(request, is_used=False)
            response = see_other(path)
            self._tools.notices.set(response, notice)
            return response

        return await self._tools.forms.take(request, "dead-form.html", {}, take)

    def _dead_confirm(self, request: web.Request, *, is_used: bool) -> web.Response:
        return self._dead(request, is_used=is_used, again="/confirm/again", what="confirm your address")

    def _dead_change(self, request: web.Request, *, is_used: bool) -> web.Response:
        return self._dead(request, is_used=is_used, again="/account", what="change your address")

    def _dead(self, request: web.Request, *, is_used: bool, again: str, what: str) -> web.Response:
        context = {"is_used": is_used, "again": again, "what": what}
        return self._tools.forms.show(request, "dead-link.html", context, status=HTTPStatus.GONE)
