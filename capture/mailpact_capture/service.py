"""The capture server as a whole: what `mailpact capture` and `mailpact up` run."""

import asyncio
import secrets
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from mailpact.telemetry import Journey, Point
from mailpact.web.security import add_security_headers
from mailpact.web.serving import serving
from mailpact_capture import store as stores
from mailpact_capture.api.routes import Api
from mailpact_capture.errors import StoreUnavailable
from mailpact_capture.gate import Handler, gate
from mailpact_capture.handler import SmtpServer, quiet_library
from mailpact_capture.provenance import amqp_message_id
from mailpact_capture.session import Envelope, public_id
from mailpact_capture.store import Arrival, Store
from mailpact_capture.viewer.pages import Viewer

STOP_SECONDS: Final = 1.5  # for mails that are being stored
BACKLOG: Final = 200


@dataclass(frozen=True, slots=True)
class Capture:
    """A running capture server: where mail is taken (`127.0.0.1:1025`), and the viewer's URL without a slash."""

    smtp: str
    url: str


@asynccontextmanager
async def running(
    smtp: socket.socket, web: socket.socket, *, store: Path | None, journey: Journey
) -> AsyncIterator[Capture]:
    """Take mail and show it until the context ends; owns both listening sockets from then on.

    Without `store` the mails are kept in a temporary file and are gone at the end. Raises StoreFileError if `store` is
    a file that cannot be one.
    """
    capture = Capture(smtp=_place(smtp), url=f"http://{_place(web)}")
    async with AsyncExitStack() as stack:
        stack.enter_context(smtp)
        stack.enter_context(web)
        stack.enter_context(quiet_library())
        if store is None:
            store = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailpact-"))) / "capture.db"
        mails = await stack.enter_async_context(stores.opened(store))
        await stack.enter_async_context(_committing(mails, journey))
        await stack.enter_async_context(serving(_app(mails, web, capture), web))
        await stack.enter_async_context(_taking_mail(mails, smtp))
        yield capture


@asynccontextmanager
async def _committing(store: Store, journey: Journey) -> AsyncIterator[None]:
    def tell(message_id: str) -> None:
        if made_from := amqp_message_id(message_id):
            journey.reach(Point.CAPTURED, made_from)

    async with asyncio.TaskGroup() as tasks:
        committing = tasks.create_task(store.commit_groups(tell))
        yield
        committing.cancel()


@asynccontextmanager
async def _taking_mail(store: Store, listener: socket.socket) -> AsyncIterator[None]:
    async def keep(envelope: Envelope, raw: bytes) -> None:
        await store.keep(Arrival(public_id(secrets.token_bytes(16)), envelope, raw))

    smtp = SmtpServer(keep, now_us=lambda: time.time_ns() // 1000)
    listener.setblocking(False)  # noqa: FBT003 (the standard library's)
    server = await asyncio.get_running_loop().create_server(smtp, sock=listener, backlog=BACKLOG)
    try:
        yield
    finally:
        server.close()
        await smtp.close(grace_seconds=STOP_SECONDS)


def _app(store: Store, listener: socket.socket, capture: Capture) -> web.Application:
    app = web.Application(middlewares=[gate(listener.getsockname()[0]), _unavailable])
    add_security_headers(app)
    Api(store).add_routes(app)
    Viewer(store, smtp=capture.smtp).add_routes(app)
    return app


@web.middleware
async def _unavailable(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except StoreUnavailable as error:
        return web.Response(status=503, text=f"{error}\n")


def _place(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not bound)
    return f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"
