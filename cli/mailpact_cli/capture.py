"""`mailpact capture`: the capture server and its viewer by themselves."""

import asyncio
from pathlib import Path
from typing import Annotated

from mailpact.settings import HostPort
from mailpact.telemetry import Journey, configure_logging
from mailpact_capture.limits import DEFAULT_KEPT_BYTES, DEFAULT_KEPT_MAILS
from mailpact_cli import options
from mailpact_cli.environment import fault_point
from mailpact_cli.listening import bound_address, listen
from mailpact_cli.serving import announce, serve_until_stopped


def capture(
    smtp: Annotated[HostPort, options.address("--smtp", "Where to take mail.")] = HostPort("127.0.0.1", 1025),
    http: Annotated[HostPort, options.address("--http", "Where to show it.")] = HostPort("127.0.0.1", 8025),
    store: Annotated[
        Path | None, options.path("--store", "Keep the mail in this file; without it, until the end.")
    ] = None,
    keep_mails: Annotated[
        int,
        options.number("--keep-mails", "Keep at most so many mails; the oldest go.", least=1, most=1_000_000),
    ] = DEFAULT_KEPT_MAILS,
    keep_bytes: Annotated[
        int,
        options.number("--keep-bytes", "Keep at most so many bytes of mail.", least=1_000_000, most=2**40),
    ] = DEFAULT_KEPT_BYTES,
    allowed_host: Annotated[
        list[str] | None,
        options.text(
            "--allowed-host", "NAME", "A further name of this server, for containers; may be repeated."
        ),
    ] = None,
) -> None:
    """Run a mail server that keeps and shows mail."""
    configure_logging(verbose=True)
    journey = Journey(die_at=fault_point())
    if store is not None:
        options.make_folder(store.absolute().parent)
    smtp_listener, web_listener = listen(smtp), listen(http)

    async def serve(stopping: asyncio.Event) -> None:
        from mailpact_capture.service import Settings, running

        settings = Settings(keep_mails, keep_bytes, tuple(allowed_host or ()))
        async with running(
            smtp=smtp_listener, web=web_listener, store=store, journey=journey, settings=settings
        ):
            announce(f"taking mail on smtp://{bound_address(smtp_listener)}")
            announce(f"showing it on http://{bound_address(web_listener)}/")
            await stopping.wait()

    serve_until_stopped(serve)
