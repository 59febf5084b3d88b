"""The home page, and the pages that it lists. Only administrators see drafts."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Final
from uuid import UUID

from aiohttp import web

from mailpact.database.transactions import Database
from mailpact_producer.cache import LISTS, Kept, PageCache, page_key
from mailpact_producer.comment_text import MAX_COMMENT
from mailpact_producer.store import comments, pages
from mailpact_producer.web.feed import FEED_TYPE, atom, sitemap
from mailpact_producer.web.forms import Forms
from mailpact_producer.web.render import FRAME, render
from mailpact_producer.web.rendering import Rendering
from mailpact_producer.web.session import is_admin, reader

PER_PAGE: Final = 10
COMMENTS_PER_PAGE: Final = 50
FEED_PAGES: Final = 20
SITEMAP_PAGES: Final = 49_999  # a sitemap has 50,000 addresses at most, and the home page is one of them

_UUID_CHARACTERS: Final = 36
_MOST_DIGITS: Final = 6
_PUBLISHED: Final = Kept(b"", "")
"""What is kept of a page that is only known to be published."""


class Pages:
    """The pages of the site for reading; `base_url` has no slash at its end."""

    def __init__(
        self,
        database: Database,
        cache: PageCache,
        forms: Forms,
        rendering: Rendering,
        base_url: str,
        site_name: str,
    ) -> None:
        self._database = database
        self._cache = cache
        self._forms = forms
        self._rendering = rendering
        self._base_url = base_url
        self._site_name = site_name

    async def home(self, request: web.Request) -> web.Response:
        """List the pages, the newest first, ten on a page of the list."""
        number = _page_number(request.query.get("page", "1"))

        async def make() -> tuple[str, web.Response]:
            return LISTS, await self._home(request, number)

        return await self._cached(request, ("home", number), make)

    async def _home(self, request: web.Request, number: int) -> web.Response:
        has_drafts, offset = is_admin(request), (number - 1) * PER_PAGE
        # One page more than is shown tells whether there are older pages.
        found = await self._database.transact(
            lambda connection: pages.listed(
                connection, has_drafts=has_drafts, offset=offset, limit=PER_PAGE + 1
            )
        )
        if number > 1 and not found:
            raise web.HTTPNotFound
        shown = [(page, await self._rendering.excerpt(page.body)) for page in found[:PER_PAGE]]
        values = {"pages": shown, "number": number, "has_older": len(found) > PER_PAGE}
        return render(request, "home.html", values)

    async def page(self, request: web.Request) -> web.Response:
        """Show the page with the guid in the address, which does not change with the page's title."""
        guid = read_guid(request.match_info["guid"])

        async def make() -> tuple[str, web.Response]:
            return await self._show(request, await self._find(guid) if guid else None)

        return await self._cached(request, ("guid", guid, request.query.get("comments")), make)

    async def page_by_slug(self, request: web.Request) -> web.Response:
        """Show the page with the readable address."""
        slug = request.match_info["slug"]

        async def make() -> tuple[str, web.Response]:
            found = await self._database.transact(lambda connection: pages.find_slug(connection, slug))
            return await self._show(request, found)

        return await self._cached(request, ("slug", slug, request.query.get("comments")), make)

    async def feed(self, request: web.Request) -> web.Response:
        """Return the newest pages as an Atom feed."""

        async def make() -> tuple[str, web.Response]:
            return LISTS, await self._feed()

        return await self._cached(request, "feed", make)

    async def _feed(self) -> web.Response:
        newest = await self._database.transact(
            lambda connection: pages.listed(connection, has_drafts=False, offset=0, limit=FEED_PAGES)
        )
        html = {page.guid: await self._rendering.html(page.body) for page in newest}
        body = atom(self._site_name, self._base_url, newest, html)
        return web.Response(body=body, content_type=FEED_TYPE, charset="utf-8")

    async def sitemap(self, request: web.Request) -> web.Response:
        """Return the addresses of the pages, for search engines."""

        async def make() -> tuple[str, web.Response]:
            return LISTS, await self._sitemap()

        return await self._cached(request, "sitemap", make)

    async def _sitemap(self) -> web.Response:
        found = await self._database.transact(
            lambda connection: pages.listed(connection, has_drafts=False, offset=0, limit=SITEMAP_PAGES)
        )
        return web.Response(
            body=sitemap(self._base_url, found), content_type="application/xml", charset="utf-8"
        )

    async def path_or_welcome(self, guid: str | None) -> str:
        """Return the path of a page, of the welcome page, or of the list if neither exists."""
        for each in (guid, pages.WELCOME_PAGE):
            if each and await self._is_published(each):
                return f"/page/{each}"
        return "/"

    async def _is_published(self, guid: str) -> bool:
        name, generation = ("published", guid), self._cache.generation
        if self._cache.get(name) is not None:
            return True
        page = await self._find(guid)
        if page is None or not page.is_published:
            return False
        self._cache.keep(name, page_key(guid), _PUBLISHED, generation=generation)
        return True

    async def context(self, request: web.Request, guid: str | None) -> dict[str, object]:
        """Return the values for the template of a page. Raises the HTTP error 404 if the person must not see it."""
        return await self._values(request, await self._find(guid) if guid else None)

    async def _show(self, request: web.Request, page: pages.Page | None) -> tuple[str, web.Response]:
        values = await self._values(request, page)
        key = page_key(page.guid) if page is not None else ""
        if reader(request) is not None:
            return key, self._forms.show(request, "page.html", values)
        return key, render(request, "page.html", {**values, "fields": {}, "errors": {}, "trouble": ""})

    async def _cached(
        self, request: web.Request, name: Hashable, make: Callable[[], Awaitable[tuple[str, web.Response]]]
    ) -> web.Response:
        """Return the cached answer of this name, or the result of `make`; an answer for one person is not cached."""
        if not request.app[FRAME].is_plain(request):
            return (await make())[1]
        kept = self._cache.get(name)
        if kept is None:
            generation = self._cache.generation
            key, made = await make()
            body = made.body
            assert isinstance(body, bytes)  # noqa: S101  # every page is rendered as a whole
            kept = Kept(body, made.content_type)
            self._cache.keep(name, key, kept, generation=generation)
        return web.Response(body=kept.body, content_type=kept.content_type, charset="utf-8")

    async def _values(self, request: web.Request, page: pages.Page | None) -> dict[str, object]:
        if page is None or not (page.is_published or is_admin(request)):
            raise web.HTTPNotFound
        user, number = reader(request), _page_number(request.query.get("comments", "1"))
        found = await self._database.transact(
            lambda connection: comments.listed(
                connection,
                page.guid,
                viewer=user.id if user is not None else None,
                is_admin=is_admin(request),
                offset=(number - 1) * COMMENTS_PER_PAGE,
                limit=COMMENTS_PER_PAGE + 1,
            )
        )
        return {
            "page": page,
            "html": await self._rendering.html(page.body),
            "canonical": self._base_url + page.path,
            "comments": found[:COMMENTS_PER_PAGE],
            "number": number,
            "has_more": len(found) > COMMENTS_PER_PAGE,
            "max_comment": MAX_COMMENT,
        }

    async def _find(self, guid: str) -> pages.Page | None:
        return await self._database.transact(lambda connection: pages.find(connection, guid))


def read_guid(text: str) -> str | None:
    """Return a page's guid in canonical form; None if `text` is not a guid."""
    if len(text) != _UUID_CHARACTERS:
        return None
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _page_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) > 0):
        raise web.HTTPNotFound
    return int(text)
