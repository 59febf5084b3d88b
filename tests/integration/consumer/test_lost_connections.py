"""The mail server closes the connection: a mail is uncertain only if the server may have accepted the whole mail."""

from typing import Any

import pytest

from tests.conftest import EMBEDDED
from tests.integration.consumer.scripted_server import GREETING, HANG_UP, Script

# The broker and the database make no difference to what the mail server does.
pytestmark = pytest.mark.parametrize("real_servers", [EMBEDDED], ids=["embedded"], indirect=True)

ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"

OF_THE_SERVER = {
    "after the banner": {"greeting": [GREETING + HANG_UP]},
    "at EHLO": {"EHLO": [HANG_UP]},
    "at MAIL": {"MAIL": [HANG_UP]},
    "421 at MAIL": {"MAIL": [b"421 4.3.2 closing\r\n" + HANG_UP]},
}
OF_THE_MESSAGE = {
    "at RCPT": {"RCPT": [HANG_UP]},
    "421 at RCPT": {"RCPT": [b"421 4.3.2 closing\r\n" + HANG_UP]},
    "at DATA, before 354": {"DATA": [HANG_UP]},
    "in the middle of 354": {"DATA": [b"35" + HANG_UP]},
    "421 at DATA": {"DATA": [b"421 4.3.2 closing\r\n" + HANG_UP]},
    "refused behind 354": {"DATA": [b"354 go\r\n451 4.3.0 no\r\n"]},
    "421 at the final dot": {".": [b"421 4.3.2 closing\r\n" + HANG_UP]},
}
UNCERTAIN = {
    "at the final dot": {".": [HANG_UP]},
    "in the middle of the answer to the final dot": {".": [b"25" + HANG_UP]},
}


async def outcome(
    stage: Any, answers: dict[str, list[bytes]], eventually: Any
) -> tuple[list[str], tuple[Any, ...]]:
    """Return the events until the mail was sent, and the inbox row's state, attempts, uncertain and unanswered."""
    script = Script(answers={word: list(said) for word, said in answers.items()}, offers=())
    async with script.running(), stage.status_events() as events_until:
        stage.mail_server.port = script.port
        async with stage.consumer():
            await stage.order(message_id=ID)
            events = [event["event"] for event in await events_until("sent")]
            await eventually("the row is there", lambda: is_sent(stage))
    return events, await stage.row("state, attempts, uncertain, unanswered")


async def is_sent(stage: Any) -> bool:
    return bool(await stage.rows("state") == [("sent",)])


@pytest.mark.parametrize("answers", OF_THE_SERVER.values(), ids=OF_THE_SERVER)
async def test_connection_closed_before_rcpt_burns_no_attempt_and_is_not_uncertain(
    stage: Any, answers: dict[str, list[bytes]], eventually: Any, capsys: Any
) -> None:
    assert await outcome(stage, answers, eventually) == (["sent"], ("sent", 1, 0, 0))
    assert "may go out twice" not in capsys.readouterr().out


@pytest.mark.parametrize("answers", OF_THE_MESSAGE.values(), ids=OF_THE_MESSAGE)
async def test_connection_closed_before_the_mail_was_sent_or_after_a_clear_refusal_is_not_uncertain(
    stage: Any, answers: dict[str, list[bytes]], eventually: Any, capsys: Any
) -> None:
    assert await outcome(stage, answers, eventually) == (["deferred", "sent"], ("sent", 2, 0, 0))
    assert "may go out twice" not in capsys.readouterr().out


@pytest.mark.parametrize("answers", UNCERTAIN.values(), ids=UNCERTAIN)
async def test_connection_closed_after_the_mail_was_sent_is_uncertain_once(
    stage: Any, answers: dict[str, list[bytes]], eventually: Any, capsys: Any
) -> None:
    assert await outcome(stage, answers, eventually) == (["uncertain", "sent"], ("sent", 2, 1, 1))
    assert capsys.readouterr().out.count("may go out twice") == 1
