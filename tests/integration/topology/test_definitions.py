"""The exported definitions on a real RabbitMQ: they can be imported, match our topology, and grant no more rights."""

import asyncio
import json
import re
import socket
from collections.abc import Awaitable, Callable

import aiohttp
import aiormq
import pytest
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused, ProbableAuthenticationError
from pamqp.commands import Basic

from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from mailpact.settings import AmqpUrl, DatabaseUrl
from mailpact.telemetry import Journey
from mailpact_cli.log_shipping import LogShipper
from mailpact_consumer.mailbox import Mailbox
from mailpact_consumer.service import running
from mailpact_consumer.settings import ConsumerSettings
from mailpact_consumer.smtp_url import SmtpUrl
from mailpact_contract_tool.publish.definitions import USERS, definitions
from mailpact_producer.service import running as producer_running
from mailpact_producer.settings import ProducerSettings

TOPOLOGY = catalogue.load().topology
RECORD = {"timestamp": "2026-11-24T09:00:00Z", "level": "info"}


def test_export_prints_the_definitions_and_nothing_else(run) -> None:
    done = run("topology", "export", "--vhost", "mail")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == definitions(TOPOLOGY, vhost="mail")


@pytest.mark.parametrize("user", USERS)
async def test_nobody_logs_in_before_a_password_is_set(imported, user) -> None:
    for password in ("", "guest", user):
        url = imported.url(user).replace(imported.password, password)
        with pytest.raises((ProbableAuthenticationError, aiormq.exceptions.AMQPError)):
            await aiormq.connect(url)


async def test_consumer_mails_what_a_producer_sends_on_the_imported_topology(
    imported, mailbox, tmp_path
) -> None:
    imported.set_passwords()
    settings = ConsumerSettings(
        amqp_url=AmqpUrl.parse(imported.url("mailpact-consumer")),
        smtp_url=SmtpUrl("127.0.0.1", mailbox.port),
        inbox_url=DatabaseUrl(f"sqlite:///{tmp_path / 'inbox.db'}"),
        mail_from=Mailbox("cms@mail.example"),
    )

    async with running(settings, journey=Journey()):
        async with aiormq.connect(imported.url("mailpact-producer")) as connection:
            channel = await connection.channel(publisher_confirms=True)
            for body in (b'{"email": "ada@example.org", "message": "Hello"}', b"not JSON"):
                await channel.basic_publish(body, exchange="email", mandatory=True)
        await asyncio.wait_for(mailbox.came.wait(), 30)
        letter = await take_letter(imported.url("mailpact-operator"))

    assert len(mailbox.bodies) == 1
    assert letter.header.properties.headers["x-error-code"] == "invalid_json"


async def take_letter(url: str) -> DeliveredMessage:
    """Take one dead letter, waiting for it."""
    async with aiormq.connect(url) as connection, asyncio.timeout(30):
        channel = await connection.channel()
        while isinstance(
            (got := await channel.basic_get("email.dead", no_ack=True)).delivery, Basic.GetEmpty
        ):
            await asyncio.sleep(0.05)
        return got


async def test_operator_finds_everything_after_the_import(imported, run) -> None:
    imported.set_passwords()

    done = await asyncio.to_thread(run, "topology", "apply", "--amqp-url", imported.url("mailpact-operator"))

    assert (done.returncode, done.stderr) == (0, "")
    assert "made" not in done.stdout


async def test_producer_declares_and_publishes_to_the_public_exchange(imported) -> None:
    imported.set_passwords()

    async with aiormq.connect(imported.url("mailpact-producer")) as connection:
        await declare_all(connection, TOPOLOGY.declared_by("producer"))
        channel = await connection.channel(publisher_confirms=True)
        await channel.basic_publish(b"{}", exchange="email", routing_key="", mandatory=True)

    async with aiormq.connect(imported.url("mailpact-consumer")) as connection:
        channel = await connection.channel()
        taken = await channel.basic_get("email.work", no_ack=True)
    assert taken.body == b"{}"


