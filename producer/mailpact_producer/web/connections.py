"""Limits what one client can use: time, connections, and lines in the log.

aiohttp limits how long a request's head may be, but not how long it may take. A client that opens connections and never
finishes a request would use up the process's file descriptors. So each connection is watched:

    head   --complete-->   request   --answered-->   idle   --first byte-->   head

A head and a body must be complete within 10 seconds, an idle connection is closed after 75, and the client must have
read an answer within 60. There are never more connections than the process has descriptors for: a new connection
replaces the one that has kept the site waiting longest.

Invalid HTTP is answered with one fixed page. Neither this page nor the log repeats what the client sent.
"""

import asyncio
import errno
import resource
from collections.abc import Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import HttpVersion10, hdrs, web

from mailpact_producer.reports import Reports
from mailpact_producer.web.headers import HEADERS
from mailpact_producer.web.problems import PROBLEM_TYPE, is_api, problem

HEAD_SECONDS: Final = 10.0
BODY_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 60.0
IDLE_SECONDS: Final = (
    75.0  # longer than a reverse proxy usually keeps a connection, so that the proxy closes first
)
SWEEP_SECONDS: Final = 1.0
LINGERING_SECONDS: Final = 2.0
"""How long the rest of an unread body is taken in after the answer: to close at once would destroy the answer."""

MAX_CONNECTIONS: Final = 4096
RESERVED_DESCRIPTORS: Final = 300
"""For the database, the broker, files, and connections that the event loop accepts before it tells anybody."""
FEWEST_CONNECTIONS: Final = 16

_OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title></head>
<body><main><h1>{title}</h1><p>{text}</p></main></body>
</html>
"""
_WORDS: Final = {
    HTTPStatus.BAD_REQUEST: "The server could not read this request. Nothing was done.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Please send the form without compression. Nothing was done.",
    HTTPStatus.EXPECTATION_FAILED: "The server cannot do what the request expects. Nothing was done.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The site made a mistake. It was noted.",
}

log = structlog.get_logger()


class Stage(StrEnum):
    """The stage of a connection."""

    IDLE = "idle"  # answered, and nothing new has come
    HEAD = "head"  # a request's head is not complete; also a new connection
    REQUEST = "request"  # the head was read; the body may still come


def most_connections(descriptors: int) -> int:
    """Return how many connections a process that may open so many files serves at once."""
    return max(FEWEST_CONNECTIONS, min(MAX_CONNECTIONS, descriptors - RESERVED_DESCRIPTORS))


class Connections:
    """All connections of a site; closes those that keep it waiting for too long."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, most: int, headers: Mapping[str, str]) -> None:
        self._loop = loop
        self.headers = headers
        self._most = most
        self._open: set[Connection] = set()
        self._sweep = loop.call_later(SWEEP_SECONDS, self._close_overdue)
        self._reports = Reports()

    def stop(self) -> None:
        """Stop closing connections, because the server is about to close all of them."""
        self._sweep.cancel()

    def add(self, connection: "Connection") -> None:
        """Admit a connection, in place of the one that has kept the site waiting longest if there is no room."""
        if len(self._open) >= self._most:
            self.report(
                "all connections are in use, those that wait for their client are closed", most=self._most
            )
            waiting = [each for each in self._open if each.is_waiting_for_client]
            if not waiting:
                connection.abort()
                return
            oldest = min(waiting, key=lambda each: each.since)
            self._open.discard(oldest)
            oldest.abort()
        self._open.add(connection)

    def remove(self, connection: "Connection") -> None:
        """Forget a connection that is closed."""
        self._open.discard(connection)

    def report(self, event: str, **details: object) -> None:
        """Log a warning, at most one of its kind in a minute."""
        more = self._reports.due(event, self._loop.time())
        if more is not None:
            log.warning(event, **details, unlogged_before=more)

    def _close_overdue(self) -> None:
        now = self._loop.time()
        for connection in list(self._open):
            if now - connection.since > connection.limit_seconds:
                connection.abort()
        self._sweep = self._loop.call_later(SWEEP_SECONDS, self._close_overdue)


