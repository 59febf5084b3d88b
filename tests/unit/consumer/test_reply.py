"""The meanings of the mail server's answers."""

import pytest

from mailpact_consumer.reply import (
    Permanent,
    Phase,
    Scope,
    Trouble,
    misconfigured,
    refused,
    unanswered,
    unreachable,
)

TO_A_RECIPIENT = (Phase.RCPT, Phase.DATA, Phase.DOT)
BEFORE_A_RECIPIENT = (Phase.CONNECT, Phase.AUTH, Phase.MAIL)
TEXT = "5.1.1 no such user: ada@example.org"


@pytest.mark.parametrize("phase", TO_A_RECIPIENT)
@pytest.mark.parametrize("code", [500, 550, 552, 554, 599])
def test_5xx_about_a_recipient_is_final(phase: Phase, code: int) -> None:
    assert refused(phase, code, TEXT) == Permanent(code, TEXT)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("code", [421, 450, 451, 452, 499])
def test_4xx_is_trouble_that_keeps_the_reply_and_never_a_mail(phase: Phase, code: int) -> None:
    answer = refused(phase, code, TEXT)

    assert isinstance(answer, Trouble)
    assert (answer.may_be_sent, answer.code, answer.text) == (False, code, TEXT)
    assert f"{code} at {phase}" in answer.reason


@pytest.mark.parametrize("code", [421, 450, 500, 550, 553, 554])
@pytest.mark.parametrize("phase", BEFORE_A_RECIPIENT)
def test_refusal_before_a_recipient_is_named_concerns_every_message(phase: Phase, code: int) -> None:
    answer = refused(phase, code, TEXT)

    assert isinstance(answer, Trouble)
    assert answer.scope is Scope.SERVER


@pytest.mark.parametrize("code", [421, 450])
@pytest.mark.parametrize("phase", TO_A_RECIPIENT)
def test_refusal_for_now_of_a_recipient_concerns_that_message(phase: Phase, code: int) -> None:
    answer = refused(phase, code, TEXT)

    assert isinstance(answer, Trouble)
    assert answer.scope is Scope.MESSAGE


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize(
    ("code", "setting"),
    [(530, "--smtp-url"), (534, "--smtp-url"), (535, "--smtp-url"), (538, "--smtp-tls")],
)
def test_refused_login_names_the_setting_whenever_it_comes(phase: Phase, code: int, setting: str) -> None:
    answer = refused(phase, code, TEXT)

    assert isinstance(answer, Trouble)
    assert (answer.scope, answer.may_be_sent, answer.setting) == (Scope.SERVER, False, setting)
    assert setting in answer.reason
    assert str(code) in answer.reason


def test_refused_sender_names_the_settings() -> None:
    answer = refused(Phase.MAIL, 550, "sender not allowed")

    assert isinstance(answer, Trouble)
    assert answer.reason == "the mail server answers 550 at MAIL: check --mail-from and --envelope-from"


@pytest.mark.parametrize("code", [0, 150, 250, 354, 600, 999])
@pytest.mark.parametrize("phase", Phase)
def test_what_is_neither_yes_nor_no_may_be_a_mail_only_after_the_final_dot(phase: Phase, code: int) -> None:
    answer = refused(phase, code, "?")

    assert isinstance(answer, Trouble)
    assert answer.may_be_sent is (phase is Phase.DOT)
    assert answer.code == (code or None)


@pytest.mark.parametrize("phase", Phase)
def test_answer_that_did_not_come_is_not_guessed_at_after_the_final_dot_only(phase: Phase) -> None:
    answer = unanswered(phase, "timeout")

    assert answer.may_be_sent is (phase is Phase.DOT)
    assert answer.scope is (Scope.SERVER if phase in BEFORE_A_RECIPIENT else Scope.MESSAGE)


def test_server_that_cannot_be_used_at_all_concerns_every_message() -> None:
    away, wrong = unreachable("refused"), misconfigured("offers no STARTTLS", "--smtp-tls")

    assert (away.scope, away.setting, away.may_be_sent) == (Scope.SERVER, None, False)
    assert (wrong.scope, wrong.setting, wrong.may_be_sent) == (Scope.SERVER, "--smtp-tls", False)
    assert wrong.reason == "the mail server offers no STARTTLS: check --smtp-tls"


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("code", [0, 250, 421, 451, 530, 550])
def test_reason_never_tells_the_servers_words(phase: Phase, code: int) -> None:
    answer = refused(phase, code, TEXT)

    assert isinstance(answer, Permanent) or "ada" not in answer.reason
