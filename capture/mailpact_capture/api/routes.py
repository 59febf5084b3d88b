"""Mailpit's URLs that only read: lists, mails, headers, sources. Errors are plain text: 400 says what is wrong."""

from typing import Final

from aiohttp import web

from mailpact_capture import reads
from mailpact_capture.api.shapes import headers_json, message_json, page_json
from mailpact_capture.asking import id_of, namespace_of, number, query_of, stored_mail, there
from mailpact_capture.headers import split_fields
from mailpact_capture.limits import MAX_PAGE
from mailpact_capture.mime import read_header
from mailpact_capture.records import Page
from mailpact_capture.search import EVERYTHING, Query
from mailpact_capture.store import Store

CURSOR_HEADER: Final = "X-Mailpact-Cursor"
DEFAULT_LIMIT: Final = 50  # as Mailpit


class Reading:
    """Answers with mails of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the routes below `prefix`."""
        router.add_get(prefix + "/api/v1/messages", self.messages)
        router.add_get(prefix + "/api/v1/search", self.search)
        router.add_get(prefix + "/api/v1/tags", self.tags)
        router.add_get(prefix + "/api/v1/message/{id}", self.message)
        router.add_get(prefix + "/api/v1/message/{id}/headers", self.headers)
        router.add_get(prefix + "/api/v1/message/{id}/raw", self.raw)

    async def messages(self, request: web.Request) -> web.Response:
        """Answer with a part of the list of mails, newest first; `limit=0` asks for all mails."""
        start, limit = number(request, "start", 0), number(request, "limit", DEFAULT_LIMIT)
        query = query_of(request) if request.query.get("before") else EVERYTHING
        namespace = namespace_of(request)
        return _list(
            await self._store.page(query, start=start, limit=limit or MAX_PAGE, namespace=namespace), start
        )

    async def search(self, request: web.Request) -> web.Response:
        """Answer with a part of the mails that the query finds; `limit=0` asks for the counts only."""
        query = query_of(request, required=True)
        start, limit = number(request, "start", 0), number(request, "limit", DEFAULT_LIMIT)
        return _list(
            await self._store.page(query, start=start, limit=limit, namespace=namespace_of(request)), start
        )

    async def tags(self, request: web.Request) -> web.Response:
        """Answer with all tags in use."""
        return web.json_response(list(await self._store.ask(reads.tags, namespace_of(request))))

    async def message(self, request: web.Request) -> web.Response:
        """Answer with a whole mail, and mark the mail as read."""
        return web.json_response(message_json(await stored_mail(self._store, request, mark_read=True)))

    async def headers(self, request: web.Request) -> web.Response:
        """Answer with all header fields of a mail; the rest of the mail is not parsed."""
        _, raw = there(
            await self._store.raw(id_of(request), namespace=namespace_of(request), query=_latest(request))
        )
        return web.json_response(headers_json(split_fields(read_header(raw, 0, len(raw))[0])))

    async def raw(self, request: web.Request) -> web.Response:
        """Answer with a mail's bytes exactly as they were received; `dl=1` makes a browser save them."""
        found = await self._store.raw(id_of(request), namespace=namespace_of(request), query=_latest(request))
        summary, raw = there(found)
        headers = {"Content-Security-Policy": "sandbox; default-src 'none'"}
        if request.query.get("dl") == "1":
            headers["Content-Disposition"] = f'attachment; filename="{summary.public_id}.eml"'
        return web.Response(body=raw, content_type="text/plain", charset="utf-8", headers=headers)


def _latest(request: web.Request) -> Query:
    return query_of(request) if request.match_info["id"] == "latest" else EVERYTHING


def _list(page: Page, start: int) -> web.Response:
    return web.json_response(page_json(page, start), headers={CURSOR_HEADER: str(page.cursor)})
