"""Our own programs, the samples and the mutants' originals keep the contract, seen from outside."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MAILPACT = [sys.executable, "-m", "mailpact_cli"]
KIT = Path(__file__).parents[3] / "contract_tests"
CONSUMERS = {
    "mailpact": (
        *MAILPACT,
        "consumer",
        *("--amqp-url", "{AMQP_URL}", "--smtp-url", "{SMTP_URL}"),
        *("--inbox-url", "sqlite:///{WORK_DIR}/inbox.db", "--mail-from", "{MAIL_FROM}"),
    ),
    "python": (sys.executable, str(KIT / "samples" / "python" / "consumer.py")),
}
PATIENCE_SECONDS = 180
NOT_SERVED = {"C-VEC-02"}


@pytest.mark.timeout(PATIENCE_SECONDS + 10)
@pytest.mark.parametrize("name", CONSUMERS)
def test_the_consumer_passes_every_case(
    verify: Callable[..., Any], broker_option: tuple[str, str], name: str
) -> None:
    done = verify("consumer", *broker_option, "--strict", "--", *CONSUMERS[name], patience=PATIENCE_SECONDS)

    assert (done.exit_code, done.failed(), done.errors) == (0, NOT_SERVED, ""), done.text
    assert len(done.verdicts()) == 27


def test_the_producer_passes_every_case(verify: Callable[..., Any], broker_option: tuple[str, str]) -> None:
    done = verify(
        "producer",
        *broker_option,
        "--strict",
        *("--trigger-form", "http://127.0.0.1:{HTTP_PORT}/register"),
        *("--trigger-field", "email={email}", "--trigger-field", "name=Kit"),
        *("--trigger-field", "password=a long one {nonce}"),
        "--",
        *MAILPACT,
        "producer",
        *(
            "--listen",
            "127.0.0.1:{HTTP_PORT}",
            "--amqp-url",
            "{AMQP_URL}",
            "--database-url",
            "{DATABASE_URL}",
        ),
    )

    assert (done.exit_code, done.failed(), done.errors) == (0, {"P-TX-01"}, ""), (
        done.text
    )  # --trigger-duplicate


def test_a_form_that_keeps_the_contract_passes_every_case(
    verify: Callable[..., Any], broker_option: tuple[str, str]
) -> None:
    done = verify(
        "producer",
        *broker_option,
        "--strict",
        *("--trigger-form", "http://127.0.0.1:{HTTP_PORT}/", "--trigger-duplicate"),
        *("--trigger-field", "email={email}", "--trigger-field", "message={message}"),
        *("--", sys.executable, str(KIT / "mutants" / "producer.py")),
    )

    assert (done.exit_code, done.failed(), done.errors) == (0, set(), ""), done.text
