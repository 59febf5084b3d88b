"""The HTTP connections: invalid HTTP gets one fixed answer, and an unfinished request is closed after a time limit.

By default aiohttp would answer with a part of the request, name its own version, and log a traceback for each invalid
request. A compressed body is refused and not read: no client of this API sends a compressed body, and a small
compressed body can expand without limit.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import hdrs, web

from mailpact.web.security import DEFAULT_HEADERS

HEAD_SECONDS: Final = 10.0

log = structlog.get_logger()


class Connection(web.RequestHandler):
    """One connection. The connection is closed if its first request does not arrive in time."""

    __slots__ = ("_head_timer", "_when_lost")

    def __init__(self, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._when_lost: list[Callable[[], None]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time limit for the first request."""
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(HEAD_SECONDS, self._give_up)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancel the time limit, and call the functions that wait for this."""
        self.head_is_complete()
        super().connection_lost(exc)
        for tell in self._when_lost:
            tell()

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """Call `tell` if the client disconnects within the block: aiohttp does not end a handler that only waits."""
        self._when_lost.append(tell)
        try:
            yield
        finally:
            self._when_lost.remove(tell)

    def head_is_complete(self) -> None:
        """Cancel the time limit: the first request has arrived."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer invalid HTTP. Neither the answer nor the log repeats what the client sent."""
        del message
        if isinstance(exc, ConnectionError):
            raise exc  # the client has disconnected, so no answer is possible
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("a request failed, which is a bug", error=type(exc).__name__, path=request.path)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer was begun before the failure")
        return _refusal(HTTPStatus(status))

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log only the type of an error: the error's text may repeat what the client sent."""
        del args
        log.warning("an HTTP connection failed", error=type(kw.get("exc_info")).__name__)


class _Refusal(web.Response):
    """An answer that does not run the application's `on_response_prepare` signals."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers[hdrs.SERVER] = "Mailpact"


def _refusal(status: HTTPStatus) -> web.Response:
    response = _Refusal(status=status, text=f"{status.phrase}\n", headers=DEFAULT_HEADERS)
    response.force_close()
    return response


class _Server(web.Server):
    def __init__(self, server: web.Server) -> None:
        super().__init__(self._answer, request_factory=server.request_factory)
        self._application = server.request_handler

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=self._loop, access_log=None, auto_decompress=False)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)  # noqa: S101  # this server makes no others
        connection.head_is_complete()
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
            return _refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        return await self._application(request)


class Runner(web.AppRunner):
    """Runs an application on such connections."""

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server())
