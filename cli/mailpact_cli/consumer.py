"""`mailpact consumer`: the consumer by itself."""

import asyncio
from typing import Annotated

from mailpact.settings import AmqpUrl, DatabaseUrl, SmtpUrl, fault_point
from mailpact.telemetry import Journey, configure_logging
from mailpact_cli import options
from mailpact_cli.serving import say, serve_until_stopped
from mailpact_cli.waiting import database_answers


def consumer(
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = AmqpUrl("amqp://guest:guest@127.0.0.1:5672/"),
    smtp_url: Annotated[SmtpUrl, options.smtp_url()] = SmtpUrl("127.0.0.1", 1025),
    inbox_url: Annotated[
        DatabaseUrl,
        options.database_url("--inbox-url", "What was sent already; consumers of one queue share it."),
    ] = DatabaseUrl("sqlite:///.mailpact/inbox.db"),
    mail_from: Annotated[
        str, options.mail_address("--mail-from", "Who mails come from.")
    ] = "cms@mail.example",
    prefetch: Annotated[
        int, options.number("--prefetch", "Messages held unsettled at once.", least=1, most=1000)
    ] = 32,
    smtp_connections: Annotated[
        int,
        options.number("--smtp-connections", "Connections to the mail server at once.", least=1, most=100),
    ] = 8,
) -> None:
    """Run a consumer: it turns messages into mail."""
    configure_logging(verbose=True)
    journey = Journey(die_at=fault_point())
    options.sqlite_folder(inbox_url)

    async def serve(stopping: asyncio.Event) -> None:
        from mailpact_consumer.service import running
        from mailpact_consumer.settings import ConsumerSettings

        settings = ConsumerSettings(
            amqp_url=amqp_url,
            smtp_url=smtp_url,
            inbox_url=inbox_url,
            mail_from=mail_from,
            prefetch=prefetch,
            smtp_connections=smtp_connections,
        )
        if not await database_answers(inbox_url, stopping):
            return
        async with running(settings, journey=journey):
            say(f"consuming from {amqp_url}, mailing through {smtp_url}")
            await stopping.wait()

    serve_until_stopped(serve)
