"""A failure delays a message or makes it a dead letter; the failure's beginning and end are each logged once."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aiormq
import pytest
from pamqp import commands
from structlog.testing import capture_logs

from mailpact.amqp.errors import TopologyMismatch
from mailpact.contracts import catalogue
from mailpact.telemetry import Point
from mailpact_consumer.queues import WORK_QUEUE
from mailpact_consumer.schedule import Schedule
from tests.timing import at_most

ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
HELD, AGAIN, TWICE = (
    "mail cannot be sent now, trying again",
    "mail can be sent again",
    "mail may go out twice",
)
PAUSED = "the mail server is in trouble, consuming pauses"
RESUMED = "the mail server answers again, consuming resumes"
Log = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def log() -> Iterator[Log]:
    """Return the log so far: all lines, or the lines of one event."""
    with capture_logs() as entries:
        yield lambda event=None: [entry for entry in entries if event in (None, entry["event"])]


@asynccontextmanager
async def operating(stage: Any) -> AsyncIterator[aiormq.abc.AbstractChannel]:
    """Yield a channel as an operator uses it."""
    async with aiormq.connect(stage.amqp_url) as connection:
        yield await connection.channel()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


def error_code(letter: Any) -> object:
    return dict(letter.header.properties.headers or {})["x-error-code"]


async def test_each_invalid_message_is_a_letter_and_the_valid_one_after_them_is_mailed(
    stage: Any, eventually: Any
) -> None:
    bodies = {
        b"not json": "invalid_json",
        b"null": "schema",
        b'{"message":"m"}': "schema",
        b'{"email":"a@x.com,b@y.com","message":"m"}': "schema",
        b'{"email":"a@x.com\\n","message":"m"}': "schema",
        b'"a bare string"': "schema",
    }

    async with stage.consumer():
        for body in bodies:
            await stage.publish(body)
        await stage.order("fence@example.org")
        letters = [await stage.take_letter() for _ in bodies]
        await eventually("the fence is a mail", lambda: stage.mail_server.mails)

    assert {letter.body: error_code(letter) for letter in letters} == bodies
    assert [recipient for recipient, _ in stage.mail_server.mails] == ["fence@example.org"]


async def test_mail_server_that_is_away_is_waited_for_and_reported_once_each_way(
    stage: Any, eventually: Any, log: Log
) -> None:
    stage.mail_server = away = type(stage.mail_server)(port=_free_port())

    async with stage.consumer():
        for number in range(5):
            await stage.order(f"reader-{number}@example.org")
        await eventually("it is reported", lambda: log(PAUSED))
        async with away.running():
            await eventually("all are mails", lambda: len(away.mails) == 5)
            await eventually("recovery is reported", lambda: log(RESUMED))

    assert (len(log(PAUSED)), len(log(RESUMED))) == (1, 1)
    assert await stage.rows() == [("sent", 1, 0)] * 5


async def test_sender_who_is_refused_makes_no_letter_of_the_recipients_mail(
    stage: Any, eventually: Any
) -> None:
    stage.mail_server.mail_replies = ["550 5.7.1 sender not allowed"]

    async with stage.consumer():
        await stage.order(message_id=ID)
        await eventually("it is a mail", lambda: stage.mail_server.mails)

    assert await stage.row() == ("sent", 1, 0)


async def test_answer_to_the_final_dot_that_says_neither_yes_nor_no_is_counted(
    stage: Any, eventually: Any, log: Log
) -> None:
    stage.mail_server.data_replies = ["354 go on"]

    async with stage.consumer():
        await stage.order(message_id=ID)
        await eventually("it is a mail", lambda: stage.mail_server.mails)

    assert await stage.row() == ("sent", 2, 1)
    assert [entry["unanswered"] for entry in log(TWICE)] == [1]


async def test_letter_that_nobody_is_bound_for_is_written_later_and_the_server_not_asked_again(
    stage: Any, eventually: Any, log: Log
) -> None:
    stage.mail_server.rcpt_replies = ["550 5.1.1 no such user"]

    async with stage.consumer(), operating(stage) as channel:
        await stage.publish(b"the queue is there")
        await stage.take_letter()
        await channel.queue_unbind("email.dead", "email.dlx", "")
        await stage.order(message_id=ID)
        await eventually("it is held", lambda: log(HELD))
        await channel.queue_bind("email.dead", "email.dlx", "")
        letter = await stage.take_letter()

    assert (error_code(letter), log(HELD)[0]["trouble_with"]) == ("smtp_permanent", "dead letters")
    assert (await stage.row("state, smtp_code"), stage.mail_server.mails) == (("failed", 550), [])


async def test_every_letter_has_its_reason_though_more_messages_wait_for_one_than_there_are_places(
    stage: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailpact_consumer.slots.LETTER_SLOTS", 3)
    monkeypatch.setattr(
        "mailpact.amqp.publisher.REPLACE_SECONDS", 2
    )  # after this time the binding is declared again
    ids = {str(uuid4()) for _ in range(6)}
    put_off: list[str] = []
    stage.journey.watch(lambda point, key: put_off.append(key) if point is Point.PUT_OFF else None)

    async with stage.consumer(), operating(stage) as channel:
        await stage.publish(b"the queue is there")
        await stage.take_letter()
        await channel.queue_unbind("email.dead", "email.dlx", "")
        for message_id in ids:
            properties = commands.Basic.Properties(message_id=message_id)
            await channel.basic_publish(b"not json", exchange="email", properties=properties, mandatory=True)
        await eventually("some are put off", lambda: put_off)
        await channel.queue_bind("email.dead", "email.dlx", "")
        letters = [await stage.take_letter() for _ in ids]

    assert {letter.header.properties.message_id for letter in letters} == ids
    assert {error_code(letter) for letter in letters} == {"invalid_json"}


@pytest.mark.parametrize(
    "headers", [{"big": "h" * 40_000}, {"big": "h" * 125_000}, {"deaths": [{"nested": ["x" * 1000] * 40}]}]
)
async def test_headers_beyond_the_limit_are_a_letter_and_no_loop(stage: Any, headers: dict[str, Any]) -> None:
    async with stage.consumer():
        await stage.order(message_id=ID, headers=headers)
        letter = await stage.take_letter()

    assert error_code(letter) == "too_large"
    assert headers.keys().isdisjoint(letter.header.properties.headers or {})
    assert await stage.waiting("email.work") == 0


async def test_message_is_held_while_the_inbox_is_locked_and_then_sent(
    stage: Any, eventually: Any, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailpact.database.engine.BUSY_MILLISECONDS", 50)
    monkeypatch.setattr("mailpact.database.mysql.ANSWER_SECONDS", 1)

    async with stage.consumer():
        with stage.locked_inbox():
            await stage.order(message_id=ID)
            await eventually("it is held", lambda: log(HELD))
            mailed_meanwhile = list(stage.mail_server.mails)
        await eventually("it is a mail", lambda: stage.mail_server.mails)
        await eventually("recovery is reported", lambda: log(AGAIN))

    assert (mailed_meanwhile, log(HELD)[0]["trouble_with"]) == ([], "inbox database")
    assert await stage.row() == ("sent", 1, 0)


async def test_stop_finishes_the_mail_that_is_on_its_way(stage: Any, eventually: Any) -> None:
    stage.mail_server.before_data_reply.clear()

    async with stage.consumer():
        await stage.order(message_id=ID)
        await eventually("it is at the final dot", lambda: stage.mail_server.mails)
        asyncio.get_running_loop().call_later(0.1, stage.mail_server.before_data_reply.set)

    assert await stage.row() == ("sent", 1, 0)
    assert await stage.waiting("email.work") == 0


async def test_mail_cut_off_by_a_stop_is_reported_by_whoever_gets_it_next(
    stage: Any, eventually: Any, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailpact_consumer.service.STOP_SECONDS", 0.1)
    stage.mail_server.before_data_reply.clear()
    async with stage.consumer():
        await stage.order(message_id=ID)
        await eventually("it is at the final dot", lambda: stage.mail_server.mails)
    stage.mail_server.before_data_reply.set()

    async with stage.consumer():
        await eventually("it went again", lambda: len(stage.mail_server.mails) == 2)

    assert await stage.row() == ("sent", 2, 1)
    assert len(log(TWICE)) == 1


# On MariaDB the claim that waits for the lock is finished, and then a mail is sent.
@pytest.mark.parametrize("real_servers", [()], ids=["embedded"], indirect=True)
async def test_what_was_held_when_the_queue_went_is_given_up_and_sent_once(
    stage: Any, eventually: Any, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first and the second delivery of a held message without an id must not both be sent."""
    monkeypatch.setattr("mailpact.database.engine.BUSY_MILLISECONDS", 50)
    monkeypatch.setattr("mailpact.database.mysql.ANSWER_SECONDS", 1)

    async with stage.consumer(), operating(stage) as channel:
        await stage.order("first@example.org")
        await eventually("the first one is recorded", lambda: is_sent(stage))
        with stage.locked_inbox():
            await stage.publish_without_id(b'{"email": "old@example.org", "message": "m"}')
            await eventually("it is held", lambda: log(HELD))
            held = deliveries_worked_on()
            await channel.queue_delete("email.work")
            await stage.publish(b'{"email": "new@example.org", "message": "m"}')
            await eventually("it is given up", lambda: held and all(task.done() for task in held))
        await eventually("it is a mail", lambda: len(stage.mail_server.mails) == 2)

    assert [recipient for recipient, _ in stage.mail_server.mails] == ["first@example.org", "new@example.org"]


