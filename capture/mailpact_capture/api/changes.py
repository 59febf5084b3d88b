"""Mailpit's URLs that change something: delete mails, mark them read or unread, set tags.

A request with an invalid body changes nothing.
"""

import json
from collections.abc import Sequence

from aiohttp import web

from mailpact_capture.asking import (
    bad_request,
    json_of,
    namespace_of,
    narrowing,
    only,
    only_parameters,
    parsed,
    query_of,
    texts,
)
from mailpact_capture.records import MAX_TAG_CHARACTERS, clean_tag
from mailpact_capture.search import EVERYTHING, Condition, Query
from mailpact_capture.store import Store

MAX_TAGS = 100


class Changing:
    """Changes mails of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the routes below `prefix`."""
        router.add_put(prefix + "/api/v1/messages", self.mark)
        router.add_delete(prefix + "/api/v1/messages", self.delete)
        router.add_delete(prefix + "/api/v1/search", self.delete_found)
        router.add_put(prefix + "/api/v1/tags", self.set_tags)
        router.add_put(prefix + "/api/v1/tags/{tag}", self.rename_tag)
        router.add_delete(prefix + "/api/v1/tags/{tag}", self.delete_tag)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete the mails with the IDs of the body, or all mails without a body or without IDs.

        Mailpit also deletes all mails if the body or the query string has unknown members; this server answers 400
        then.
        """
        body = await json_of(request)
        only(body, "ids")
        only_parameters(request)
        ids = texts(body, "IDs")
        await self._store.delete(with_ids(ids) if ids else EVERYTHING, namespace=namespace_of(request))
        return web.Response(text="ok")

    async def delete_found(self, request: web.Request) -> web.Response:
        """Delete the mails that the query finds."""
        only_parameters(request, "query", "tz", "before")
        query = narrowing(query_of(request, required=True))
        await self._store.delete(query, namespace=namespace_of(request))
        return web.Response(text="ok")

    async def mark(self, request: web.Request) -> web.Response:
        """Mark mails as read or unread: those with the IDs, those that the search finds, or all."""
        body = await json_of(request)
        if not body:
            raise bad_request("the body names no change; nothing was changed")
        only(body, "read", "ids", "search")
        only_parameters(request, "tz")
        read, ids, search = body.get("read", False), texts(body, "IDs"), body.get("search", "")
        if not isinstance(read, bool) or not isinstance(search, str):
            raise bad_request("Read is not true or false, or Search is not a text; nothing was changed")
        if ids and search:
            raise bad_request("either IDs or Search may be given, not both")
        query = with_ids(ids) if ids else parsed(search, request.query.get("tz", ""))
        if search:
            narrowing(query)
        await self._store.mark(query, read=read, namespace=namespace_of(request))
        return web.Response(text="ok")

    async def set_tags(self, request: web.Request) -> web.Response:
        """Set exactly these tags on the mails with the IDs."""
        body = await json_of(request)
        only(body, "tags", "ids")
        tags, ids = tuple(map(_tag, texts(body, "Tags"))), texts(body, "IDs")
        if len(tags) > MAX_TAGS:
            raise bad_request(f"more than {MAX_TAGS} tags")
        if ids:
            await self._store.retag(with_ids(ids), lambda _before: tags, namespace=namespace_of(request))
        return web.Response(text="ok")

    async def rename_tag(self, request: web.Request) -> web.Response:
        """Rename a tag on all mails that have it."""
        body = await json_of(request)
        only(body, "name")
        if not isinstance(name := body.get("name"), str):
            raise bad_request("Name is not a text; nothing was changed")
        new = _tag(name)
        await self._replace_tag(request, [new])
        return web.Response(text="ok")

    async def delete_tag(self, request: web.Request) -> web.Response:
        """Remove a tag from all mails that have it; no mail is deleted."""
        await self._replace_tag(request, [])
        return web.Response(text="ok")

    async def _replace_tag(self, request: web.Request, new: Sequence[str]) -> None:
        """Replace the tag that the URL names; raise 400 if no mail has this tag, as Mailpit does."""
        written = request.match_info["tag"]
        old, is_found = written.casefold(), False

        def changed(tags: Sequence[str]) -> Sequence[str]:
            nonlocal is_found
            is_found = is_found or any(tag.casefold() == old for tag in tags)
            return [each for tag in tags for each in (new if tag.casefold() == old else [tag])]

        await self._store.retag(Condition("tags <> '[]'"), changed, namespace=namespace_of(request))
        if not is_found:
            raise bad_request(f"tag not found: {written[:MAX_TAG_CHARACTERS]}")


def with_ids(ids: Sequence[str]) -> Query:
    """Return the query that finds the mails with these public IDs."""
    return Condition("public_id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))


def _tag(text: str) -> str:
    tag = clean_tag(text)
    if tag is None:
        raise bad_request(f"a tag has 1 to {MAX_TAG_CHARACTERS} printable characters")
    return tag
