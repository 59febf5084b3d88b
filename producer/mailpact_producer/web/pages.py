"""The home page, and the pages that it lists."""

from uuid import UUID

from aiohttp import web
from aiohttp_jinja2 import render_template

from mailpact.database.transactions import Database
from mailpact_producer.store import pages
from mailpact_producer.web.cookies import Cookies

_UUID_CHARACTERS = 36


class Pages:
    """What can be read on the site."""

    def __init__(self, database: Database, cookies: Cookies) -> None:
        self._database = database
        self._cookies = cookies

    async def home(self, request: web.Request) -> web.Response:
        """List the pages."""
        newest = await self._database.transact(pages.newest)
        return render_template("home.html", request, {"pages": newest})

    async def page(self, request: web.Request) -> web.Response:
        """Show one page, with thanks if the reader has come from registering."""
        guid = read_guid(request.match_info["guid"])
        page = await self._find(guid) if guid else None
        if page is None:
            raise web.HTTPNotFound
        is_thanked = self._cookies.has_notice(request)
        response = render_template("page.html", request, {"page": page, "is_thanked": is_thanked})
        if is_thanked:
            self._cookies.drop_notice(response)
        return response

    async def path_or_welcome(self, guid: str | None) -> str:
        """Return the path of a page, or of the page that welcomes if there is no such page."""
        page = await self._find(guid) if guid else None
        return f"/page/{page.guid if page else pages.WELCOME_PAGE}"

    async def _find(self, guid: str) -> pages.Page | None:
        return await self._database.transact(lambda connection: pages.find(connection, guid))


def read_guid(text: str) -> str | None:
    """Return a page's guid in canonical form; None for anything that is none."""
    if len(text) != _UUID_CHARACTERS:
        return None
    try:
        return str(UUID(text))
    except ValueError:
        return None
