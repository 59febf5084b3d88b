"""The site reads the status events of its mails: each counts once, in any order, and pages never wait for events."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import aiormq
import pytest

from mailpact.database.engine import open_database
from mailpact_producer import mail_status
from mailpact_producer.housekeeping import clean
from mailpact_producer.mail_state import MailState, Progress
from mailpact_producer.store import mails
from mailpact_producer.store.outbox import KEPT_DAYS

ADA, BOB = "ada@example.org", "bob@example.org"
QUEUE = "email.status.site"
PATIENCE_SECONDS = 60.0
DAY = 24 * 3600 * 1_000_000


def event(message_id: str, name: str, attempt: int = 1, **members: Any) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "event": name,
        "occurred_at": "2026-11-24T09:00:01.250Z",
        "message_id": message_id,
        "recipient": ADA,
        "attempt": attempt,
        **members,
    }


async def publish(broker: Any, *bodies: Any, message_type: str = "email-status.v1") -> None:
    """Publish events as the consumer does; a body given as bytes is published unchanged."""
    connection = await aiormq.connect(broker.url.url)
    channel = await connection.channel(publisher_confirms=True)
    for body in bodies:
        await channel.basic_publish(
            body if isinstance(body, bytes) else json.dumps(body).encode(),
            exchange="email.status",
            routing_key="event",
            properties=aiormq.spec.Basic.Properties(
                content_type="application/json", message_type=message_type, delivery_mode=2
            ),
        )
    await connection.close()


async def becomes(data: Any, query: str, expected: Any, **values: object) -> None:
    """Wait until the query returns these rows."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while data.rows(query, **values) != expected:
            await asyncio.sleep(0.02)


async def all_taken(broker: Any) -> None:
    """Wait until the queue is empty and no delivery is unsettled."""
    connection = await aiormq.connect(broker.url.url)
    channel = await connection.channel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await channel.queue_declare(QUEUE, passive=True)).message_count:
            await asyncio.sleep(0.02)
    await connection.close()


def ids(data: Any) -> list[str]:
    return [row[0] for row in data.rows("SELECT message_id FROM mails ORDER BY made_at, message_id")]


async def test_states_follow_the_events_and_foreign_or_broken_events_stop_nothing(
    start_site: Any, broker: Any, data: Any
) -> None:
    async with broker.running():
        site, _ = await start_site(), await start_site()
        await site.register(ADA)
        await site.register(BOB)
        (ada,) = data.rows("SELECT message_id FROM mails WHERE email = :email", email=ADA)[0]
        (bob,) = data.rows("SELECT message_id FROM mails WHERE email = :email", email=BOB)[0]
        refused = event(
            bob,
            "failed",
            smtp={"code": 550, "reply": "5.1.1 no such user"},
            error={"code": "smtp_permanent", "detail": "refused"},
        )
        sent = event(ada, "sent", 2)

        await publish(broker, b"\xff", b"{}", {**sent, "event": "lost"}, event(str(uuid4()), "sent"))
        await publish(
            broker, event(ada, "failed", 9, error={"code": "schema"}), message_type="email-status.v9"
        )
        await publish(broker, sent, event(ada, "deferred", 1), sent, refused, event(bob, "deferred", 7))

        await becomes(data, "SELECT state, attempt FROM mails WHERE message_id = :id", [("sent", 2)], id=ada)
        query = "SELECT state, smtp_code, reply, error FROM mails WHERE message_id = :id"
        await becomes(data, query, [("failed", 550, "5.1.1 no such user", "smtp_permanent")], id=bob)
        await all_taken(broker)


async def test_wrong_exchange_of_the_cache_keeps_no_event_from_the_site(
    start_site: Any, broker: Any, data: Any
) -> None:
    async with broker.running():
        connection = await aiormq.connect(broker.url.url)
        channel = await connection.channel()
        await channel.exchange_delete("cache.invalidation")
        await channel.exchange_declare("cache.invalidation", exchange_type="topic", durable=True)
        await connection.close()
        site = await start_site()
        await site.register(ADA)

        await publish(broker, event(ids(data)[0], "sent"))

        await becomes(data, "SELECT state FROM mails", [("sent",)])


