"""`mailpact consumer`: the consumer by itself."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mailpact.settings import AmqpUrl, DatabaseUrl, HostPort, SettingsError
from mailpact.telemetry import Journey
from mailpact_cli import options
from mailpact_cli.environment import new_journey
from mailpact_cli.errors import exit_line
from mailpact_cli.listening import listen
from mailpact_cli.log_shipping import LogShipper, configure_service_logging, shipping
from mailpact_cli.process_metrics import ProcessMetrics
from mailpact_cli.serving import announce, say, serve_until_stopped
from mailpact_cli.waiting import database_answers
from mailpact_cli.workers import run_workers
from mailpact_consumer.mailbox import Identities, Mailbox
from mailpact_consumer.schedule import DEFAULT_SCHEDULE, Schedule
from mailpact_consumer.settings import ConsumerSettings, SmtpTls
from mailpact_consumer.smtp_url import SmtpUrl

Inbox = Annotated[
    DatabaseUrl,
    options.database_url(
        "--inbox-url",
        "The database that records sent mail; all consumers of one queue use the same database.",
    ),
]
From = Annotated[
    Mailbox, options.mailbox("--mail-from", 'The From field of mails: ADDRESS or "NAME <ADDRESS>".')
]
EnvelopeFrom = Annotated[
    str | None,
    options.mail_address(
        "--envelope-from", "The address for bounces; by default the address of --mail-from."
    ),
]
SenderIdentities = Annotated[
    Identities,
    options.identities("--identities", "Addresses that messages may name as sender, separated by commas."),
]
Templates = Annotated[Path | None, options.path("--templates", "A folder with your own templates.")]
Prefetch = Annotated[
    int, options.number("--prefetch", "Messages that are processed at the same time.", least=1, most=1000)
]
Connections = Annotated[
    int,
    options.number(
        "--smtp-connections", "Connections to the mail server at the same time.", least=1, most=100
    ),
]
Rate = Annotated[
    int | None,
    options.number(
        "--smtp-rate", "At most this many mails per second; no limit by default.", least=1, most=10_000
    ),
]
Tls = Annotated[
    SmtpTls,
    options.choice("--smtp-tls", "Whether STARTTLS is used with smtp://; a password always requires TLS."),
]
CaFile = Annotated[
    Path | None,
    options.ca_file(
        "--smtp-ca-file", "A PEM file with the CAs that may have signed the mail server's certificate."
    ),
]
RetrySchedule = Annotated[
    Schedule,
    options.schedule(
        "--retry-schedule",
        "The waiting times after the first, second, ... temporary failure; the last time repeats.",
    ),
]
InboxDays = Annotated[
    int,
    options.number(
        "--inbox-days",
        "Days for which finished messages are remembered, to recognise duplicates.",
        least=1,
        most=3650,
    ),
]
Health = Annotated[
    HostPort | None, options.address("--health", "Where to serve /livez, /readyz and /metrics.")
]
Workers = Annotated[
    int,
    options.number(
        "--workers", "The number of processes, which share the queue and the inbox.", least=1, most=64
    ),
]


def consumer(
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = options.DEFAULT_AMQP_URL,
    smtp_url: Annotated[SmtpUrl, options.smtp_url()] = SmtpUrl("127.0.0.1", 1025),
    inbox_url: Inbox = DatabaseUrl("sqlite:///.mailpact/inbox.db"),
    mail_from: From = Mailbox("cms@mail.example"),
    envelope_from: EnvelopeFrom = None,
    identities: SenderIdentities = Identities(),
    templates: Templates = None,
    prefetch: Prefetch = 200,
    smtp_connections: Connections = 20,
    smtp_rate: Rate = None,
    smtp_tls: Tls = SmtpTls.OPPORTUNISTIC,
    smtp_ca_file: CaFile = None,
    retry_schedule: RetrySchedule = DEFAULT_SCHEDULE,
    inbox_days: InboxDays = 30,
    health: Health = None,
    workers: Workers = 1,
    local_logs: Annotated[bool, options.local_logs()] = False,
) -> None:
    """Run a consumer, which receives messages and sends mail."""
    if smtp_tls is SmtpTls.OFF and (smtp_url.is_tls or smtp_url.password is not None):
        raise SettingsError("--smtp-tls off cannot be used with smtps://, nor with a password in --smtp-url")
    shipper = configure_service_logging("consumer", None if local_logs else amqp_url)
    journey = new_journey()
    options.sqlite_folder(inbox_url)

    settings = ConsumerSettings(
        amqp_url=amqp_url,
        smtp_url=smtp_url,
        inbox_url=inbox_url,
        mail_from=mail_from,
        envelope_from=envelope_from or "",
        identities=identities,
        templates=templates,
        prefetch=prefetch,
        smtp_connections=smtp_connections,
        smtp_rate=smtp_rate,
        smtp_tls=smtp_tls,
        smtp_ca_file=smtp_ca_file,
        retry_schedule=retry_schedule,
        inbox_days=inbox_days,
    )
    listeners = _health_listeners(health, workers)

    def serve(worker: int) -> int:
        serve_until_stopped(partial(_serve, settings, journey, listeners[worker], shipper))
        return 0

    if workers == 1:
        serve(0)
    else:
        raise typer.Exit(run_workers(workers, partial(_guarded, serve)))


def _health_listeners(health: HostPort | None, workers: int) -> list[socket.socket | None]:
    """Return a socket for each worker: the first uses the given port, each further socket the next higher port."""
    if health is None:
        return [None] * workers
    first = listen(health)
    port = first.getsockname()[1]
    return [first, *(listen(HostPort(health.host, port + number)) for number in range(1, workers))]


def _guarded(serve: Callable[[int], int], worker: int) -> int:
    """Run one worker; report an expected error in one line, as the command does."""
    try:
        return serve(worker)
    except Exception as error:  # the outermost handler of this process; an unexpected error is raised again
        expected = exit_line(error)
        if expected is None:
            raise
        line, code = expected
        say(f"mailpact: {line}")
        return code


async def _serve(
    settings: ConsumerSettings,
    journey: Journey,
    health: socket.socket | None,
    shipper: LogShipper | None,
    stopping: asyncio.Event,
) -> None:
    from mailpact_consumer.service import running

    async with shipping(shipper) as collectors:
        if not await database_answers(settings.inbox_url, stopping):
            return
        async with running(
            settings, journey=journey, health=health, collectors=(ProcessMetrics(), *collectors)
        ):
            announce(f"consuming from {settings.amqp_url}, mailing through {settings.smtp_url}")
            await stopping.wait()
