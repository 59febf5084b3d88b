"""Our own programs keep the contract, seen from outside."""

import sys
from collections.abc import Callable
from typing import Any

MAILPACT = [sys.executable, "-m", "mailpact_cli"]


def test_the_consumer_passes_every_case(verify: Callable[..., Any], broker_option: tuple[str, str]) -> None:
    done = verify(
        "consumer",
        *broker_option,
        "--",
        *MAILPACT,
        "consumer",
        *("--amqp-url", "{AMQP_URL}", "--smtp-url", "{SMTP_URL}"),
        *("--inbox-url", "sqlite:///{WORK_DIR}/inbox.db", "--mail-from", "{MAIL_FROM}"),
    )

    assert (done.exit_code, done.failed(), done.errors) == (0, set(), ""), done.text
    assert len(done.verdicts()) == 10


def test_the_producer_passes_every_case(verify: Callable[..., Any], broker_option: tuple[str, str]) -> None:
    done = verify(
        "producer",
        *broker_option,
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

    assert (done.exit_code, done.verdicts(), done.errors) == (
        0,
        {"P-MSG-01": "PASS", "P-PUB-01": "PASS"},
        "",
    ), done.text
