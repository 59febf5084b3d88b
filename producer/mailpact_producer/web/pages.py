"""The home page, and the pages that it lists."""

from uuid import UUID

from aiohttp import web

from mailpact.database.transactions import Database
from mailpact_producer.store import pages
from mailpact_producer.web.render import render

_UUID_CHARACTERS = 36


class Pages:
    """What can be read on the site."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def home(self, request: web.Request) -> web.Response:
        """List the pages."""
        newest = await self._database.transact(pages.newest)
        return render(request, "home.html", {"pages": newest})

    async def page(self, request: web.Request) -> web.Response:
        """Show one page."""
        guid = read_guid(request.match_info["guid"])
        page = await self._find(guid) if guid else None
        if page is None:
            raise web.HTTPNotFound
        return render(request, "page.html", {"page": page})

    async def path_or_welcome(self, guid: str | None) -> str:
        """Return the path of a page, or of the page that welcomes if there is no such page."""
        page = await self._find(guid) if guid else None
        return f"/page/{page.guid if page else pages.WELCOME_PAGE}"

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