async def test_site_serves_pages_without_the_broker_and_learns_later(
    site: Any, broker: Any, data: Any
) -> None:
    await site.register(ADA)
    assert (await site.get("/")).status == 200
    assert data.rows("SELECT state, attempt, occurred_at FROM mails") == [("queued", 0, 0)]

    async with broker.running():
        await publish(broker, event(ids(data)[0], "sent"))

        await becomes(data, "SELECT state FROM mails", [("sent",)])


async def test_event_that_was_recorded_and_not_acked_changes_nothing(
    serve: Any, broker: Any, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends between its commit and its ack."""
    never = asyncio.Event()

    async def ack(_delivery: Any) -> bool:
        await never.wait()
        return False

    async with broker.running():
        with monkeypatch.context() as patched:
            patched.setattr(mail_status.Delivery, "ack", ack)
            async with serve() as site:
                await site.register(ADA)
                await publish(broker, event(ids(data)[0], "sent", 3))
                await becomes(data, "SELECT state, attempt FROM mails", [("sent", 3)])
        await publish(broker, event(ids(data)[0], "deferred", 4))
        async with serve():
            await all_taken(broker)
            assert data.rows("SELECT state, attempt FROM mails") == [("sent", 3)]


async def test_events_wait_until_the_database_is_back(
    start_site: Any, broker: Any, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_status, "RETRY_SECONDS", 0.02)
    failures = 3
    record = mails.record

    def fails_at_first(connection: Any, told: Any) -> int:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise mail_status.DatabaseUnavailable("away")
        return record(connection, told)

    async with broker.running():
        site = await start_site()
        await site.register(ADA)
        monkeypatch.setattr(mails, "record", fails_at_first)
        await publish(broker, event(ids(data)[0], "deferred"))
        await becomes(data, "SELECT state FROM mails", [("deferred",)])

    assert failures < 0


async def test_two_processes_that_record_at_once_keep_the_end(site: Any, data: Any) -> None:
    await site.register(ADA)
    (message_id,) = ids(data)
    database = open_database(data.url)
    deferred = {message_id: [Progress(MailState.DEFERRED, n) for n in range(20)]}
    sent = {message_id: [Progress(MailState.SENT, 1)]}

    await asyncio.gather(
        *(database.transact(lambda connection: mails.record(connection, deferred)) for _ in range(4)),
        database.transact(lambda connection: mails.record(connection, sent)),
        *(database.transact(lambda connection: mails.record(connection, deferred)) for _ in range(4)),
    )
    await database.close()

    assert data.rows("SELECT state, attempt FROM mails") == [("sent", 1)]


async def test_row_goes_with_its_message_in_the_outbox_or_with_its_reader(site: Any, data: Any) -> None:
    await site.register(ADA)
    await site.register(BOB)
    database = open_database(data.url)
    ages = f"UPDATE mails SET made_at = made_at - {(KEPT_DAYS + 1) * DAY}"
    data.rows(ages)

    await clean(database)
    waiting = len(ids(data))
    data.rows("DELETE FROM outbox WHERE message_id IN (SELECT message_id FROM mails WHERE email = :e)", e=ADA)
    await clean(database)
    left = data.rows("SELECT email FROM mails")
    data.rows("UPDATE users SET delete_at = 1")
    await clean(database)
    await database.close()

    assert (waiting, left, ids(data)) == (2, [(BOB,)], [])


async def test_exchange_of_another_kind_costs_no_page_and_is_used_once_it_is_right(
    start_site: Any, broker: Any, data: Any
) -> None:
    async with broker.running(has_queues=False):
        connection = await aiormq.connect(broker.url.url)
        channel = await connection.channel()
        await channel.exchange_declare("email.status", exchange_type="fanout", durable=True)
        site = await start_site()
        await site.register(ADA)
        assert (await site.get("/")).status == 200
        await channel.exchange_delete("email.status")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                probe = await connection.channel()
                try:
                    await probe.queue_declare(QUEUE, passive=True)
                    break
                except aiormq.exceptions.ChannelNotFoundEntity:
                    await asyncio.sleep(0.1)
        await connection.close()
        await publish(broker, event(ids(data)[0], "sent"))

        await becomes(data, "SELECT state FROM mails", [("sent",)])
