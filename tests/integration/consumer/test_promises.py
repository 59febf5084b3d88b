"""Each message becomes one mail or one dead letter, whatever the mail server does."""

import asyncio
import time
from typing import Any

import pytest

from mailpact.telemetry import Point
from tests.timing import at_most

ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"


async def test_message_becomes_exactly_one_mail_and_is_acked(stage: Any, eventually: Any) -> None:
    async with stage.consumer():
        await stage.order(message="Hello\n\nada", message_id=ID)
        await eventually("it is a mail", lambda: stage.mail_server.mails)

    ((recipient, content),) = stage.mail_server.mails
    assert recipient == "ada@example.org"
    assert b"\r\nSubject: Hello\r\n" in content
    assert (await stage.row(), await stage.waiting("email.work")) == (("sent", 1, 0), 0)


async def test_recipient_who_is_refused_is_one_letter_with_code_and_no_second_try(stage: Any) -> None:
    stage.mail_server.rcpt_replies = ["550 5.1.1 no such user"]

    async with stage.consumer():
        await stage.order(message_id=ID)
        letter = await stage.take_letter()

    headers = dict(letter.header.properties.headers or {})
    assert letter.body == b'{"email": "ada@example.org", "message": "Hello"}'
    assert headers["x-error-code"] == "smtp_permanent"
    assert headers["x-error-detail"] == "550 5.1.1 no such user"
    assert (headers["x-recipient"], headers["x-attempts"]) == ("ada@example.org", 1)
    assert letter.header.properties.message_id == ID
    assert (stage.mail_server.mails, (await stage.row("state, smtp_code"))) == ([], ("failed", 550))
    assert await stage.waiting("email.dead") == await stage.waiting("email.work") == 0


async def test_refusal_for_now_is_tried_again_until_it_is_a_mail(stage: Any, eventually: Any) -> None:
    stage.mail_server.rcpt_replies = ["451 4.7.1 greylisted", "421 4.3.2 busy"]
    stage.mail_server.data_replies = ["452 4.3.1 full"]

    async with stage.consumer():
        await stage.order(message_id=ID)
        await eventually("it is a mail", lambda: stage.mail_server.mails)

    assert len(stage.mail_server.mails) == 1
    assert await stage.row() == ("sent", 4, 0)


async def test_answer_lost_after_the_final_dot_is_counted_before_the_same_bytes_go_again(
    stage: Any, eventually: Any, capsys: Any
) -> None:
    stage.mail_server.data_replies = ["drop"]

    async with stage.consumer():
        await stage.order(message_id=ID)
        await eventually("it went again", lambda: len(stage.mail_server.mails) == 2)

    (_, first), (_, second) = stage.mail_server.mails
    assert first == second
    assert await stage.row() == ("sent", 2, 1)
    log = capsys.readouterr().out
    assert log.count("mail may go out twice") == 1
    assert "ada@example.org" not in log


async def test_hundred_copies_of_a_message_at_once_are_one_mail(stage: Any, eventually: Any) -> None:
    acked: list[str] = []
    stage.journey.watch(lambda point, message_id: acked.append(message_id) if point is Point.ACKED else None)

    async with stage.consumer():
        await asyncio.gather(*(stage.order(message_id=ID) for _ in range(100)))
        await eventually("all are acked", lambda: len(acked) == 100)

    assert len(stage.mail_server.mails) == 1


async def test_copies_of_a_message_that_is_refused_are_one_letter(stage: Any, eventually: Any) -> None:
    acked: list[str] = []
    stage.journey.watch(lambda point, message_id: acked.append(message_id) if point is Point.ACKED else None)
    stage.mail_server.rcpt_replies = ["550 5.1.1 no such user"] * 20

    async with stage.consumer():
        await asyncio.gather(*(stage.order(message_id=ID) for _ in range(20)))
        await eventually("all are acked", lambda: len(acked) == 20)

    assert stage.mail_server.mails == []
    assert await stage.row("state") == ("failed",)
    assert await stage.waiting("email.dead") == 1


