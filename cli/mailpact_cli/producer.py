"""`mailpact producer`: the CMS by itself."""

import asyncio
from typing import Annotated

from mailpact.settings import AmqpUrl, DatabaseUrl, HostPort, fault_point
from mailpact.telemetry import Journey, configure_logging
from mailpact_cli import options
from mailpact_cli.listening import bound_address, listen
from mailpact_cli.serving import say, serve_until_stopped
from mailpact_cli.waiting import database_answers


def producer(
    listen_on: Annotated[HostPort, options.address("--listen", "Where to listen.")] = HostPort(
        "127.0.0.1", 8080
    ),
    base_url: Annotated[str | None, options.base_url()] = None,
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = AmqpUrl("amqp://guest:guest@127.0.0.1:5672/"),
    database_url: Annotated[
        DatabaseUrl, options.database_url("--database-url", "Readers, pages and the outbox.")
    ] = DatabaseUrl("sqlite:///.mailpact/cms.db"),
) -> None:
    """Run the CMS: a site on which readers register, each registration a message."""
    configure_logging(verbose=True)
    journey = Journey(die_at=fault_point())
    options.sqlite_folder(database_url)
    listener = listen(listen_on)

    async def serve(stopping: asyncio.Event) -> None:
        from mailpact_producer.service import running
        from mailpact_producer.settings import ProducerSettings

        site = base_url or f"http://{bound_address(listener)}"
        settings = ProducerSettings(base_url=site, amqp_url=amqp_url, database_url=database_url)
        if not await database_answers(database_url, stopping):
            return
        async with running(settings, listener, journey=journey):
            say(f"site on http://{bound_address(listener)}/, publishing to {amqp_url}")
            await stopping.wait()

    serve_until_stopped(serve)
