"""Every outcome is published as a status event, and trouble with events stops no mail."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiormq
import pytest
from aiormq.abc import AbstractChannel

from mailpact_consumer import events

QUEUE = "status.reader"


@asynccontextmanager
async def reading(stage: Any, **arguments: Any) -> AsyncIterator[AbstractChannel]:
    """Yield a channel with a queue that gets every status event."""
    async with aiormq.connect(stage.amqp_url) as connection:
        channel = await connection.channel()
        await channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum", **arguments})
        await channel.queue_bind(QUEUE, "email.status", "#")
        yield channel


async def taken(channel: AbstractChannel) -> list[dict[str, Any]]:
    """Return all waiting events, and check each against its properties."""
    found = []
    while (got := await channel.basic_get(QUEUE, no_ack=True)).delivery.name == "Basic.GetOk":
        event = json.loads(got.body)
        properties = got.header.properties
        assert (properties.message_id, properties.correlation_id) == (event["id"], event["message_id"])
        assert (properties.message_type, properties.delivery_mode) == ("email-status.v1", 2)
        assert got.delivery.routing_key == event["event"]
        found.append(event)
    return found


async def started(consumer: Any, eventually: Any) -> None:
    await eventually("it consumes", consumer.consuming.is_set)


async def test_each_outcome_is_an_event_and_no_row_keeps_a_confirmed_one(stage: Any, eventually: Any) -> None:
    events_by_address: dict[str, list[str]] = {}
    rejected = []

    async def all_came(channel: AbstractChannel) -> bool:
        for event in await taken(channel):
            if "recipient" in event:
                events_by_address.setdefault(event["recipient"], []).append(event["event"])
            else:
                rejected.append((event["event"], event["error"]["code"]))
        return sum(map(len, events_by_address.values())) + len(rejected) == 105

    async with stage.consumer() as consumer:
        await started(consumer, eventually)
        async with reading(stage) as channel:
            stage.mail_server.rcpt_replies = ["450 4.7.1 later"]
            await stage.order("grey@example.org")
            await eventually("the greylisted one is a mail", lambda: len(stage.mail_server.mails) == 1)
            stage.mail_server.rcpt_replies = ["550 5.1.1 no such user"]
            await stage.order("gone@example.org")
            await eventually("it is refused", lambda: not stage.mail_server.rcpt_replies)
            await stage.publish(b"not JSON")
            for number in range(101):
                await stage.order(f"r{number}@example.org")
            await eventually("all events came", lambda: all_came(channel))
            await eventually("all are cleared", lambda: _nothing_due(stage))

    assert events_by_address.pop("grey@example.org") == ["deferred", "sent"]
    assert events_by_address.pop("gone@example.org") == ["failed"]
    assert set(map(tuple, events_by_address.values())) == {("sent",)}
    assert rejected == [("rejected", "invalid_json")]


async def _nothing_due(stage: Any) -> bool:
    return all(due is None for (due,) in await stage.rows("due"))


async def test_events_that_a_full_queue_refuses_stop_no_mail_and_are_published_by_the_sweep(
    stage: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SWEEP_SECONDS", 0.2)
    monkeypatch.setattr(events, "OLD_SECONDS", 0)
    seen: set[str] = set()

    async def all_are_cleared(channel: AbstractChannel) -> bool:
        seen.update(event["recipient"] for event in await taken(channel))
        return await _nothing_due(stage)

    async with stage.consumer() as consumer:
        await started(consumer, eventually)
        full = {"x-max-length": 1, "x-overflow": "reject-publish"}
        async with reading(stage, **full) as channel:
            for number in range(5):
                await stage.order(f"r{number}@example.org")
            await eventually("all are mails", lambda: len(stage.mail_server.mails) == 5)

            await eventually("all are cleared in the end", lambda: all_are_cleared(channel))
            seen.update(event["recipient"] for event in await taken(channel))

    assert len(seen) == 5
    assert len(stage.mail_server.mails) == 5
