"""`mailpact capture`: the capture server and its viewer by themselves."""

import asyncio
from pathlib import Path
from typing import Annotated

from mailpact.settings import HostPort, fault_point
from mailpact.telemetry import Journey, configure_logging
from mailpact_cli import options
from mailpact_cli.listening import bound_address, listen
from mailpact_cli.serving import say, serve_until_stopped


def capture(
    smtp: Annotated[HostPort, options.address("--smtp", "Where to take mail.")] = HostPort("127.0.0.1", 1025),
    http: Annotated[HostPort, options.address("--http", "Where to show it.")] = HostPort("127.0.0.1", 8025),
    store: Annotated[
        Path | None, options.path("--store", "Keep the mail in this file; without it, until the end.")
    ] = None,
) -> None:
    """Take every mail that is sent here and show it, instead of delivering it to anybody."""
    configure_logging(verbose=True)
    journey = Journey(die_at=fault_point())
    if store is not None:
        options.make_folder(store.absolute().parent)
    smtp_listener, web_listener = listen(smtp), listen(http)

    async def serve(stopping: asyncio.Event) -> None:
        from mailpact_capture.service import running

        async with running(smtp=smtp_listener, web=web_listener, store=store, journey=journey):
            say(f"taking mail on smtp://{bound_address(smtp_listener)}")
            say(f"showing it on  http://{bound_address(web_listener)}/")
            await stopping.wait()

    serve_until_stopped(serve)