async def test_services_ship_their_log_records_and_the_operator_reads_those_that_the_policy_keeps(
    imported, run, monkeypatch
) -> None:
    monkeypatch.setattr("mailpact_contract_tool.publish.definitions.MOST_LOG_RECORDS", 3)
    imported.import_again()
    imported.set_passwords()

    for user in ("mailpact-producer", "mailpact-consumer"):
        shipper = LogShipper(AmqpUrl.parse(imported.url(user)), user)
        for number in range(2):
            shipper.take("info", json.dumps(RECORD | {"event": f"{user} {number}"}))
        async with shipper.shipping(), asyncio.timeout(50):
            while shipper.shipped < 2:
                await asyncio.sleep(0.02)
    done = await asyncio.to_thread(run, "logs", "--json", "--amqp-url", imported.url("mailpact-operator"))

    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == [
        "mailpact-producer 1",
        "mailpact-consumer 0",
        "mailpact-consumer 1",
    ]


async def publish(channel: AbstractChannel, exchange: str) -> None:
    """Publish, and wait for a later answer of the broker, so that the broker has handled the publish."""
    await channel.basic_publish(b"{}", exchange=exchange, routing_key="x", mandatory=False)


FORBIDDEN: dict[str, tuple[str, Callable[[AbstractChannel], Awaitable[object]]]] = {
    "a producer reads no mail": ("mailpact-producer", lambda channel: channel.basic_get("email.work")),
    "a producer reads no dead letter": ("mailpact-producer", lambda channel: channel.basic_get("email.dead")),
    "a producer consumes no mail": (
        "mailpact-producer",
        lambda channel: channel.basic_consume("email.work", lambda _: asyncio.sleep(0)),
    ),
    "a producer writes no dead letter": ("mailpact-producer", lambda channel: publish(channel, "email.dlx")),
    "a producer writes past the exchange into no queue": (
        "mailpact-producer",
        lambda channel: publish(channel, ""),
    ),
    "a producer deletes no queue": ("mailpact-producer", lambda channel: channel.queue_delete("email.work")),
    "a producer declares no queue": (
        "mailpact-producer",
        lambda channel: channel.queue_declare("mine", durable=True),
    ),
    "a producer listens to nobody's mail": (
        "mailpact-producer",
        lambda channel: channel.queue_bind("email", "email", ""),
    ),
    "a site reads no mail": ("mailpact-site", lambda channel: channel.basic_get("email.work")),
    "a site declares no other queue": ("mailpact-site", lambda channel: channel.queue_declare("mine")),
    "a site listens to nobody's mail": (
        "mailpact-site",
        lambda channel: channel.queue_bind("email", "email", ""),
    ),
    "a producer reads no status events": (
        "mailpact-producer",
        lambda channel: channel.basic_get("email.status.site"),
    ),
    "a site tells nobody what became of a mail": (
        "mailpact-site",
        lambda channel: publish(channel, "email.status"),
    ),
    "a producer tells nobody about the cache": (
        "mailpact-producer",
        lambda channel: publish(channel, "cache.invalidation"),
    ),
    "a consumer reads no dead letter": ("mailpact-consumer", lambda channel: channel.basic_get("email.dead")),
    "a consumer declares nothing else": (
        "mailpact-consumer",
        lambda channel: channel.queue_declare("other", durable=True),
    ),
    "an observer publishes no mail": ("mailpact-observer", lambda channel: publish(channel, "email")),
    "an observer publishes no log record": ("mailpact-observer", lambda channel: publish(channel, "logs")),
    "an observer takes no mail away": ("mailpact-observer", lambda channel: channel.basic_get("email.work")),
    "an observer declares no public name": (
        "mailpact-observer",
        lambda channel: channel.queue_declare("email.work", durable=True),
    ),
    "an operator declares nothing else": (
        "mailpact-operator",
        lambda channel: channel.queue_declare("other", durable=True),
    ),
}


