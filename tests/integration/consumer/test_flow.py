"""Waiting or slow messages, and dead letters that cannot be published, do not delay other mail."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiormq
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailpact_consumer.schedule import Schedule
from tests.conftest import REAL
from tests.timing import at_most

ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"


@dataclass
class Server:
    """A mail server whose domains behave as their names say: grey, silent, dead; all others are good."""

    good: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    """The recipients of mails whose final dot is never answered."""
    asked: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's names
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Reply to RCPT."""
        self.asked += 1
        if address.endswith("@grey.example"):
            return "450 4.7.1 greylisted"
        if address.endswith("@busy.example"):
            return "421 4.3.2 busy"
        if address.endswith("@dead.example"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # as above
        """Take a mail."""
        (recipient,) = envelope.rcpt_tos
        if recipient.endswith("@silent.example"):
            self.copies.append(recipient)
            await self.over.wait()
        self.good.append(recipient)
        return "250 OK"


@pytest.fixture
async def server(stage: Any) -> AsyncIterator[Server]:
    """Yield the mail server, in place of the stage's own."""
    behaving = Server()
    listening = await asyncio.get_running_loop().create_server(
        lambda: SMTP(behaving, hostname="localhost"), "127.0.0.1", 0
    )
    stage.mail_server.port = listening.sockets[0].getsockname()[1]
    yield behaving
    behaving.over.set()
    listening.close()


async def publish(stage: Any, *domains: tuple[str, int]) -> None:
    """Publish this number of messages to each domain, in the order of the domains."""
    for domain, count in domains:
        await asyncio.gather(*(stage.order(f"r{number}@{domain}") for number in range(count)))


async def test_forty_greylisted_and_forty_silent_recipients_hold_up_no_good_mail(
    stage: Any, server: Server, eventually: Any
) -> None:
    async def seconds_for(good: int) -> float:
        began = time.monotonic()
        await publish(stage, ("good.example", 100))
        await eventually("the good ones are mails", lambda: len(server.good) == good)
        return time.monotonic() - began

    async with stage.consumer(retry_schedule=Schedule.parse("10s 1m")) as consumer:
        async with asyncio.timeout(20):
            await consumer.consuming.wait()
        alone = await seconds_for(100)
        await publish(stage, ("grey.example", 40), ("silent.example", 40))
        held_up = await seconds_for(200)
        server.over.set()

    assert all(recipient.endswith("@good.example") for recipient in server.good[:200])
    assert held_up <= alone + at_most(3)


async def test_suspect_that_is_put_off_lets_the_other_suspects_be_tried(
    stage: Any, server: Server, eventually: Any
) -> None:
    async with stage.consumer():
        await stage.order("first@good.example")
        await eventually("the queues are there", lambda: server.good)
    await publish(stage, ("grey.example", 1), ("good.example", 10))
    async with aiormq.connect(stage.amqp_url) as connection:
        for _ in range(3):  # each close counts for all messages that wait for an answer
            channel = await connection.channel()
            for _ in range(11):
                await channel.basic_get("email.work")
            await channel.close()

    async with stage.consumer(retry_schedule=Schedule.parse("10s 1m")):
        await eventually("the good ones are mails", lambda: len(server.good) == 11)


@pytest.mark.parametrize("what", ["deleted", "full"])
async def test_dead_letters_that_nobody_takes_hold_up_no_good_mail(
    stage: Any, server: Server, eventually: Any, what: str
) -> None:
    async with stage.consumer(), aiormq.connect(stage.amqp_url) as connection:
        await stage.order("first@good.example")
        await eventually("the queues are there", lambda: server.good)
        channel = await connection.channel()
        if what == "deleted":
            await channel.queue_delete("email.dead")
        else:
            await channel.queue_unbind("email.dead", "email.dlx", "")
        await publish(stage, ("dead.example", 40))
        await asyncio.gather(*(stage.publish(b"invalid") for _ in range(40)))
        await publish(stage, ("good.example", 20))
        await eventually("the good ones are mails", lambda: len(server.good) == 21)


@pytest.mark.long
@pytest.mark.parametrize("real_servers", [REAL], ids=["real servers"], indirect=True)
async def test_memory_alarm_behind_invalid_messages_holds_up_no_good_mail(
    stage: Any, server: Server, eventually: Any, rabbitmq_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailpact.amqp.publisher.CONFIRM_SECONDS", 1)  # shorter than the alarm
    async with stage.consumer():
        await stage.order("first@good.example")
        await eventually("the queues are there", lambda: server.good)
    await asyncio.gather(*(stage.publish(b"invalid") for _ in range(40)))
    await publish(stage, ("good.example", 20))

    await asyncio.to_thread(rabbitmq_node.raise_memory_alarm)
    async with stage.consumer():
        await eventually("the good ones are mails", lambda: len(server.good) == 21)
        # One dead letter was published before the alarm was known, and is confirmed after the alarm. The broker itself
        # makes the other dead letters.
        await eventually("each invalid one but one is a letter", lambda: has_letters(stage, 39))
        await asyncio.to_thread(rabbitmq_node.clear_memory_alarm)
        await eventually("each invalid one is a letter", lambda: has_letters(stage, 40))
        await stage.publish(b"fence")
        await eventually("so is the fence", lambda: has_letters(stage, 41))


@pytest.mark.long
@pytest.mark.parametrize("real_servers", [REAL], ids=["real servers"], indirect=True)
async def test_alarm_that_begins_among_many_letters_has_no_letter_written_twice(
    stage: Any, eventually: Any, rabbitmq_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailpact.amqp.publisher.CONFIRM_SECONDS", 1)  # shorter than the alarm
    confirmed: list[str] = []

    async def publish_invalid() -> None:
        while True:
            message_id = str(uuid4())
            await stage.publish(b"invalid", message_id=message_id)
            confirmed.append(message_id)

    async with stage.consumer() as consumer:
        async with asyncio.timeout(20):
            await consumer.consuming.wait()
        publishing = [asyncio.create_task(publish_invalid()) for _ in range(8)]
        await eventually("letters flow", lambda: len(confirmed) > 100)
        await asyncio.to_thread(rabbitmq_node.raise_memory_alarm)
        await asyncio.wait(publishing, timeout=3)  # longer than the consumer waits for a missing confirm
        await asyncio.to_thread(rabbitmq_node.clear_memory_alarm)
        for task in publishing:
            task.cancel()
        await asyncio.gather(*publishing, return_exceptions=True)
        await stage.publish(b"fence", message_id=ID)
        letters = [await stage.take_letter()]
        while letters[-1].header.properties.message_id != ID or len(letters) <= len(confirmed):
            letters.append(await stage.take_letter())

    times = Counter(letter.header.properties.message_id for letter in letters)
    assert set(confirmed) <= set(times)
    assert [message_id for message_id, count in times.items() if count > 1] == []


async def has_letters(stage: Any, count: int) -> bool:
    return bool(await stage.waiting("email.dead") == count)


async def test_recipient_who_is_always_answered_421_pauses_nothing(
    stage: Any, server: Server, eventually: Any
) -> None:
    async with stage.consumer():
        await publish(stage, ("busy.example", 1))
        await eventually("it was tried several times", lambda: server.asked >= 3)
        await publish(stage, ("good.example", 5))
        await eventually("the good ones are mails", lambda: len(server.good) == 5)


async def test_mail_without_an_answer_is_tried_three_times_and_ends_as_a_letter(
    stage: Any, server: Server
) -> None:
    stage_consumer = stage.consumer(unanswered_pause_seconds=0.0)
    cutting = asyncio.create_task(_cut_silent_answers(server))
    async with stage_consumer:
        await stage.order("ada@silent.example", message_id=ID)
        letter = await stage.take_letter()
    cutting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await cutting

    headers = dict(letter.header.properties.headers or {})
    assert (headers["x-error-code"], headers["x-attempts"]) == ("outcome_unknown", 3)
    assert server.copies == ["ada@silent.example"] * 3
    assert await stage.row("state, attempts, uncertain, unanswered") == ("failed", 3, 3, 3)


async def _cut_silent_answers(server: Server) -> None:
    """Shorten the wait for the answer to the final dot."""
    seen = 0
    while True:
        if len(server.copies) > seen:
            seen = len(server.copies)
            for task in asyncio.all_tasks():
                if "SMTP._handle_client" in repr(task):
                    task.cancel()
        await asyncio.sleep(0.01)


async def test_hour_of_trouble_burns_no_attempt_and_makes_no_letter(
    stage: Any, eventually: Any, capsys: Any
) -> None:
    """The test alone decides how long the outage lasts: no part of the consumer measures the outage."""
    away = type(stage.mail_server)(port=stage.mail_server.port)
    stage.mail_server.mail_replies = ["421 4.3.2 shutting down"] * 1_000_000

    async with stage.consumer():
        await asyncio.gather(*(stage.order(f"r{number}@example.org") for number in range(60)))
        await eventually("consuming pauses", lambda: "consuming pauses" in capsys.readouterr().out)
        before = len(stage.mail_server.mail_replies)
        await eventually("it is probed", lambda: len(stage.mail_server.mail_replies) < before - 3)
        stage.mail_server.mail_replies.clear()
        await eventually("all are mails", lambda: len(stage.mail_server.mails) == 60)

    assert away.mails == []
    assert await stage.rows() == [("sent", 1, 0)] * 60
    assert await stage.waiting("email.dead") == 0
