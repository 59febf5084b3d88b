"""The addresses of the API. Errors are plain text: 400 says what is wrong, 404 is what Mailpit says."""

import asyncio
from typing import Final

from aiohttp import web

from mailpact_capture.api.shapes import headers_json, message_json, page_json
from mailpact_capture.errors import StoreUnavailable
from mailpact_capture.records import Page, StoredMail
from mailpact_capture.search import EVERYTHING, Query, QueryError, parse_query
from mailpact_capture.session import PUBLIC_ID
from mailpact_capture.store import MAX_PAGE, Store

CURSOR_HEADER: Final = "X-Mailpact-Cursor"
DEFAULT_LIMIT: Final = 50  # as Mailpit
MAX_START: Final = 2**53
READY_SECONDS: Final = 5


class Api:
    """Answers with what the store has."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add_routes(self, app: web.Application) -> None:
        """Put the API's addresses into the application."""
        app.router.add_get("/api/v1/messages", self.messages)
        app.router.add_get("/api/v1/search", self.search)
        app.router.add_get("/api/v1/message/{id}", self.message)
        app.router.add_get("/api/v1/message/{id}/headers", self.headers)
        app.router.add_get("/api/v1/message/{id}/raw", self.raw)
        app.router.add_get("/livez", self.livez)
        app.router.add_get("/readyz", self.readyz)

    async def messages(self, request: web.Request) -> web.Response:
        """Answer with a part of the list, newest first; `limit=0` asks for all."""
        start, limit = number(request, "start", 0), number(request, "limit", DEFAULT_LIMIT)
        return _list(await self._store.page(EVERYTHING, start=start, limit=limit or MAX_PAGE), start)

    async def search(self, request: web.Request) -> web.Response:
        """Answer with a part of what the query finds; `limit=0` asks for the counts only."""
        if not request.query.get("query"):
            raise web.HTTPBadRequest(text="Error: no search query")
        start, limit = number(request, "start", 0), number(request, "limit", DEFAULT_LIMIT)
        return _list(await self._store.page(query_of(request), start=start, limit=limit), start)

    async def message(self, request: web.Request) -> web.Response:
        """Answer with a whole mail and mark it read."""
        return web.json_response(message_json(await stored_mail(self._store, request, mark_read=True)))

    async def headers(self, request: web.Request) -> web.Response:
        """Answer with all header fields of a mail."""
        stored = await stored_mail(self._store, request, mark_read=False)
        return web.json_response(headers_json(stored.mail))

    async def raw(self, request: web.Request) -> web.Response:
        """Answer with a mail's bytes exactly as they were received; `dl=1` makes a browser save them."""
        stored = await stored_mail(self._store, request, mark_read=False)
        headers = {}
        if request.query.get("dl") == "1":
            headers["Content-Disposition"] = f'attachment; filename="{stored.summary.public_id}.eml"'
        return web.Response(body=stored.raw, content_type="text/plain", charset="utf-8", headers=headers)

    async def livez(self, _request: web.Request) -> web.Response:
        """Say that the process answers."""
        return web.Response()

    async def readyz(self, _request: web.Request) -> web.Response:
        """Say whether mails can be read."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._store.check()
        except (StoreUnavailable, TimeoutError):
            return web.Response(status=503)
        return web.Response()


async def stored_mail(store: Store, request: web.Request, *, mark_read: bool) -> StoredMail:
    """Return the mail that the address names; raise 404 if there is none."""
    public_id = request.match_info["id"]
    stored = None
    if public_id == "latest" or PUBLIC_ID.fullmatch(public_id):
        stored = await store.mail(public_id, mark_read=mark_read)
    if stored is None:
        raise web.HTTPNotFound(text="404 page not found")
    return stored


def number(request: web.Request, name: str, default: int) -> int:
    """Return a number of the query string; raise 400 if it is none."""
    text = request.query.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) <= MAX_START):
        raise web.HTTPBadRequest(text=f"Error: {name} is not a number from 0 up")
    return int(text)


def query_of(request: web.Request) -> Query:
    """Return what the query string searches for; raise 400 if it is too long."""
    try:
        return parse_query(request.query.get("query", ""))
    except QueryError as error:
        raise web.HTTPBadRequest(text=f"Error: {error}") from error


def _list(page: Page, start: int) -> web.Response:
    return web.json_response(page_json(page, start), headers={CURSOR_HEADER: str(page.cursor)})
