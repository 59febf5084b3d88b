"""The whole capture server, which `mailpact capture` and `mailpact up` run."""

import asyncio
import secrets
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from mailpact.settings import AmqpUrl
from mailpact.telemetry import Journey, Point
from mailpact.web.security import add_security_headers
from mailpact.web.serving import serving
from mailpact_capture import store as stores
from mailpact_capture.accounts import Accounts
from mailpact_capture.api.about import About
from mailpact_capture.api.changes import Changing
from mailpact_capture.api.events import Events
from mailpact_capture.api.faults import Faults
from mailpact_capture.api.journey import Journeying
from mailpact_capture.api.parts import Parts
from mailpact_capture.api.routes import Reading
from mailpact_capture.api.sending import Sending
from mailpact_capture.api.smtp_sessions import SmtpSessions
from mailpact_capture.api.wait import Waiting
from mailpact_capture.certificate import Identities
from mailpact_capture.connections import Runner
from mailpact_capture.dialogues import Dialogues
from mailpact_capture.envelope import Envelope
from mailpact_capture.errors import StoreUnavailable
from mailpact_capture.fault_desk import FaultDesk
from mailpact_capture.faults import Script
from mailpact_capture.feed import Feed
from mailpact_capture.gate import Handler, gate
from mailpact_capture.hall import Hall
from mailpact_capture.handler import close, conversations, quiet_library, take_tls
from mailpact_capture.history import History
from mailpact_capture.ids import RANDOM_BYTES, public_id
from mailpact_capture.journeys import Journeys
from mailpact_capture.limits import DEFAULT_KEPT_BYTES, DEFAULT_KEPT_MAILS, MAX_MESSAGE_BYTES
from mailpact_capture.provenance import amqp_message_id
from mailpact_capture.store import Store
from mailpact_capture.viewer.pages import Viewer
from mailpact_capture.writes import Arrival, Limit

STOP_SECONDS: Final = 1.5  # time to finish mails that are being stored
BACKLOG: Final = 200


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings.

    The settings are: how many mails are kept (the oldest are deleted first); further host names of this server;
    whether STARTTLS is offered; the files of the certificate and its key (without them a certificate is made); the
    accounts that may log in; the faults at start; the broker to listen to, so that each mail is shown with its
    message.
    """

    kept_mails: int = DEFAULT_KEPT_MAILS
    kept_bytes: int = DEFAULT_KEPT_BYTES
    allowed_hosts: tuple[str, ...] = ()
    offers_starttls: bool = False
    certificate: tuple[Path, Path] | None = None
    accounts: Accounts = field(default_factory=Accounts)
    faults: Script | None = None
    amqp_url: AmqpUrl | None = None


DEFAULTS: Final = Settings()


@dataclass(frozen=True, slots=True)
class Capture:
    """A running capture server: its SMTP address (`127.0.0.1:1025`), and the viewer's URL without a trailing slash."""

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
    smtps: socket.socket | None = None,
) -> AsyncIterator[Capture]:
    """Run the server until the context ends. The server owns and closes the listening sockets.

    On `smtps` TLS begins with the first byte.

    Without `store` the mails are kept in a temporary file, which is deleted at the end. Raises StoreFileError if the
    file `store` cannot be used, OSError or ssl.SSLError if the certificate cannot be used.
    """
    capture = Capture(smtp=_place(smtp), url=f"http://{_place(web)}")
    async with AsyncExitStack() as stack:
        stack.enter_context(smtp)
        stack.enter_context(web)
        if smtps is not None:
            stack.enter_context(smtps)
        stack.enter_context(quiet_library())
        is_durable = store is not None
        if store is None:
            store = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailpact-"))) / "capture.db"
        limit, feed = Limit(settings.kept_mails, settings.kept_bytes), Feed(secrets.token_hex(8))
        mails = await stack.enter_async_context(
            stores.opened(store, feed=feed, limit=limit, tell=_telling(journey), is_durable=is_durable)
        )
        hall = _hall(mails, settings)
        journeys = Journeys()
        if settings.amqp_url is not None:
            await stack.enter_async_context(_listening(settings.amqp_url, journeys))
        app = _app(mails, hall, web, capture, settings, History(mails, journeys))
        await stack.enter_async_context(serving(app, web, runner=Runner))
        await stack.enter_async_context(_taking_mail(hall, smtp, smtps))
        yield capture


def _hall(store: Store, settings: Settings) -> Hall:
    async def keep(envelope: Envelope, raw: bytes) -> None:
        name = public_id(envelope.received_us, secrets.token_bytes(RANDOM_BYTES))
        await store.keep(Arrival(name, envelope, raw))

    return Hall(
        keep=keep,
        now_us=lambda: time.time_ns() // 1000,
        dialogues=Dialogues(),
        faults=FaultDesk(settings.faults),
        identities=Identities(settings.allowed_hosts, settings.certificate),
        accounts=settings.accounts,
        offers_starttls=settings.offers_starttls,
    )


@asynccontextmanager
async def _listening(url: AmqpUrl, journeys: Journeys) -> AsyncIterator[None]:
    # Most capture servers do not listen to a broker, and the libraries for AMQP take long to load.
    from mailpact.contracts import catalogue
    from mailpact_capture.overhear import Overhearing

    overhearing = Overhearing(url, catalogue.load(), journeys, now_us=lambda: time.time_ns() // 1000)
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(overhearing.run())
        yield
        listening.cancel()


def _telling(journey: Journey) -> Callable[[str], None]:
    def tell(message_id: str) -> None:
        if made_from := amqp_message_id(message_id):
            journey.reach(Point.CAPTURED, made_from)

    return tell


@asynccontextmanager
async def _taking_mail(
    hall: Hall, plain: socket.socket, encrypted: socket.socket | None
) -> AsyncIterator[None]:
    plain.setblocking(False)  # noqa: FBT003 (the standard library's)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(conversations(hall), sock=plain, backlog=BACKLOG)
    async with asyncio.TaskGroup() as tasks:
        taking = None
        if encrypted is not None:
            encrypted.setblocking(False)  # noqa: FBT003 (the standard library's)
            taking = tasks.create_task(take_tls(hall, encrypted))
        try:
            yield
        finally:
            server.close()
            if taking is not None:
                taking.cancel()
            await close(hall, grace_seconds=STOP_SECONDS)


def _app(
    store: Store, hall: Hall, listener: socket.socket, capture: Capture, settings: Settings, history: History
) -> web.Application:
    own = gate(listener.getsockname()[0], settings.allowed_hosts)
    app = web.Application(middlewares=[own, _unavailable], client_max_size=2 * MAX_MESSAGE_BYTES)
    add_security_headers(app)
    viewer = Viewer(store, hall.dialogues, app, history, smtp=capture.smtp)
    route_groups = (
        Reading(store), Changing(store), Parts(store), Sending(store, hall.holding), Waiting(store), Events(store),
        About(store, hall.dialogues, hall.identities), Faults(hall.faults), SmtpSessions(hall.dialogues),
        viewer, Journeying(history),
    )  # fmt: skip
    for prefix in ("", "/ns/{namespace}"):
        for group in route_groups:
            group.add_routes(app.router, prefix)
    viewer.add_missing(app.router)

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