async def test_same_id_with_another_body_is_a_letter_and_never_dropped(stage: Any, eventually: Any) -> None:
    async with stage.consumer():
        await stage.order(message="first", message_id=ID)
        await eventually("the first is a mail", lambda: stage.mail_server.mails)
        await stage.order(message="second", message_id=ID.upper())
        letter = await stage.take_letter()

    assert b"second" in letter.body
    assert dict(letter.header.properties.headers or {})["x-error-code"] == "id_conflict"
    assert len(stage.mail_server.mails) == 1


@pytest.mark.parametrize(
    ("body", "properties", "expected"),
    [
        (b"not json", {}, {"x-error-code": "invalid_json"}),
        (b"null", {}, {"x-error-code": "schema", "x-error-pointer": "", "x-error-keyword": "type"}),
        (
            b'{"message":"m"}',
            {},
            {"x-error-code": "schema", "x-error-pointer": "", "x-error-keyword": "required"},
        ),
        (b'{"email":5,"message":"m"}', {}, {"x-error-pointer": "/email", "x-error-keyword": "type"}),
        (b"{}", {"content_type": "image/png"}, {"x-error-code": "unsupported_content_type"}),
        (b"{}", {"content_encoding": "gzip"}, {"x-error-code": "unsupported_content_encoding"}),
        (b"{}", {"message_type": "email.v99"}, {"x-error-code": "unsupported_version"}),
        (b"x" * 70_000, {}, {"x-error-code": "too_large"}),
        (b"[" * 40 + b"]" * 40, {}, {"x-error-code": "too_deep"}),
    ],
)
async def test_invalid_message_is_a_letter_that_says_where_and_why(
    stage: Any, body: bytes, properties: dict[str, str], expected: dict[str, str]
) -> None:
    async with stage.consumer():
        await stage.publish(body, app_id="shop", headers={"own": "1"}, **properties)
        letter = await stage.take_letter()

    headers = dict(letter.header.properties.headers or {})
    assert letter.body == body
    assert {name: headers.get(name) for name in expected} == expected
    assert (letter.header.properties.app_id, headers["own"]) == ("shop", "1")
    assert (stage.mail_server.mails, await stage.waiting("email.work")) == ([], 0)


async def test_two_consumers_share_the_work_and_each_message_is_one_mail(stage: Any, eventually: Any) -> None:
    readers = {f"reader-{number}@example.org" for number in range(40)}

    async with stage.consumer(prefetch=3), stage.consumer(prefetch=3):
        for reader in readers:
            await stage.order(reader)
        await eventually("all are mails", lambda: len(stage.mail_server.mails) == len(readers))

    assert {recipient for recipient, _ in stage.mail_server.mails} == readers


async def test_connections_to_the_mail_server_are_used_again(stage: Any, eventually: Any) -> None:
    async with stage.consumer(smtp_connections=2):
        await asyncio.gather(*(stage.order(f"reader-{number}@example.org") for number in range(50)))
        await eventually("all are mails", lambda: len(stage.mail_server.mails) == 50)

    assert stage.mail_server.connections <= 4


async def test_stop_while_the_mail_server_is_away_is_quick_and_the_message_stays(
    stage: Any, eventually: Any
) -> None:
    received: list[str] = []
    stage.journey.watch(
        lambda point, message_id: received.append(message_id) if point is Point.RECEIVED else None
    )
    stage.mail_server.rcpt_replies = ["451 4.3.0 later"] * 10_000

    async with stage.consumer():
        await stage.order(message_id=ID)
        await eventually("it is held", lambda: received)
        began = time.monotonic()

    assert time.monotonic() - began < at_most(2)
    await eventually("it is back in the queue", lambda: _is_waiting(stage))
    assert stage.mail_server.mails == []


async def _is_waiting(stage: Any) -> bool:
    return bool(await stage.waiting("email.work") == 1)


async def test_message_without_an_id_that_comes_again_is_reported_before_it_is_sent(
    stage: Any, eventually: Any, capsys: Any
) -> None:
    async with stage.consumer():
        await stage.order()
        await eventually("the queues are there", lambda: stage.mail_server.mails)
    await stage.publish_without_id(b'{"email": "eve@example.org", "message": "m"}')
    await stage.have_it_come_again()

    async with stage.consumer():
        await eventually("it is a mail", lambda: len(stage.mail_server.mails) == 2)

    assert sorted(await stage.rows()) == [("sent", 1, 0), ("sent", 1, 1)]
    assert "mail may go out twice" in capsys.readouterr().out
