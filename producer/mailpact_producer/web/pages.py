"""The pages that are read: the front page, one page, and what is said when there is none."""

from collections.abc import Awaitable, Callable

import aiohttp_jinja2
import structlog
from aiohttp import web

from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact_producer.passwords import TooBusy
from mailpact_producer.store.pages import all_pages, find_page
from mailpact_producer.web.cookies import Cookies

RETRY_SECONDS = 5

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pages:
    """Shows the site's pages."""

    def __init__(self, database: Database, cookies: Cookies) -> None:
        self._database = database
        self._cookies = cookies

    def add_routes(self, app: web.Application) -> None:
        """Serve `/` and `/page/{guid}`."""
        app.router.add_get("/", self.front)
        app.router.add_get("/page/{guid}", self.page)

    async def front(self, request: web.Request) -> web.StreamResponse:
        """Show the front page."""
        pages = await self._database.transact(all_pages)
        return render(request, "front.html", pages=pages)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Show one page, and thank a reader who has just registered."""
        guid = request.match_info["guid"]
        page = await self._database.transact(lambda connection: find_page(connection, guid))
        if page is None:
            raise web.HTTPNotFound
        has_notice = self._cookies.has_notice(request)
        response = render(request, "page.html", page=page, has_notice=has_notice)
        if has_notice:
            self._cookies.clear_notice(response)
        return response


def render(request: web.Request, template: str, *, status: int = 200, **values: object) -> web.StreamResponse:
    """Give a page of the site."""
    return aiohttp_jinja2.render_template(template, request, values, status=status)


@web.middleware
async def plain_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what goes wrong into a page that says what to do."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return _sorry(request, 404, "There is no such page", "Perhaps it was moved.")
    except web.HTTPMethodNotAllowed:
        return _sorry(request, 405, "That is not possible here", "Please begin at the front page.")
    except web.HTTPRequestEntityTooLarge:
        return _sorry(request, 413, "That is more than we can take", "Please send less.")
    except TooBusy:
        return _sorry(request, 503, "Many people register right now", "Please try again in a few seconds.")
    except DatabaseUnavailable as error:
        log.warning("the site's database is not available", reason=str(error))
        return _sorry(request, 503, "We cannot do that right now", "Please try again in a few seconds.")


def _sorry(request: web.Request, status: int, title: str, advice: str) -> web.StreamResponse:
    response = render(request, "sorry.html", status=status, title=title, advice=advice)
    if status == web.HTTPServiceUnavailable.status_code:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response
