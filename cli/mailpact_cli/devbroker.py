"""`mailpact devbroker`: the development broker by itself."""

import asyncio
from pathlib import Path
from typing import Annotated

from mailpact.settings import HostPort, SettingsError
from mailpact_cli import options
from mailpact_cli.addresses import is_loopback
from mailpact_cli.listening import bound_address, listen
from mailpact_cli.log_output import configure_logging
from mailpact_cli.serving import announce, serve_until_stopped


def devbroker(
    listen_on: Annotated[HostPort, options.address("--listen", "Where to listen.")] = HostPort(
        "127.0.0.1", 5672
    ),
    journal: Annotated[
        Path | None,
        options.path("--journal", "Keep durable messages in this file, so that they survive a restart."),
    ] = None,
    status: Annotated[
        HostPort | None,
        options.address("--status", "Where to serve the state of queues and connections as JSON over HTTP."),
    ] = None,
    unsafe_listen: Annotated[
        bool,
        options.flag(
            "--unsafe-listen",
            "Allow addresses that other machines can reach; the broker's password is public.",
        ),
    ] = False,
) -> None:
    """Run the development broker: AMQP 0-9-1, not for production."""
    for option, asked in (("--listen", listen_on), ("--status", status)):
        if asked is not None and not (is_loopback(asked.host) or unsafe_listen):
            raise SettingsError(
                f"{option} {asked} can be reached by other machines, and the broker's password is public; "
                "give --unsafe-listen to allow this"
            )
    configure_logging(verbose=True)
    listener = listen(listen_on)
    viewer = listen(status) if status is not None else None

    async def serve(stopping: asyncio.Event) -> None:
        from mailpact_devbroker.service import running

        async with running(listener, journal=journal, status=viewer):
            announce(
                f"development broker on amqp://guest:guest@{bound_address(listener)} (not for production)"
            )
            if viewer is not None:
                announce(f"queue status on http://{bound_address(viewer)}/status")
            await stopping.wait()

    serve_until_stopped(serve)
