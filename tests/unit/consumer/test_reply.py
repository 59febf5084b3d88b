"""What the mail server's answers mean."""

import pytest

from mailpact_consumer.reply import Permanent, Phase, Scope, Trouble, refused, refused_connection, unanswered


@pytest.mark.parametrize("phase", [Phase.RCPT, Phase.DATA])
@pytest.mark.parametrize("code", [500, 550, 552, 554, 599])
def test_5xx_about_a_recipient_is_final(phase: Phase, code: int) -> None:
    assert refused(phase, code, "5.1.1 no such user") == Permanent(code, "5.1.1 no such user")


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        *((phase, code) for phase in (Phase.MAIL, Phase.RCPT, Phase.DATA) for code in (421, 450, 451, 452)),
        *((phase, code) for phase in (Phase.RCPT, Phase.DATA) for code in (530, 534, 535, 538)),
        *((Phase.MAIL, code) for code in (550, 553, 530)),
    ],
)
def test_trouble_of_the_server_or_of_ours_kills_no_mail(phase: Phase, code: int) -> None:
    answer = refused(phase, code, "text with ada@example.org")

    assert isinstance(answer, Trouble)
    assert (answer.may_be_sent, "ada" in answer.reason) == (False, False)


@pytest.mark.parametrize(
    ("phase", "may_be_sent"), [(Phase.CONNECT, False), (Phase.RCPT, False), (Phase.DATA, True)]
)
def test_answer_that_did_not_come_after_data_is_not_guessed_at(phase: Phase, may_be_sent: bool) -> None:
    assert unanswered(phase, "timeout").may_be_sent is may_be_sent


def test_reply_to_the_final_dot_that_is_none_may_be_a_mail() -> None:
    answer = refused(Phase.DATA, 250 + 1, "?")

    assert isinstance(answer, Trouble)
    assert answer.may_be_sent


@pytest.mark.parametrize("code", [421, 554])
def test_refused_connection_says_nothing_of_any_recipient(code: int) -> None:
    assert refused_connection(code) == Trouble(
        f"the mail server refuses the connection with {code}",
        may_be_sent=False,
        scope=Scope.SERVER,
        code=code,
    )


@pytest.mark.parametrize(
    ("phase", "code", "scope"),
    [
        (Phase.MAIL, 421, Scope.SERVER),
        (Phase.RCPT, 421, Scope.MESSAGE),
        (Phase.DATA, 421, Scope.MESSAGE),
        (Phase.RCPT, 450, Scope.MESSAGE),
        (Phase.RCPT, 530, Scope.SERVER),
    ],
)
def test_421_is_the_servers_before_rcpt_and_the_messages_from_then_on(
    phase: Phase, code: int, scope: Scope
) -> None:
    answer = refused(phase, code, "later")

    assert isinstance(answer, Trouble)
    assert (answer.scope, answer.code) == (scope, code)