@pytest.mark.parametrize("promise", FORBIDDEN)
async def test_users_may_do_no_more_than_their_part(imported, promise) -> None:
    user, act = FORBIDDEN[promise]
    imported.set_passwords()

    async with aiormq.connect(imported.url(user)) as connection:
        channel = await connection.channel(publisher_confirms=True)
        with pytest.raises(ChannelAccessRefused):
            await act(channel)


async def test_site_hears_what_another_process_of_the_site_says_about_the_cache(imported) -> None:
    imported.set_passwords()

    async with aiormq.connect(imported.url("mailpact-site")) as connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.exchange_declare("cache.invalidation", exchange_type="fanout", durable=True)
        await channel.queue_declare("cache.invalidation.one", exclusive=True, auto_delete=True)
        await channel.queue_bind("cache.invalidation.one", "cache.invalidation", "")
        await channel.basic_publish(b"said", exchange="cache.invalidation", mandatory=False)
        taken = await channel.basic_get("cache.invalidation.one", no_ack=True)

    assert taken.body == b"said"


async def test_site_reads_what_became_of_its_mails(imported) -> None:
    imported.set_passwords()

    async with aiormq.connect(imported.url("mailpact-consumer")) as connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.basic_publish(b"{}", exchange="email.status", routing_key="sent")
    async with aiormq.connect(imported.url("mailpact-site")) as connection:
        await declare_all(connection, TOPOLOGY.declared_by("site"))
        channel = await connection.channel()
        taken = await channel.basic_get("email.status.site", no_ack=True)

    assert taken.body == b"{}"


@pytest.mark.parametrize("user", ["mailpact-producer", "mailpact-site"])
async def test_site_mails_with_the_rights_of_either_user(imported, tmp_path, user) -> None:
    imported.set_passwords()
    listener = socket.create_server(("127.0.0.1", 0))
    site = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = ProducerSettings(
        site, AmqpUrl.parse(imported.url(user)), DatabaseUrl(f"sqlite:///{tmp_path / 'cms.db'}")
    )
    cookies = aiohttp.CookieJar(unsafe=True)

    async with (
        producer_running(settings, listener, journey=Journey()),
        aiohttp.ClientSession(cookie_jar=cookies) as session,
    ):
        async with session.get(f"{site}/register") as page:
            fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', await page.text()))
        fields |= {"name": "Ada", "email": "ada@example.org", "password": "correct horse battery"}
        async with session.post(f"{site}/register", data=fields) as answer:
            assert answer.status == 200
        async with aiormq.connect(imported.url("mailpact-operator")) as connection, asyncio.timeout(30):
            channel = await connection.channel()
            while (taken := await channel.basic_get("email.work", no_ack=True)).delivery_tag is None:
                await asyncio.sleep(0.05)

    assert b"confirm-address" in taken.body


async def test_observer_sees_copies_through_a_private_queue(imported) -> None:
    imported.set_passwords()

    async with aiormq.connect(imported.url("mailpact-observer")) as connection:
        channel = await connection.channel()
        queue = (await channel.queue_declare(exclusive=True)).queue
        await channel.queue_bind(queue, "email", "")
        async with aiormq.connect(imported.url("mailpact-producer")) as other:
            confirming = await other.channel(publisher_confirms=True)
            await confirming.basic_publish(b"seen", exchange="email", routing_key="")
        taken = await channel.basic_get(queue, no_ack=True)

    assert taken.body == b"seen"


async def test_operator_takes_dead_letters(imported) -> None:
    imported.set_passwords()

    async with aiormq.connect(imported.url("mailpact-operator")) as connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.basic_publish(b"letter", exchange="email.dlx")
        taken = await channel.basic_get("email.dead", no_ack=True)

    assert taken.body == b"letter"


def test_second_import_changes_nothing_but_passwords(imported) -> None:
    imported.import_again()
