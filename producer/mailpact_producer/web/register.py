"""Registering: the form, and what becomes of it.

A known address and a new one get the same answer after the same work (one hash, one transaction), so that nobody can
find out who is registered. The answer never waits for the broker: the message is a row, and the row is committed.
"""

import secrets
from collections.abc import Callable, Mapping

from aiohttp import web
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from mailpact.contracts.catalogue import Contract
from mailpact.contracts.validate import Validator
from mailpact.database.transactions import Database
from mailpact.telemetry import Journey, Point
from mailpact_producer.accounts import FieldErrors, Registration, read_form
from mailpact_producer.events import registered
from mailpact_producer.passwords import Hashing
from mailpact_producer.store import outbox
from mailpact_producer.store.pages import WELCOME, find_page
from mailpact_producer.store.users import insert_user
from mailpact_producer.tokens import NONCE_BYTES, is_valid, make_token
from mailpact_producer.web.cookies import Cookies
from mailpact_producer.web.pages import render


class Register:
    """The registration form."""

    def __init__(
        self,
        database: Database,
        hashing: Hashing,
        cookies: Cookies,
        contract: Contract,
        *,
        key: bytes,
        journey: Journey,
        new_id: Callable[[], str],
        committed: Callable[[], None],
    ) -> None:
        self._database = database
        self._hashing = hashing
        self._cookies = cookies
        self._contract = contract
        self._writer = Validator(contract.writer_schema)
        self._key = key
        self._journey = journey
        self._new_id = new_id
        self._committed = committed

    def add_routes(self, app: web.Application) -> None:
        """Serve `/register`."""
        app.router.add_get("/register", self.form)
        app.router.add_post("/register", self.post)

    async def form(self, request: web.Request) -> web.StreamResponse:
        """Show the form. It carries the page that it was opened from."""
        return self._show(request, {"page": request.query.get("page", "")}, {}, status=200)

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Register a reader: 303 to the page that the form was opened from, 422 with the form if it is wrong."""
        fields = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        if not is_valid(self._key, cookie=self._cookies.token(request), field=fields.get("csrf_token", "")):
            return render(request, "expired.html", status=403)
        form = read_form(fields, self._writer)
        if isinstance(form, FieldErrors):
            return self._show(request, fields, form.messages, status=422)
        guid = await self._register(form, fields.get("page", ""))
        answer = web.HTTPSeeOther(f"/page/{guid}")
        self._cookies.set_notice(answer)
        return answer

    async def _register(self, registration: Registration, page: str) -> str:
        password_hash = await self._hashing.hash(registration.password)
        event = registered(registration.email, message_id=self._new_id(), contract=self._contract)

        def work(connection: Connection) -> None:
            insert_user(connection, registration, guid=self._new_id(), password_hash=password_hash)
            outbox.enqueue(connection, event)

        try:
            await self._database.transact(work)
        except IntegrityError:
            pass  # the address is known; nobody is to learn that
        else:
            self._journey.reach(Point.COMMITTED, event.message_id)
            self._committed()
        found = await self._database.transact(lambda connection: find_page(connection, page))
        return found.guid if found is not None else WELCOME.guid

    def _show(
        self, request: web.Request, fields: Mapping[str, str], errors: Mapping[str, str], *, status: int
    ) -> web.StreamResponse:
        token = make_token(self._key, secrets.token_bytes(NONCE_BYTES))
        kept = {name: fields.get(name, "") for name in ("name", "email", "page")}
        response = render(
            request, "register.html", status=status, fields=kept, errors=errors, csrf_token=token
        )
        self._cookies.set_token(response, token)
        return response
