"""`mailpact doctor`: examines settings and servers before and while Mailpact runs, and says what to do."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mailpact.contracts import catalogue
from mailpact.settings import AmqpUrl, DatabaseUrl, HostPort
from mailpact_cli import options
from mailpact_cli.doctor.broker import examine_broker
from mailpact_cli.doctor.database import Tables, bridge_has_owner, examine_database
from mailpact_cli.doctor.finding import Finding, FindingStatus, exit_code, unknown
from mailpact_cli.doctor.mail_server import examine_mail_server
from mailpact_cli.doctor.management import examine_management
from mailpact_cli.doctor.ports import examine_ports
from mailpact_cli.log_output import configure_logging
from mailpact_cli.printable import without_controls
from mailpact_consumer.mailbox import Mailbox
from mailpact_consumer.settings import SmtpTls
from mailpact_consumer.smtp_url import SmtpUrl

_STYLES: Final = {
    FindingStatus.OK: "green",
    FindingStatus.WRONG: "bold red",
    FindingStatus.UNREACHABLE: "bold red",
    FindingStatus.UNKNOWN: "yellow",
}

_SLOW_TO_IMPORT: Final = (
    "aiohttp",
    "mailpact.amqp.supervisor",
    "mailpact.database.engine",
    "mailpact_cli.topology.apply",
    "mailpact_consumer.deliver",
    "mailpact_consumer.inbox",
    "mailpact_producer.store.schema",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings to examine; None if an option was not given."""

    amqp_url: AmqpUrl
    management_url: str | None
    smtp_url: SmtpUrl | None
    smtp_tls: SmtpTls
    smtp_ca_file: Path | None
    mail_from: Mailbox
    envelope_from: str
    inbox_url: DatabaseUrl | None
    database_url: DatabaseUrl | None
    listen: tuple[HostPort, ...]


def doctor(
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = options.DEFAULT_AMQP_URL,
    management_url: Annotated[
        str | None, options.management_url("RabbitMQ's management API, http://HOST:15672.")
    ] = None,
    smtp_url: Annotated[SmtpUrl | None, options.smtp_url()] = None,
    smtp_tls: Annotated[
        SmtpTls, options.choice("--smtp-tls", "The consumer's setting of this name.")
    ] = SmtpTls.OPPORTUNISTIC,
    smtp_ca_file: Annotated[
        Path | None, options.ca_file("--smtp-ca-file", "The consumer's setting of this name.")
    ] = None,
    mail_from: Annotated[
        Mailbox, options.mailbox("--mail-from", "The consumer's setting of this name.")
    ] = Mailbox("cms@mail.example"),
    envelope_from: Annotated[
        str | None, options.mail_address("--envelope-from", "The consumer's setting of this name.")
    ] = None,
    inbox_url: Annotated[
        DatabaseUrl | None, options.database_url("--inbox-url", "The consumers' database.")
    ] = None,
    database_url: Annotated[
        DatabaseUrl | None, options.database_url("--database-url", "The site's database.")
    ] = None,
    listen: Annotated[
        list[HostPort] | None,
        options.address("--listen", "An address on which a service will listen; may be repeated."),
    ] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Find wrong settings of broker, mail server, databases and ports, and say what to do. Nothing is changed."""
    configure_logging(verbose=False)
    settings = Settings(
        amqp_url=amqp_url,
        management_url=management_url,
        smtp_url=smtp_url,
        smtp_tls=smtp_tls,
        smtp_ca_file=smtp_ca_file,
        mail_from=mail_from,
        envelope_from=envelope_from or "",
        inbox_url=inbox_url,
        database_url=database_url,
        listen=tuple(listen or ()),
    )
    for module in _SLOW_TO_IMPORT:  # before the time limits of the servers begin
        import_module(module)
    findings = asyncio.run(_examine_all(settings))
    if as_json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings]}))  # noqa: T201  # the result
    else:
        _print(findings, Console(highlight=False))
    raise typer.Exit(exit_code(findings))


async def _examine_all(settings: Settings) -> list[Finding]:
    """Examine all servers at the same time; return the findings in a fixed order."""
    groups = await asyncio.gather(*(_all(group) for group in _groups(settings)))
    return [finding for group in groups for finding in group]


async def _all(findings: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in findings]


def _groups(settings: Settings) -> "list[AsyncIterator[Finding]]":
    return [
        _broker(settings),
        examine_management(settings.management_url, settings.amqp_url, utc_seconds=time.time),
        _mail_server(settings),
        _databases(settings),
        _ports(settings),
    ]


async def _broker(settings: Settings) -> AsyncIterator[Finding]:
    is_ours = await bridge_has_owner(settings.inbox_url)
    topology = catalogue.load().topology
    async for finding in examine_broker(settings.amqp_url, topology, bridge_is_ours=is_ours):
        yield finding


async def _mail_server(settings: Settings) -> AsyncIterator[Finding]:
    if settings.smtp_url is None:
        yield unknown("mail server", "--smtp-url")
        return
    async for finding in examine_mail_server(
        settings.smtp_url,
        settings.smtp_tls,
        settings.smtp_ca_file,
        settings.mail_from,
        settings.envelope_from,
    ):
        yield finding


async def _databases(settings: Settings) -> AsyncIterator[Finding]:
    from mailpact_consumer import inbox, schema
    from mailpact_producer.store import schema as site

    consumers = Tables("inbox", "--inbox-url", schema.VERSION_TABLE, schema.HEAD, inbox.MIGRATIONS)
    sites = Tables("site database", "--database-url", site.VERSION_TABLE, site.HEAD, site.MIGRATIONS)
    for url, tables in ((settings.inbox_url, consumers), (settings.database_url, sites)):
        if url is None:
            yield unknown(tables.name, tables.option)
            continue
        async for finding in examine_database(url, tables, utc_seconds=time.time):
            yield finding


async def _ports(settings: Settings) -> AsyncIterator[Finding]:
    if not settings.listen:
        yield unknown("ports", "--listen HOST:PORT")
    for finding in examine_ports(settings.listen):
        yield finding


def _print(findings: list[Finding], console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        found = Text(without_controls(finding.found, keeping="\n"))
        table.add_row(Text(finding.verdict.value, style=_STYLES[finding.verdict]), finding.about, found)
        if finding.advice:
            table.add_row("", "", Text(without_controls(f"-> {finding.advice}", keeping="\n")))
    console.print(table)
    count = sum(finding.verdict in (FindingStatus.WRONG, FindingStatus.UNREACHABLE) for finding in findings)
    console.print("Nothing is wrong." if not count else f"{count} to be corrected.")