class Connection(web.RequestHandler):
    """One connection; `since` is when its stage began, on the event loop's clock."""

    __slots__ = ("_connections", "_request", "since", "stage")

    def __init__(self, server: web.Server, connections: Connections, **options: Any) -> None:
        super().__init__(server, **options)
        self._connections = connections
        self._request: web.BaseRequest | None = None
        self.stage = Stage.HEAD
        self.since = 0.0

    @property
    def is_waiting_for_client(self) -> bool:
        """Return whether the site waits for the client: no request is complete."""
        return self._request is None or not self._request.content.is_eof()

    @property
    def limit_seconds(self) -> float:
        """Return how long the present stage may last."""
        match self.stage:
            case Stage.IDLE:
                return IDLE_SECONDS
            case Stage.HEAD:
                return HEAD_SECONDS
            case Stage.REQUEST:
                # The form's reader itself answers a slow body with 408; this timer is for all other requests.
                return 2 * BODY_SECONDS if self.is_waiting_for_client else ANSWER_SECONDS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        super().connection_made(transport)
        self._enter(Stage.HEAD)
        self._connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Record that a head begins."""
        if self.stage is Stage.IDLE:
            self._enter(Stage.HEAD)
        super().data_received(data)

    def begin(self, request: web.BaseRequest) -> None:
        """Record that a head is complete."""
        self._request = request
        self._enter(Stage.REQUEST)

    def end(self) -> None:
        """Record that the answer is ready."""
        self._request = None
        self._enter(Stage.IDLE)

    def abort(self) -> None:
        """Close the connection at once, and drop the bytes that were not sent yet."""
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer bytes that are not HTTP with a fixed page. `message` would repeat what the client sent."""
        del message
        if isinstance(exc, ConnectionError):
            raise exc  # the client has closed the connection, so there is nobody to answer
        kind = type(exc).__name__
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self._connections.report("a request failed, which is a bug", kind=kind)
        else:
            log.debug("a request could not be read", kind=kind)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer was begun before the failure")
        return refusal(HTTPStatus(status), self._connections.headers)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log only the kind of an error: its text may repeat what the client sent."""
        error = kw.get("exc_info")
        self._connections.report("a connection failed", kind=type(error).__name__)

    def _enter(self, stage: Stage) -> None:
        self.stage = stage
        self.since = self._loop.time()


class _Refusal(web.Response):
    """An answer that no application prepares."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        del self.headers[hdrs.SERVER]


def refusal(status: HTTPStatus, headers: Mapping[str, str]) -> web.Response:
    """Return a fixed page with the site's headers; the connection ends with it."""
    page = _PAGE.format(title=status.phrase, text=_WORDS.get(status, _WORDS[HTTPStatus.BAD_REQUEST]))
    response = _Refusal(status=status, text=page, content_type="text/html", headers=headers)
    response.force_close()
    return response


def api_refusal(status: HTTPStatus, headers: Mapping[str, str]) -> web.Response:
    """Return a problem (RFC 9457) with the site's headers; the connection ends with it."""
    body = problem(status).body
    response = _Refusal(status=status, body=body, content_type=PROBLEM_TYPE, headers=headers)
    response.force_close()
    return response


class _Server(web.Server):
    """Makes watched connections."""

    def __init__(self, server: web.Server, connections: Connections) -> None:
        super().__init__(self._watched, request_factory=server.request_factory)
        self._application = server.request_handler
        self._watching = connections

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection. A compressed body is not unpacked, because it is refused."""
        return Connection(
            self,
            self._watching,
            loop=self._loop,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=LINGERING_SECONDS,
        )

    async def _watched(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)  # noqa: S101  # this server makes no others
        connection.begin(request)
        try:
            return self._refused(request) or await self._application(request)
        finally:
            connection.end()

    def _refused(self, request: web.BaseRequest) -> web.Response | None:
        # Not `version`, which keeps what it has once returned: no answer of HTTP/0.9 has a status line.
        if request._version < HttpVersion10:  # noqa: SLF001  # see above
            request._version = HttpVersion10  # noqa: SLF001  # see above
            return self._refusal(request, HTTPStatus.BAD_REQUEST)
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
            return self._refusal(request, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        if request.headers.get(hdrs.EXPECT, "100-continue").strip().lower() != "100-continue":
            return self._refusal(request, HTTPStatus.EXPECTATION_FAILED)
        return None

    def _refusal(self, request: web.BaseRequest, status: HTTPStatus) -> web.Response:
        return (api_refusal if is_api(request.path) else refusal)(status, self._watching.headers)


class WatchedRunner(web.AppRunner):
    """Runs an application on watched connections."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        loop = asyncio.get_running_loop()
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._connections = Connections(loop, most=most_connections(descriptors), headers=self.app[HEADERS])
        self._handler_before = loop.get_exception_handler()
        loop.set_exception_handler(_quietly(self._connections, self._handler_before))
        return _Server(server, self._connections)

    async def _cleanup_server(self) -> None:
        self._connections.stop()
        asyncio.get_running_loop().set_exception_handler(self._handler_before)
        await super()._cleanup_server()


_Handler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]


def _quietly(connections: Connections, before: _Handler | None) -> _Handler:
    """Return a handler of the event loop's errors that logs a lack of descriptors once a minute."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _OUT_OF_DESCRIPTORS:
            connections.report("no connection can be accepted", reason=error.strerror)
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    return handle
