"""The page of a reader's own account."""

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from mailpact_producer.accounts import Field, Wrong, normalised_password, own_words, read_password
from mailpact_producer.profile import Profile
from mailpact_producer.store.users import User
from mailpact_producer.web.asking import FormTools, typed_address
from mailpact_producer.web.forms import FORM_FIELD, FormRefused, see_other
from mailpact_producer.web.login import LIMITS
from mailpact_producer.web.notices import NoticeKind
from mailpact_producer.web.session import reader

OLD_FIELDS: Final = {
    "address": "password-for-address",
    "password": "password-old",
    "delete": "password-for-delete",
}
_WRONG: Final = "This is not your password."
_Take = Callable[[User, Mapping[str, str]], Awaitable[web.Response]]


class AccountPage:
    """Shows the account and handles its forms."""

    def __init__(self, profile: Profile, tools: FormTools) -> None:
        self._profile = profile
        self._tools = tools

    async def show(self, request: web.Request) -> web.Response:
        """Show the account; redirect a person who is not logged in to the login."""
        user = reader(request)
        if user is None:
            return see_other("/login")
        return self._tools.forms.show(request, "account.html", LIMITS | {"user": user})

    async def export(self, request: web.Request) -> web.Response:
        """Return what is stored about the reader, as a file to keep."""
        user = reader(request)
        if user is None:
            return see_other("/login")
        text = json.dumps(await self._profile.export(user), ensure_ascii=False, indent=2)
        disposition = {"Content-Disposition": 'attachment; filename="my-data.json"'}
        return web.Response(text=text, content_type="application/json", headers=disposition)

    async def change_address(self, request: web.Request) -> web.Response:
        """Send a link to the new address."""

        async def take(user: User, fields: Mapping[str, str]) -> web.Response:
            email = typed_address(fields, self._tools.is_mailable)
            await self._require_password(user, fields, OLD_FIELDS["address"])
            wanted = self._tools.asking.mail(request, email)
            await self._profile.ask_for_address(user, email, fields.get(FORM_FIELD, ""), wanted)
            response = see_other("/account")
            self._tools.notices.set(response, NoticeKind.CHANGE_SENT, email)
            return response

        return await self._take(request, take)

    async def change_password(self, request: web.Request) -> web.Response:
        """Store another password and end all other sessions."""

        async def take(user: User, fields: Mapping[str, str]) -> web.Response:
            personal = own_words({Field.NAME: user.name, Field.EMAIL: user.email})
            try:
                password = read_password(
                    fields.get("password-new", ""), self._tools.common_passwords, personal
                )
            except Wrong as wrong:
                raise FormRefused(errors={"password-new": str(wrong)}) from None
            await self._require_password(user, fields, OLD_FIELDS["password"])
            form, session = fields.get(FORM_FIELD, ""), self._tools.cookies.session(request)
            await self._profile.change_password(user, password, form, session=session)
            response = see_other("/account")
            self._tools.notices.set(response, NoticeKind.PASSWORD_CHANGED)
            return response

        return await self._take(request, take)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete the account and all that belongs to it."""

        async def take(user: User, fields: Mapping[str, str]) -> web.Response:
            await self._require_password(user, fields, OLD_FIELDS["delete"])
            await self._profile.delete(user)
            response = see_other("/")
            self._tools.cookies.drop_session(response)
            self._tools.notices.set(response, NoticeKind.DELETED)
            return response

        return await self._take(request, take)

    async def _take(self, request: web.Request, take: _Take) -> web.Response:
        user = reader(request)
        if user is None:
            raise web.HTTPForbidden
        known = user

        async def take_of_reader(fields: Mapping[str, str]) -> web.Response:
            return await take(known, fields)

        return await self._tools.forms.take(request, "account.html", LIMITS | {"user": user}, take_of_reader)

    async def _require_password(self, user: User, fields: Mapping[str, str], name: str) -> None:
        if not await self._profile.knows_password(user, normalised_password(fields.get(name, ""))):
            raise FormRefused(status=HTTPStatus.FORBIDDEN, errors={name: _WRONG})