async def test_work_queue_that_somebody_deletes_and_declares_again_at_once_is_bound_and_consumed_again(
    stage: Any, eventually: Any, log: Log
) -> None:
    work = next(queue for queue in catalogue.load().topology.queues if queue.name == WORK_QUEUE)
    async with stage.consumer() as consumer, operating(stage) as channel:
        await consumer.consuming.wait()
        await channel.queue_delete(work.name)
        await channel.queue_declare(work.name, durable=work.durable, arguments=work.arguments)
        await stage.order()
        await eventually("it is a mail", lambda: stage.mail_server.mails)

    assert len(stage.mail_server.mails) == 1
    lost = log("connection to the broker lost, trying again")
    assert "the broker ended the consuming of email.work: the queue was deleted" in [
        entry["reason"] for entry in lost
    ]


@pytest.mark.parametrize("removed", ["exchange behind the retry queues", "binding of the work queue"])
async def test_exchange_or_binding_that_somebody_removes_is_made_again(
    stage: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch, removed: str
) -> None:
    monkeypatch.setattr("mailpact_consumer.bridge.PROBE_SECONDS", 0.2)
    async with stage.consumer(retry_schedule=Schedule.parse("2s 3s")), operating(stage) as channel:
        await stage.order("first@example.org")
        await eventually("the first one is a mail", lambda: stage.mail_server.mails)
        if removed == "binding of the work queue":
            for key in ("", "email"):
                await channel.queue_unbind(WORK_QUEUE, "email", key)
        else:
            await channel.exchange_delete("email.requeue")
            await eventually("it is there again", lambda: has_exchange(stage, "email.requeue"))
        stage.mail_server.rcpt_replies = ["451 4.7.1 greylisted"]
        await stage.order("second@example.org")
        await eventually("the second one is a mail", lambda: len(stage.mail_server.mails) == 2)


