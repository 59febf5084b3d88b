"""`mailpact up`: everything in one process, on loopback, with nothing to install.

Each part that no URL was given for is embedded; a URL that is given takes its place. The parts are put together in
the order of a message's journey backwards, so that each finds what it sends to: broker, capture server, consumer, CMS.
"""

import asyncio
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mailpact.cli import options
from mailpact.cli.listening import bound_address, listen, listen_near
from mailpact.cli.serving import say, serve_until_stopped
from mailpact.settings import AmqpUrl, DatabaseUrl, HostPort, SettingsError, SmtpUrl, fault_point
from mailpact.telemetry import Journey, configure_logging

CMS, VIEWER, SMTP, AMQP = (HostPort("127.0.0.1", port) for port in (8080, 8025, 1025, 5672))
MAIL_FROM = "cms@mail.example"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for; None is what nobody asked for in particular."""

    demo: bool
    once: bool
    as_json: bool
    data: Path
    cms: HostPort | None
    viewer: HostPort | None
    smtp: HostPort | None
    amqp_url: AmqpUrl | None
    database_url: DatabaseUrl | None


@dataclass(frozen=True, slots=True)
class Listeners:
    """The ports that are served on, opened before anything starts."""

    cms: socket.socket
    viewer: socket.socket
    smtp: socket.socket
    amqp: socket.socket | None


@dataclass(frozen=True, slots=True)
class Everything:
    """All parts, up and ready: what they are, and where they are to be found."""

    amqp: str
    database: str
    cms_url: str
    viewer_url: str
    smtp_url: SmtpUrl
    amqp_link: str
    journey: Journey


def up(
    demo: Annotated[bool, options.flag("--demo", "Register one reader and show the mail's journey.")] = False,
    once: Annotated[bool, options.flag("--once", "Stop when the demo is done; keep no data.")] = False,
    as_json: Annotated[bool, options.flag("--json", "Print the demo's result as one JSON object.")] = False,
    data: Annotated[Path, options.path("--data", "Where to keep data.")] = Path(".mailpact"),
    cms_listen: Annotated[
        HostPort | None, options.address("--cms-listen", "The site; 127.0.0.1:8080 or next.")
    ] = None,
    viewer_listen: Annotated[
        HostPort | None, options.address("--viewer-listen", "The viewer; 127.0.0.1:8025 or next.")
    ] = None,
    smtp_listen: Annotated[
        HostPort | None, options.address("--smtp-listen", "The capture server; 127.0.0.1:1025 or next.")
    ] = None,
    amqp_url: Annotated[AmqpUrl | None, options.amqp_url("A broker instead of the embedded one.")] = None,
    database_url: Annotated[
        DatabaseUrl | None,
        options.database_url("--database-url", "A database instead of a file for each part."),
    ] = None,
) -> None:
    """Run everything in one process: broker, CMS, consumer, capture server and viewer."""
    configure_logging(verbose=False)
    if as_json and not demo:
        raise SettingsError("--json prints the demo's result; give --demo too")
    # A script that starts the demo has nobody who could press Ctrl-C.
    is_once = once or (demo and not sys.stdout.isatty())
    wanted = Wanted(
        demo=demo,
        once=is_once,
        as_json=as_json,
        data=data,
        cms=cms_listen,
        viewer=viewer_listen,
        smtp=smtp_listen,
        amqp_url=amqp_url,
        database_url=database_url,
    )
    journey = Journey(die_at=fault_point())
    if database_url is not None:
        options.sqlite_folder(database_url)
    if is_once:
        with tempfile.TemporaryDirectory(prefix="mailpact-") as folder:
            serve_until_stopped(lambda stopping: _serve(wanted, Path(folder), journey, stopping))
    else:
        folder_to_keep = options.make_folder(data)
        serve_until_stopped(lambda stopping: _serve(wanted, folder_to_keep, journey, stopping))


async def _serve(wanted: Wanted, folder: Path, journey: Journey, stopping: asyncio.Event) -> None:
    from mailpact.cli.demo import demonstrate

    if wanted.once and wanted.amqp_url is not None:
        await _refuse_unreachable(wanted.amqp_url)
    async with _everything(wanted, folder, journey) as everything:
        if wanted.demo:
            await demonstrate(everything, as_json=wanted.as_json, stopping=stopping)
        else:
            _say_where(everything)
        if not wanted.once:
            say("Ctrl-C stops it.")
            await stopping.wait()


async def _refuse_unreachable(url: AmqpUrl) -> None:
    """Find out now whether the broker answers: a command that runs once must not wait for ever."""
    from mailpact.amqp.supervisor import dial, hang_up

    await hang_up(await dial(url, "up"))


@asynccontextmanager
async def _everything(wanted: Wanted, folder: Path, journey: Journey) -> AsyncIterator[Everything]:
    from mailpact_capture.service import running as capture_running
    from mailpact_consumer.service import running as consumer_running
    from mailpact_consumer.settings import ConsumerSettings
    from mailpact_devbroker.service import running as devbroker_running
    from mailpact_producer.service import running as producer_running
    from mailpact_producer.settings import ProducerSettings

    listeners = _listen(wanted)
    cms_url, viewer_url = (
        f"http://{bound_address(listener)}" for listener in (listeners.cms, listeners.viewer)
    )
    smtp = bound_address(listeners.smtp)
    smtp_url = SmtpUrl(smtp.host, smtp.port)
    async with AsyncExitStack() as stack:
        amqp_url = wanted.amqp_url
        if amqp_url is None:
            assert listeners.amqp is not None  # noqa: S101  # opened exactly when no URL is given
            amqp_url = AmqpUrl(f"amqp://guest:guest@{bound_address(listeners.amqp)}/")
            await stack.enter_async_context(devbroker_running(listeners.amqp, journal=folder / "broker.db"))
        await stack.enter_async_context(
            capture_running(
                smtp=listeners.smtp, web=listeners.viewer, store=folder / "capture.db", journey=journey
            )
        )
        consumer_settings = ConsumerSettings(
            amqp_url=amqp_url,
            smtp_url=smtp_url,
            inbox_url=_inbox_beside(wanted.database_url) or DatabaseUrl.of_file(folder / "inbox.db"),
            mail_from=MAIL_FROM,
        )
        await stack.enter_async_context(consumer_running(consumer_settings, journey=journey))
        producer_settings = ProducerSettings(
            base_url=cms_url,
            amqp_url=amqp_url,
            database_url=wanted.database_url or DatabaseUrl.of_file(folder / "cms.db"),
        )
        await stack.enter_async_context(producer_running(producer_settings, listeners.cms, journey=journey))
        yield Everything(
            amqp="devbroker" if wanted.amqp_url is None else "rabbitmq",
            database="sqlite",
            cms_url=f"{cms_url}/",
            viewer_url=f"{viewer_url}/",
            smtp_url=smtp_url,
            # Everybody knows the embedded broker's password; another's is nobody's business.
            amqp_link=amqp_url.url if wanted.amqp_url is None else str(amqp_url),
            journey=journey,
        )


def _inbox_beside(cms: DatabaseUrl | None) -> DatabaseUrl | None:
    """Give the consumer's database beside the CMS's: an SQLite file has one writer at a time, so each gets its own."""
    if cms is None:
        return None
    return DatabaseUrl.of_file(cms.path.with_name(f"{cms.path.stem}-inbox.db"))


def _listen(wanted: Wanted) -> Listeners:
    def open_port(asked: HostPort | None, otherwise: HostPort) -> socket.socket:
        return listen(asked) if asked is not None else listen_near(otherwise)

    return Listeners(
        cms=open_port(wanted.cms, CMS),
        viewer=open_port(wanted.viewer, VIEWER),
        smtp=open_port(wanted.smtp, SMTP),
        amqp=listen_near(AMQP) if wanted.amqp_url is None else None,
    )


def _say_where(everything: Everything) -> None:
    say(f"site    {everything.cms_url}")
    say(f"viewer  {everything.viewer_url}")
    say(f"mail    {everything.smtp_url}")
    say(f"broker  {everything.amqp_link}")
