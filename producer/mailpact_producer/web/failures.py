"""The answers to failures: a page that explains the failure, and a way back."""

import time
import traceback
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from mailpact.database.transactions import DatabaseUnavailable
from mailpact_producer.errors import TooBusy
from mailpact_producer.reports import Reports
from mailpact_producer.web.problems import is_api, problem
from mailpact_producer.web.render import render

RETRY_SECONDS: Final = 5

REPORTS: Final = web.AppKey("REPORTS", Reports)

NOT_OUR_FORM: Final = (
    "This form did not come from this site, or your browser does not keep cookies. Nothing was sent."
    " Please send the form again."
)
NOT_NOW: Final = (
    "The site cannot do this at the moment. Nothing you entered is lost: please try again a little later."
)
TOO_MANY: Final = (
    "Too many mails were requested from your network in the last hour. Please try again in an hour."
)

_WORDS: Final = {
    HTTPStatus.BAD_REQUEST: ("The form could not be read", "The site could not read what was sent."),
    HTTPStatus.FORBIDDEN: ("This form cannot be used", NOT_OUR_FORM),
    HTTPStatus.NOT_FOUND: (
        "There is no such page",
        "The address may be mistyped, or the page may have been removed.",
    ),
    HTTPStatus.REQUEST_TIMEOUT: (
        "That took too long",
        "The form did not arrive completely. Please send it again.",
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        "The form was too large",
        "What was sent is larger than any form of this site.",
    ),
    HTTPStatus.INTERNAL_SERVER_ERROR: (
        "The site made a mistake",
        "The error was noted. Please try something else, or come back later.",
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "The site cannot do this at the moment",
        "Please try again a little later.",
    ),
}
_OTHERWISE: Final = ("The site cannot do that", "The site does not understand the request.")

log = structlog.get_logger()


@web.middleware
async def failure_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure of a handler into a page, and into a problem if the API was asked."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        response = _answer(request, HTTPStatus(error.status), error)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except (TooBusy, DatabaseUnavailable) as error:
        note_unavailable(request, error)
        response = _answer(request, HTTPStatus.SERVICE_UNAVAILABLE)
        response.headers["Retry-After"] = str(RETRY_SECONDS)
        return response
    except (web.RequestPayloadError, HttpProcessingError):
        log.debug("a request's body could not be read", page=route(request))
        return _answer(request, HTTPStatus.BAD_REQUEST)
    except ConnectionError:
        raise  # the client has closed the connection, so there is nobody to answer
    except Exception as error:  # noqa: BLE001  # the outermost loop: a bug in one request must not end the site
        # The error's text is not logged, because it may repeat what the client sent, or an address.
        log.error(  # noqa: TRY400  # see above
            "a request failed, which is a bug",
            page=route(request),
            kind=type(error).__name__,
            stack="".join(traceback.format_tb(error.__traceback__)),
        )
        return _answer(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def route(request: web.Request) -> str:
    """Return the route of a request in a form for logs, which contains nothing that the client sent."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "(no page)"


def note_unavailable(request: web.Request, error: Exception) -> None:
    """Log that a request could not be served, at most once a minute."""
    more = request.app[REPORTS].due(type(error).__name__, time.monotonic())
    if more is not None:
        log.warning(
            "requests cannot be served now", page=route(request), reason=str(error), unlogged_before=more
        )


def _answer(request: web.Request, status: HTTPStatus, error: Exception | None = None) -> web.Response:
    """Return the answer to a failure: a page for a person, or a problem for a program that asked the API."""
    if is_api(request.path):
        return problem(status, error)
    title, text = _WORDS.get(status, _OTHERWISE)
    return render(request, "failure.html", {"title": title, "text": text}, status=status)
