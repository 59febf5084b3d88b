"""A killed consumer may have sent its mail: after the next try the mail is counted and reported as uncertain."""

from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, text

from mailpact_consumer.message import recipient_of
from mailpact_consumer.schedule import Schedule

ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
REPORT = "mail may go out twice"


async def leave_a_row_in_sending(stage: Any) -> None:
    """Send one mail, and change its row as if its process had died before it recorded the server's answer."""
    engine = create_engine(stage.inbox_url.url, poolclass=NullPool)
    with engine.begin() as connection:
        changed = connection.execute(
            text(
                "UPDATE inbox SET state = 'sending', owner = 'dead', ended_at = NULL, attempts = 1, uncertain = 0"
                " WHERE recipient_sha256 = :recipient"
            ),
            {"recipient": recipient_of("ada@example.org").sha256},
        )
    assert changed.rowcount == 1


async def order_again(stage: Any, eventually: Any) -> None:
    async with stage.consumer():
        await stage.order(message_id=ID)
        await eventually("it is a mail", lambda: len(stage.mail_server.mails) == 1)
    await eventually("it is recorded", lambda: _is(stage, "sent"))
    await leave_a_row_in_sending(stage)
    await stage.order(message_id=ID)


async def _is(stage: Any, state: str) -> bool:
    return (await stage.rows("state")) == [(state,)]


@pytest.mark.parametrize("refusals", [[], ["450 4.7.1 greylisted"], ["450 4.7.1 greylisted"] * 2])
async def test_copy_is_counted_once_and_reported_before_it_is_sent_however_often_it_is_put_off(
    stage: Any, eventually: Any, capsys: pytest.CaptureFixture[str], refusals: list[str]
) -> None:
    await order_again(stage, eventually)
    capsys.readouterr()
    stage.mail_server.rcpt_replies = list(refusals)

    async with stage.consumer():
        await eventually("it is a mail again", lambda: len(stage.mail_server.mails) == 2)

    log = capsys.readouterr().out
    (_, first), (_, second) = stage.mail_server.mails
    assert first == second
    assert await stage.row("state, uncertain") == ("sent", 1)
    assert log.count(REPORT) == 1
    assert log.index(REPORT) < log.index("mail sent")


async def test_copy_is_counted_though_the_mail_server_is_away_when_the_message_comes_again(
    stage: Any, eventually: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await order_again(stage, eventually)
    capsys.readouterr()
    stage.mail_server.mail_replies = ["421 4.3.2 shutting down"] * 3

    async with stage.consumer():
        await eventually("it is a mail again", lambda: len(stage.mail_server.mails) == 2)

    log = capsys.readouterr().out
    assert await stage.row("state, uncertain") == ("sent", 1)
    assert log.index(REPORT) < log.index("mail sent")


async def test_recipient_who_is_refused_the_second_time_has_a_letter_and_the_first_copy_is_counted(
    stage: Any, eventually: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await order_again(stage, eventually)
    stage.mail_server.rcpt_replies = [
        "550 5.1.1 no such user"
    ] * 2  # on a first delivery the server is asked before the inbox

    async with stage.consumer():
        letter = await stage.take_letter()
        await eventually("it has ended", lambda: _is(stage, "failed"))

    assert letter.header.properties.headers["x-error-code"] == "smtp_permanent"
    assert await stage.row("state, uncertain") == ("failed", 1)
    assert await stage.waiting("email.dead") == 0
    assert REPORT in capsys.readouterr().out


async def test_message_without_an_id_that_comes_again_is_counted_when_it_is_put_off(
    stage: Any, eventually: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage.consumer(retry_schedule=Schedule.parse("1s")):
        await stage.order("first@example.org")
        await eventually("the queues are there", lambda: len(stage.mail_server.mails) == 1)
    await stage.publish_without_id(b'{"email": "ada@example.org", "message": "Hello"}')
    await stage.have_it_come_again()
    stage.mail_server.rcpt_replies = ["450 4.7.1 greylisted"]
    capsys.readouterr()

    async with stage.consumer(retry_schedule=Schedule.parse("1s")):
        await eventually("it is a mail", lambda: len(stage.mail_server.mails) == 2)

    log = capsys.readouterr().out
    assert ("sent", 1) in await stage.rows("state, uncertain")
    assert log.index(REPORT) < log.index("mail sent")
