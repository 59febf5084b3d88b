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
from mailpact_capture.api.about import About
from mailpact_capture.api.changes import Changing
from mailpact_capture.api.events import Events
from mailpact_capture.api.parts import Parts
from mailpact_capture.api.routes import Reading
from mailpact_capture.api.sending import Sending
from mailpact_capture.api.wait import Waiting
from mailpact_capture.envelope import Envelope
from mailpact_capture.errors import StoreUnavailable
from mailpact_capture.feed import Feed
from mailpact_capture.gate import Handler, gate
from mailpact_capture.handler import SmtpServer, quiet_library
from mailpact_capture.ids import public_id
from mailpact_capture.limits import DEFAULT_KEPT_BYTES, DEFAULT_KEPT_MAILS, MAX_MESSAGE_BYTES
from mailpact_capture.provenance import amqp_message_id
from mailpact_capture.store import Store
from mailpact_capture.viewer.pages import Viewer
from mailpact_capture.writes import Arrival, Limit

STOP_SECONDS: Final = 1.5  # for mails that are being stored
BACKLOG: Final = 200


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator may choose: how much is kept (the oldest mails go first), and further names of this server."""

    kept_mails: int = DEFAULT_KEPT_MAILS
    kept_bytes: int = DEFAULT_KEPT_BYTES
    allowed_hosts: tuple[str, ...] = ()


DEFAULTS: Final = Settings()


@dataclass(frozen=True, slots=True)
class Capture:
    """A running capture server: where mail is taken (`127.0.0.1:1025`), and the viewer's URL without a slash."""

    smtp: str
    url: str


@asynccontextmanager
async def running(
    smtp: socket.socket,
    web: socket.socket,
    *,
    store: Path | None,
    journey: Journey,
    settings: Settings = DEFAULTS,
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
        limit, feed = Limit(settings.kept_mails, settings.kept_bytes), Feed(secrets.token_hex(8))
        mails = await stack.enter_async_context(stores.opened(store, feed=feed, limit=limit))
        await stack.enter_async_context(_committing(mails, journey))
        await stack.enter_async_context(serving(_app(mails, web, capture, settings), web))
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


def _app(store: Store, listener: socket.socket, capture: Capture, settings: Settings) -> web.Application:
    own = gate(listener.getsockname()[0], settings.allowed_hosts)
    app = web.Application(middlewares=[own, _unavailable], client_max_size=2 * MAX_MESSAGE_BYTES)
    add_security_headers(app)
    rooms = (
        Reading(store), Changing(store), Parts(store), Sending(store), Waiting(store), Events(store), About(store),
        Viewer(store, app, smtp=capture.smtp),
    )  # fmt: skip
    for prefix in ("", "/ns/{namespace}"):
        for room in rooms:
            room.add_routes(app.router, prefix)

    async def end_events(_app: web.Application) -> None:
        store.feed.close()

    app.on_shutdown.append(end_events)
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
