"""A dead letter that a program moves back to the queue is a replay: its failed mail is tried again."""

from typing import Any

import aiormq
from aiormq.abc import DeliveredMessage

ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"


async def move(stage: Any, letter: DeliveredMessage, exchange: str) -> None:
    """Publish a dead letter unchanged, as a shovel does."""
    async with aiormq.connect(stage.amqp_url) as connection:
        channel = await connection.channel()
        await channel.basic_publish(
            letter.body, exchange=exchange, properties=letter.header.properties, mandatory=True
        )


async def failed(stage: Any, **properties: Any) -> DeliveredMessage:
    """Publish a message that fails, and return its dead letter."""
    stage.mail_server.rcpt_replies = ["550 5.1.1 no such user"]
    await stage.order(**properties)
    letter: DeliveredMessage = await stage.take_letter()
    return letter


async def test_letter_moved_back_by_hand_becomes_the_mail(stage: Any, eventually: Any) -> None:
    async with stage.consumer():
        letter = await failed(stage, message_id=ID)
        await move(stage, letter, "email")
        await eventually("it is a mail", lambda: stage.mail_server.mails)

    assert await stage.row() == ("sent", 2, 0)
    assert await stage.waiting("email.dead") == 0


async def test_letter_moved_back_twice_is_one_mail(stage: Any, eventually: Any) -> None:
    async with stage.consumer():
        letter = await failed(stage, message_id=ID)
        await move(stage, letter, "email.requeue")
        await move(stage, letter, "email.requeue")
        await eventually("it is a mail", lambda: stage.mail_server.mails)
        await stage.order("fence@example.org")
        await eventually("the fence is a mail", lambda: len(stage.mail_server.mails) == 2)

    assert [recipient for recipient, _ in stage.mail_server.mails] == ["ada@example.org", "fence@example.org"]
    assert await stage.waiting("email.work") == 0


async def test_what_was_replayed_and_is_refused_again_is_a_letter_again(stage: Any) -> None:
    async with stage.consumer():
        first = await failed(stage, message_id=ID)
        stage.mail_server.rcpt_replies = ["550 5.1.1 still no such user"]
        await move(stage, first, "email")
        second = await stage.take_letter()

    one, other = (dict(letter.header.properties.headers or {}) for letter in (first, second))
    assert (one["x-attempts"], other["x-attempts"]) == (1, 2)
    assert one["x-failed-token"] != other["x-failed-token"]
    assert other["x-error-detail"] == "550 5.1.1 still no such user"
    assert await stage.row("state, attempts") == ("failed", 2)


async def test_letter_of_an_earlier_failure_reopens_nothing(stage: Any, eventually: Any) -> None:
    async with stage.consumer():
        first = await failed(stage, message_id=ID)
        stage.mail_server.rcpt_replies = ["550 5.1.1 still no such user"]
        await move(stage, first, "email")
        await stage.take_letter()
        await move(stage, first, "email")
        await stage.order("fence@example.org")
        await eventually("the fence is a mail", lambda: stage.mail_server.mails)

    assert [recipient for recipient, _ in stage.mail_server.mails] == ["fence@example.org"]


async def test_letter_keeps_an_id_of_any_form_and_replays_under_its_key(stage: Any, eventually: Any) -> None:
    async with stage.consumer():
        letter = await failed(stage, message_id="order-43")
        await move(stage, letter, "email")
        await eventually("it is a mail", lambda: stage.mail_server.mails)

    assert letter.header.properties.message_id == "order-43"
    assert await stage.row("state, publisher_id") == ("sent", "order-43")


async def test_replayed_letter_that_is_put_off_waits_as_any_message(stage: Any, eventually: Any) -> None:
    async with stage.consumer():
        letter = await failed(stage, message_id=ID)
        stage.mail_server.rcpt_replies = ["451 4.7.1 greylisted"]
        await move(stage, letter, "email")
        await eventually("it is a mail", lambda: stage.mail_server.mails)

    assert await stage.row() == ("sent", 3, 0)


async def test_ulid_published_twice_is_one_mail_and_a_counter_used_again_is_two(
    stage: Any, eventually: Any
) -> None:
    async with stage.consumer():
        for message in ("first", "first", "second"):
            await stage.order(message=message, message_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")
        await stage.order("fence@example.org")
        await eventually("all are mails", lambda: len(stage.mail_server.mails) == 3)

    assert len(stage.mail_server.mails) == 3
