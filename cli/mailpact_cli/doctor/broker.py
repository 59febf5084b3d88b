"""Examines the broker over AMQP: the login, TLS, the arguments of every exchange and queue, and foreign consumers."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from mailpact.contracts.catalogue import Exchange, Queue, Topology
from mailpact.settings import AmqpUrl
from mailpact_cli.addresses import is_loopback
from mailpact_cli.dialling import DIAL_SECONDS, connected
from mailpact_cli.doctor.finding import Finding, ok, unreachable, wrong

if TYPE_CHECKING:
    from aiormq.abc import AbstractConnection

LEGACY_QUEUE: Final = "email"
LOG_NAMES: Final = frozenset({"logs", "logs.all"})
GUEST: Final = "guest"
RABBITMQ: Final = "RabbitMQ"


async def examine_broker(
    url: AmqpUrl, topology: Topology, *, bridge_is_ours: bool | None
) -> AsyncIterator[Finding]:
    """Yield what is found.

    `bridge_is_ours` says that a Mailpact consumer reads the legacy queue; None if this is unknown.
    """
    from mailpact.amqp.errors import AccessRefused, BrokerUnreachable

    is_examined = False
    for node in url.each:
        yield _tls(node)
        try:
            async with connected(node, "doctor", DIAL_SECONDS / len(url.each)) as connection:
                yield ok("broker", f"{node} accepts the login")
                yield _user(node, str(connection.server_properties.get("product", "")))
                if not is_examined:  # the nodes of a cluster share exchanges, queues and consumers
                    for finding in await _topology(connection, topology):
                        yield finding
                    yield await _legacy_queue(connection, bridge_is_ours=bridge_is_ours)
                    is_examined = True
        except AccessRefused as error:
            yield wrong(
                "broker",
                f"{node} refuses access: {error}",
                "Correct --amqp-url, or give the user its rights.",
            )
        except BrokerUnreachable as error:
            yield unreachable(
                "broker", f"{node}: {error}", "Start the broker, or correct host and port in --amqp-url."
            )


def _tls(url: AmqpUrl) -> Finding:
    if url.is_tls:
        if dict(url.options).get("no_verify_ssl") == "1":
            return wrong(
                "broker TLS",
                "the broker's certificate is not checked",
                "Remove no_verify_ssl from --amqp-url, and name the authority with ?cafile=FILE.",
            )
        return ok("broker TLS", "the connection is encrypted")
    if is_loopback(url.host):
        return ok("broker TLS", "not needed: the broker is on this machine")
    return wrong(
        "broker TLS",
        f"passwords and mail go to {url.host} without encryption",
        "Let the broker listen with TLS, and use amqps:// in --amqp-url.",
    )


def _user(url: AmqpUrl, product: str) -> Finding:
    if url.user == GUEST and product == RABBITMQ:
        return wrong(
            "broker user",
            "RabbitMQ's default user guest has every permission, and everybody knows its password",
            "Import the users of `mailpact topology export`, set their passwords, and name one in --amqp-url;"
            " then `rabbitmqctl delete_user guest`.",
        )
    return ok("broker user", f"{url.user} on {product or 'the broker'}")


async def _topology(connection: "AbstractConnection", topology: Topology) -> list[Finding]:
    """Check every exchange and queue of the topology. A declaration with other arguments would be refused with 406."""
    from mailpact.amqp.errors import talking
    from mailpact_cli.topology.apply import look

    pieces: list[Exchange | Queue] = [*topology.exchanges, *topology.queues]
    with talking():
        states = [await look(connection, piece) for piece in pieces]
    findings = [
        wrong(
            "topology",
            f"{state.title} exists with other arguments, so its program is refused with 406: {state.difference}",
            f"Move its messages away, delete the {state.title}, and run `mailpact topology apply`."
            " If a policy can give the wanted effect, remove the argument from the program that declares it.",
        )
        for state in states
        if state.difference
    ]
    missing = [state.title for state in states if not state.is_there]
    logs = [title for title in missing if title.split()[-1] in LOG_NAMES]
    others = [title for title in missing if title not in logs]
    if logs:
        findings.append(
            wrong(
                "logs",
                f"missing: {', '.join(logs)}; log records are dropped",
                "Run `mailpact topology apply`.",
            )
        )
    if others:
        findings.append(
            wrong(
                "topology",
                f"missing: {', '.join(others)}",
                "Start a consumer and the site, or run `mailpact topology apply`.",
            )
        )
    return findings or [ok("topology", f"{len(pieces)} exchanges and queues are as the contracts say")]


async def _legacy_queue(connection: "AbstractConnection", *, bridge_is_ours: bool | None) -> Finding:
    from aiormq.exceptions import ChannelLockedResource, ChannelNotFoundEntity

    from mailpact.amqp.channels import short_channel
    from mailpact.amqp.errors import talking

    about = "legacy queue"
    with talking():
        try:
            async with short_channel(connection) as channel:
                consumers = (await channel.queue_declare(LEGACY_QUEUE, passive=True)).consumer_count or 0
        except ChannelNotFoundEntity:
            return ok(about, "there is no queue email")
        except ChannelLockedResource:
            return wrong(
                about,
                "a program consumes from queue email exclusively",
                "Stop that program: the messages in its queue do not become mail.",
            )
    strangers = consumers - int(bridge_is_ours is True)
    if strangers <= 0:
        return ok(about, "queue email has no consumer but Mailpact's own")
    hint = (
        ""
        if bridge_is_ours is not None
        else " Give --inbox-url, so that doctor recognises Mailpact's own consumer."
    )
    return wrong(
        about,
        f"queue email has {strangers} foreign consumer(s); the messages that they receive do not become mail",
        f"Stop the old consumer of queue email; Mailpact then moves what is left there.{hint}",
    )