async def has_exchange(stage: Any, name: str) -> bool:
    try:
        async with operating(stage) as channel:
            await channel.exchange_declare(name, passive=True)
    except aiormq.exceptions.ChannelNotFoundEntity:
        return False
    return True


async def is_sent(stage: Any) -> bool:
    return bool(stage.mail_server.mails) and await stage.rows("state") == [("sent",)]


def deliveries_worked_on() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if "Intake._work_on" in repr(task)]


async def test_wrong_queue_ends_the_consumer_promptly_and_says_which(stage: Any) -> None:
    async with operating(stage) as channel:
        await channel.queue_declare("email.work", durable=True, arguments={"x-queue-type": "quorum"})
    began = time.monotonic()

    with pytest.raises(ExceptionGroup) as caught:
        async with stage.consumer():
            await asyncio.sleep(20)

    assert caught.group_contains(TopologyMismatch, match=r"email\.work")
    assert time.monotonic() - began < at_most(3)


async def test_nothing_that_is_logged_tells_an_address_or_a_text(
    stage: Any, eventually: Any, log: Log
) -> None:
    stage.mail_server.rcpt_replies = [
        "451 <secret@example.org> is greylisted",
        "550 <secret@example.org> unknown",
    ]
    stage.mail_server.data_replies = ["drop"]

    async with stage.consumer():
        await stage.order("secret@example.org", "secret text")
        await stage.take_letter()
        await stage.order("secret@example.org", "secret text", message_id=ID)
        await eventually("it is sent twice", lambda: len(stage.mail_server.mails) == 2)
        await stage.publish(b'{"email": "secret@localhost", "message": "secret text"}')
        await stage.take_letter()

    assert len(log()) >= 5
    assert "secret" not in repr(log())


async def test_no_task_is_left_when_a_consumer_has_stopped(stage: Any, eventually: Any) -> None:
    before = asyncio.all_tasks()

    async with stage.consumer():
        await stage.order(message_id=ID)
        await eventually("it is a mail", lambda: stage.mail_server.mails)
    await eventually("the broker's tasks are gone", lambda: _ours(asyncio.all_tasks() - before) == [])


def _ours(tasks: set[asyncio.Task[Any]]) -> list[str]:
    return [
        repr(task) for task in tasks if "mailpact_consumer" in repr(task) or "mailpact/amqp" in repr(task)
    ]
