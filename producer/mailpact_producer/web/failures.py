"""What a person sees when something does not work: a page that says so, and a way back."""

from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp_jinja2 import render_template

from mailpact.database.transactions import DatabaseUnavailable
from mailpact_producer.errors import TooBusy

RETRY_SECONDS: Final = 5

_WORDS: Final = {
    HTTPStatus.FORBIDDEN: (
        "This form cannot be used any more",
        "It may have been open for long, or your browser keeps no cookies. Nothing was sent. Please open it again.",
    ),
    HTTPStatus.NOT_FOUND: (
        "There is no such page",
        "The link may be old, or a letter of it may have got lost.",
    ),
    HTTPStatus.REQUEST_TIMEOUT: (
        "That took too long",
        "The form did not arrive completely. Please send it again.",
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        "That was too much",
        "What was sent is larger than any form of ours.",
    ),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("Something is broken here", "It is our fault, and it has been noted."),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "Just a moment, please",
        "The site cannot do this right now. Please try again in a few seconds; nothing will happen twice.",
    ),
}
_OTHERWISE: Final = ("That cannot be done here", "The site does not understand what it was asked for.")

log = structlog.get_logger()


@web.middleware
async def failure_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure of a handler into a page."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        response = _page(request, HTTPStatus(error.status))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except (TooBusy, DatabaseUnavailable) as error:
        log.warning("a request cannot be served now", path=request.path, reason=str(error))
        response = _page(request, HTTPStatus.SERVICE_UNAVAILABLE)
        response.headers["Retry-After"] = str(RETRY_SECONDS)
        return response
    except (
        Exception
    ):  # the outermost loop: one request's bug must not be the next one's, and the person needs a page
        log.exception("a request failed, which is a bug", path=request.path)
        return _page(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def _page(request: web.Request, status: HTTPStatus) -> web.Response:
    title, text = _WORDS.get(status, _OTHERWISE)
    context = {"title": title, "text": text, "is_about_form": request.path == "/register"}
    return render_template("failure.html", request, context, status=status)
