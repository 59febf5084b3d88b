"""Runs all components in one process.

A broker or database for which no URL is given is embedded. The components start in the reverse order of a message's
journey, so that each finds the component it sends to: broker, capture server, consumer, site.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from structlog.contextvars import bound_contextvars

from mailpact.settings import AmqpUrl, DatabaseUrl, HostPort
from mailpact.telemetry import Journey
from mailpact_cli.listening import bound_address, listen, listen_near, site_url
from mailpact_consumer.smtp_url import SmtpUrl

if TYPE_CHECKING:
    from mailpact_producer.settings import ProducerSettings

CMS, VIEWER, SMTP, AMQP = (HostPort("127.0.0.1", port) for port in (8080, 8025, 1025, 5672))
MAIL_FROM = "cms@mail.example"
CANARY = "canary+ns-canary@mail.example"
CANARY_VIEW = "/ns/canary"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of `mailpact up`; None if an option was not given."""

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
class RunningSystem:
    """All components of a started system, and their addresses."""

    amqp: str
    database: str
    cms_url: str
    viewer_url: str
    smtp_url: SmtpUrl
    amqp_link: str
    journey: Journey
    consuming: asyncio.Event


@asynccontextmanager
async def running_system(given: UpOptions, folder: Path, journey: Journey) -> AsyncIterator[RunningSystem]:
    """Start every component, yield their addresses, and stop the components again."""
    from mailpact_capture.service import Settings as CaptureSettings
    from mailpact_capture.service import running as capture_running
    from mailpact_consumer.mailbox import Mailbox
    from mailpact_consumer.service import running as consumer_running
    from mailpact_consumer.settings import ConsumerSettings
    from mailpact_devbroker.service import running as devbroker_running
    from mailpact_producer.service import running as producer_running

    listeners = _listen(given)
    cms_url, viewer_url = (
        f"http://{bound_address(listener)}" for listener in (listeners.cms, listeners.viewer)
    )
    smtp = bound_address(listeners.smtp)
    smtp_url = SmtpUrl(smtp.host, smtp.port)
    async with AsyncExitStack() as stack:

        async def start(service: str, component: AbstractAsyncContextManager[T]) -> T:
            with bound_contextvars(service=service):  # the log records of its tasks have this name
                return await stack.enter_async_context(component)

        amqp_url = given.amqp_url
        if amqp_url is None:
            assert listeners.amqp is not None  # noqa: S101  # opened exactly when no URL is given
            broker = bound_address(listeners.amqp)
            amqp_url = AmqpUrl(broker.host, broker.port)
            await start("devbroker", devbroker_running(listeners.amqp, journal=folder / "broker.db"))
        await start(
            "capture",
            capture_running(
                smtp=listeners.smtp,
                web=listeners.viewer,
                store=folder / "capture.db",
                journey=journey,
                settings=CaptureSettings(amqp_url=amqp_url),
            ),
        )
        consumer_settings = ConsumerSettings(
            amqp_url=amqp_url,
            smtp_url=smtp_url,
            inbox_url=_inbox_beside(given.database_url) or DatabaseUrl(f"sqlite:///{folder / 'inbox.db'}"),
            mail_from=Mailbox(MAIL_FROM),
        )
        consumer = await start("consumer", consumer_running(consumer_settings, journey=journey))
        producer_settings = _producer_settings(given, folder, site_url(listeners.cms), amqp_url, viewer_url)
        await start("producer", producer_running(producer_settings, listeners.cms, journey=journey))
        yield RunningSystem(
            amqp="devbroker" if given.amqp_url is None else "rabbitmq",
            database="sqlite" if producer_settings.database_url.is_sqlite else "mysql",
            cms_url=f"{cms_url}/",
            viewer_url=f"{viewer_url}/",
            smtp_url=smtp_url,
            # The embedded broker's password is public; the password of another broker must not be shown.
            amqp_link=amqp_url.url if given.amqp_url is None else str(amqp_url),
            journey=journey,
            consuming=consumer.consuming,
        )


def _producer_settings(
    given: UpOptions, folder: Path, base_url: str, amqp_url: AmqpUrl, viewer_url: str
) -> "ProducerSettings":
    from mailpact_producer.settings import CanarySettings, ProducerSettings

    return ProducerSettings(
        base_url=base_url,
        amqp_url=amqp_url,
        database_url=given.database_url or DatabaseUrl(f"sqlite:///{folder / 'cms.db'}"),
        # A demo that runs once ends before the second canary.
        canary=None if given.once else CanarySettings(CANARY, viewer_url=viewer_url + CANARY_VIEW),
        mail_limit_network=0,  # the developer's own machine is the only network that can reach the site
    )


def _inbox_beside(cms: DatabaseUrl | None) -> DatabaseUrl | None:
    """Return the consumer's database. An SQLite file has one writer at a time, so consumer and CMS each get a file."""
    if cms is None or not cms.is_sqlite:
        return cms
    return DatabaseUrl(f"sqlite:///{cms.path.with_name(f'{cms.path.stem}-inbox.db')}")


def _listen(given: UpOptions) -> Listeners:
    def open_port(asked: HostPort | None, otherwise: HostPort) -> socket.socket:
        return listen(asked) if asked is not None else listen_near(otherwise)

    return Listeners(
        cms=open_port(given.cms, CMS),
        viewer=open_port(given.viewer, VIEWER),
        smtp=open_port(given.smtp, SMTP),
        amqp=listen_near(AMQP) if given.amqp_url is None else None,
    )
