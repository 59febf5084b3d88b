"""The errors of the JSON API: problem details (RFC 9457). Nothing in them repeats what the client sent."""

import json
from http import HTTPStatus
from typing import Final

from aiohttp import web

API_PATH: Final = "/api"
PROBLEM_TYPE: Final = "application/problem+json"

_DETAILS: Final = {
    HTTPStatus.BAD_REQUEST: "The request could not be read.",
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address can only be read, with GET or HEAD.",
    HTTPStatus.REQUEST_TIMEOUT: "The request did not arrive completely.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The API takes no compressed request.",
    HTTPStatus.EXPECTATION_FAILED: "The server cannot do what the header Expect asks for.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The site made a mistake. The error was noted.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The site cannot answer at the moment. Please try again a little later.",
}
_OTHERWISE: Final = "The site does not understand the request."


class WrongParameter(web.HTTPBadRequest):
    """A query parameter of the API is wrong; `sentence` says what is allowed.

    `parameter` is None if the API does not know the parameter's name, because an answer does not repeat the name.
    """

    def __init__(self, parameter: str | None, sentence: str) -> None:
        super().__init__()
        self.parameter = parameter
        self.sentence = sentence


def is_api(path: str) -> bool:
    """Return whether a request's path belongs to the API, so that errors are for programs."""
    return path == API_PATH or path.startswith(f"{API_PATH}/")


def problem(status: HTTPStatus, error: Exception | None = None) -> web.Response:
    """Return the problem that describes an error."""
    members = {"type": "about:blank", "title": status.phrase, "status": status.value}
    if isinstance(error, WrongParameter):
        members |= {"detail": error.sentence}
        members |= {"parameter": error.parameter} if error.parameter else {}
    else:
        members |= {"detail": _DETAILS.get(status, _OTHERWISE)}
    return web.Response(status=status, body=json.dumps(members).encode(), content_type=PROBLEM_TYPE)
