"""Our own programs, the samples and the mutants' originals keep the contract, judged from outside.

`make test` runs each program once on the development broker; on RabbitMQ it runs only our own programs, and only the
cases in which the broker takes part. `make test-faults` runs all programs and cases there too, ten times
(MAILPACT_TEST_KIT_ROUNDS=10): the verdicts are the same.
"""

import os
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
PRODUCER = (
    *("--trigger-form", "http://127.0.0.1:{HTTP_PORT}/register"),
    *("--trigger-field", "email={email}", "--trigger-field", "name=Kit"),
    *("--trigger-field", "password=a long one {nonce}"),
    *("--", *MAILPACT, "producer", "--listen", "127.0.0.1:{HTTP_PORT}"),
    *("--amqp-url", "{AMQP_URL}", "--database-url", "{DATABASE_URL}"),
)
ON_RABBITMQ_TOO = pytest.mark.parametrize(
    "broker_option", ["devbroker", pytest.param("rabbitmq_url", marks=pytest.mark.long)], indirect=True
)
SERVED = {"mailpact": ("email/1,email/2", set()), "python": ("email/1", {"C-VEC-02"})}
PATIENCE_SECONDS = 180
ROUNDS = int(os.environ.get("MAILPACT_TEST_KIT_ROUNDS", "1"))
pytestmark = pytest.mark.timeout(ROUNDS * (PATIENCE_SECONDS + 10))
Verify = Callable[..., Any]


@pytest.fixture
def strictly(verify: Verify, broker_option: tuple[str, str]) -> Callable[..., None]:
    """Verify a program in each round; each case must pass, except the given ones."""

    def run(role: str, *words: str, skipped: set[str]) -> None:
        for _ in range(ROUNDS):
            done = verify(role, *broker_option, "--strict", *words, patience=PATIENCE_SECONDS)

            assert (done.exit_code, done.failed(), done.errors) == (0, skipped, ""), done.text

    return run


@pytest.mark.parametrize(
    ("broker_option", "name"),
    [
        ("devbroker", "mailpact"),
        ("devbroker", "python"),
        pytest.param("rabbitmq_url", "mailpact", marks=pytest.mark.long),
        pytest.param("rabbitmq_url", "python", marks=pytest.mark.long),
    ],
    indirect=["broker_option"],
)
def test_the_consumer_passes_every_case(strictly: Callable[..., None], name: str) -> None:
    serves, skipped = SERVED[name]

    strictly("consumer", "--serves", serves, "--", *CONSUMERS[name], skipped=skipped)


@ON_RABBITMQ_TOO
def test_the_producer_passes_every_case(strictly: Callable[..., None]) -> None:
    # P-TX-01 asks for --trigger-duplicate: the site mails a known address again
    strictly("producer", *PRODUCER, skipped={"P-TX-01"})


@pytest.mark.parametrize(
    ("role", "cases", "program"),
    [
        ("consumer", "C-DLV-*", ("--serves", "email/1,email/2", "--", *CONSUMERS["mailpact"])),
        ("producer", "P-PUB-*", PRODUCER),
    ],
    ids=["consumer", "producer"],
)
def test_our_programs_pass_the_cases_about_the_broker_on_rabbitmq(
    verify: Verify, rabbitmq_url: str, role: str, cases: str, program: tuple[str, ...]
) -> None:
    done = verify(role, "--broker", rabbitmq_url, "--run", cases, *program, patience=PATIENCE_SECONDS)

    assert (done.exit_code, done.errors) == (0, ""), done.text
    assert set(done.verdicts().values()) == {"PASS"}, done.text


@ON_RABBITMQ_TOO
def test_a_form_that_keeps_the_contract_passes_every_case(strictly: Callable[..., None]) -> None:
    strictly(
        "producer",
        *("--trigger-form", "http://127.0.0.1:{HTTP_PORT}/", "--trigger-duplicate"),
        *("--trigger-field", "email={email}", "--trigger-field", "message={message}"),
        *("--", sys.executable, str(KIT / "mutants" / "producer.py")),
        skipped=set(),
    )
