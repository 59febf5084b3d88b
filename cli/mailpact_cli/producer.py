"""`mailpact producer`: the CMS by itself."""

import asyncio
from typing import Annotated, Any, Final

from mailpact.settings import AmqpUrl, DatabaseUrl, HostPort, SettingsError
from mailpact_cli import options
from mailpact_cli.environment import new_journey
from mailpact_cli.listening import bound_address, listen, site_url
from mailpact_cli.log_shipping import configure_service_logging, shipping
from mailpact_cli.process_metrics import ProcessMetrics
from mailpact_cli.serving import announce, serve_until_stopped
from mailpact_cli.waiting import database_answers
from mailpact_producer.settings import (
    CANARY_INTERVAL_SECONDS,
    MAIL_LIMIT_MAILBOX,
    MAIL_LIMIT_NETWORK,
    SITE_NAME,
    CanarySettings,
    ProducerSettings,
    parse_networks,
    parse_site_name,
)

MOST_MAILS: Final = 3_000  # their times fit into a column of 64 KiB


def _mails(name: str, meaning: str) -> Any:
    return options.number(name, meaning, least=0, most=MOST_MAILS)


Listen = Annotated[HostPort, options.address("--listen", "Where to listen.")]
Database = Annotated[
    DatabaseUrl, options.database_url("--database-url", "The database with readers, pages and the outbox.")
]
MailboxLimit = Annotated[
    int,
    _mails("--mail-limit-mailbox", "At most this many mails to one mailbox in an hour; 0 means no limit."),
]
NetworkLimit = Annotated[
    int,
    _mails(
        "--mail-limit-network",
        "At most this many mails in an hour that one client network (/24, IPv6 /64) requests; 0 means no limit.",
    ),
]
Proxies = Annotated[
    str,
    options.text(
        "--trusted-proxies",
        "NETWORKS",
        "Addresses or networks of proxies whose X-Forwarded-For is trusted, separated by commas.",
    ),
]
SiteName = Annotated[
    str, options.text("--site-name", "NAME", "The site's name, on its pages and in its mails.")
]
HealthAddress = Annotated[
    HostPort | None, options.address("--health", "Where to serve /livez, /readyz, /health/mail and /metrics.")
]


CanaryAddress = Annotated[
    str | None,
    options.mail_address(
        "--canary", "Send a test mail to this address every minute, and report if it is late."
    ),
]
CanaryInterval = Annotated[
    int, options.number("--canary-interval", "Seconds between two canaries.", least=1, most=3600)
]
CanaryViewer = Annotated[
    str | None, options.called_url("--canary-viewer-url", "The capture server to ask for each canary.")
]
CanaryPush = Annotated[
    str | None, options.called_url("--canary-push-url", "The URL to call after each canary that has arrived.")
]


def producer(
    listen_on: Listen = HostPort("127.0.0.1", 8080),
    base_url: Annotated[str | None, options.base_url()] = None,
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = options.DEFAULT_AMQP_URL,
    database_url: Database = DatabaseUrl("sqlite:///.mailpact/cms.db"),
    mail_limit_mailbox: MailboxLimit = MAIL_LIMIT_MAILBOX,
    mail_limit_network: NetworkLimit = MAIL_LIMIT_NETWORK,
    trusted_proxies: Proxies = "",
    site_name: SiteName = SITE_NAME,
    canary: CanaryAddress = None,
    canary_interval: CanaryInterval = CANARY_INTERVAL_SECONDS,
    canary_viewer_url: CanaryViewer = None,
    canary_push_url: CanaryPush = None,
    health: HealthAddress = None,
    local_logs: Annotated[bool, options.local_logs()] = False,
) -> None:
    """Run the example site, on which readers register."""
    shipper = configure_service_logging("producer", None if local_logs else amqp_url)
    journey = new_journey()
    options.sqlite_folder(database_url)
    proxies, name = parse_networks(trusted_proxies), parse_site_name(site_name)
    watched = _canary(canary, canary_interval, canary_viewer_url, canary_push_url)
    listener = listen(listen_on)
    health_listener = listen(health) if health is not None else None

    async def serve(stopping: asyncio.Event) -> None:
        from mailpact_producer.service import running

        site = base_url or site_url(listener)
        settings = ProducerSettings(
            base_url=site,
            amqp_url=amqp_url,
            database_url=database_url,
            mail_limit_mailbox=mail_limit_mailbox,
            mail_limit_network=mail_limit_network,
            trusted_proxies=proxies,
            site_name=name,
            canary=watched,
        )
        async with shipping(shipper) as collectors:
            if not await database_answers(database_url, stopping):
                return
            async with running(
                settings,
                listener,
                journey=journey,
                health=health_listener,
                collectors=(ProcessMetrics(), *collectors),
            ):
                announce(f"site on http://{bound_address(listener)}/, publishing to {amqp_url}")
                if health_listener is not None:
                    announce(f"health on http://{bound_address(health_listener)}/readyz")
                await stopping.wait()
            announce("site stopped")

    serve_until_stopped(serve)


def _canary(
    address: str | None, interval: int, viewer: str | None, push: str | None
) -> CanarySettings | None:
    if address is not None:
        return CanarySettings(address, interval, viewer or "", push or "")
    for option, value in (("--canary-viewer-url", viewer), ("--canary-push-url", push)):
        if value is not None:
            raise SettingsError(f"{option} needs --canary ADDRESS")
    return None
