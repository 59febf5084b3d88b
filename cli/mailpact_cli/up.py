"""`mailpact up`: all components in one process, on loopback, with nothing to install."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Annotated

from mailpact.settings import AmqpUrl, DatabaseUrl, HostPort, SettingsError
from mailpact.telemetry import Journey
from mailpact_cli import options
from mailpact_cli.environment import new_journey
from mailpact_cli.log_shipping import LogShipper, configure_service_logging, shipping
from mailpact_cli.running_system import RunningSystem, UpOptions, running_system
from mailpact_cli.serving import say, serve_until_stopped


def up(
    demo: Annotated[
        bool, options.flag("--demo", "Register one reader and show each step until the mail.")
    ] = False,
    once: Annotated[bool, options.flag("--once", "Stop when the demo is done; keep no data.")] = False,
    as_json: Annotated[bool, options.flag("--json", "Print the demo's result as one JSON object.")] = False,
    data: Annotated[Path, options.path("--data", "The folder for the data.")] = Path(".mailpact"),
    cms_listen: Annotated[
        HostPort | None,
        options.address("--cms-listen", "Where the site listens; 127.0.0.1:8080 or the next free port."),
    ] = None,
    viewer_listen: Annotated[
        HostPort | None,
        options.address(
            "--viewer-listen", "Where the mail viewer listens; 127.0.0.1:8025 or the next free port."
        ),
    ] = None,
    smtp_listen: Annotated[
        HostPort | None,
        options.address(
            "--smtp-listen", "Where the capture server listens; 127.0.0.1:1025 or the next free port."
        ),
    ] = None,
    amqp_url: Annotated[
        AmqpUrl | None, options.amqp_url("Use this broker instead of the embedded broker.")
    ] = None,
    database_url: Annotated[
        DatabaseUrl | None,
        options.database_url(
            "--database-url", "Use this database instead of one SQLite file for each component."
        ),
    ] = None,
) -> None:
    """Run broker, site, consumer, capture server and viewer in one process."""
    shipper = configure_service_logging("up", amqp_url, verbose=False)
    for option, is_given in (("--json", as_json), ("--once", once)):
        if is_given and not demo:
            raise SettingsError(f"{option} needs --demo")
    # A script that starts the demo cannot press Ctrl-C.
    is_once = once or (demo and not sys.stdout.isatty())
    given = UpOptions(
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
    journey = new_journey()
    if database_url is not None:
        options.sqlite_folder(database_url)
    if is_once:
        with tempfile.TemporaryDirectory(prefix="mailpact-") as folder:
            serve_until_stopped(lambda stopping: _serve(given, Path(folder), journey, shipper, stopping))
    else:
        folder_to_keep = options.make_folder(data)
        serve_until_stopped(lambda stopping: _serve(given, folder_to_keep, journey, shipper, stopping))


async def _serve(
    given: UpOptions, folder: Path, journey: Journey, shipper: LogShipper | None, stopping: asyncio.Event
) -> None:
    from mailpact_cli.demo import demonstrate

    if given.once and given.amqp_url is not None:
        await _refuse_unreachable(given.amqp_url)
    async with shipping(shipper), running_system(given, folder, journey) as running:
        if given.demo:
            await demonstrate(running, as_json=given.as_json, stopping=stopping)
        else:
            _say_where(running)
        if not given.once:
            say("Ctrl-C stops it.")
            await stopping.wait()


async def _refuse_unreachable(url: AmqpUrl) -> None:
    """Check that the broker answers, because a command that runs once must not wait without a limit."""
    from mailpact_cli.dialling import connected

    async with connected(url, "up"):
        pass


def _say_where(running: RunningSystem) -> None:
    say(f"site    {running.cms_url}")
    say(f"viewer  {running.viewer_url}")
    say(f"mail    {running.smtp_url}")
    say(f"broker  {running.amqp_link}")
