"""The kit can fail: a right program passes, and one with a single mistake fails exactly the cases about it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MUTANTS = Path(__file__).parents[3] / "contract_tests" / "mutants"
# Enough for a machine under load, and as long as a missing mail is waited for.
TIMEOUT = ("--timeout", "3")
FORM = (
    *("--trigger-form", "http://127.0.0.1:{HTTP_PORT}/"),
    *("--trigger-field", "email={email}", "--trigger-field", "message={message}"),
)

MESSAGES = {"C-MSG-01", "C-MSG-02", "C-MSG-03", "C-MSG-04"}
REFUSALS = {"C-ERR-01", "C-ERR-03", "C-ERR-04", "C-ERR-05", "C-HDR-04", "C-HDR-05"}


@pytest.mark.parametrize(
    ("mutation", "failing"),
    [
        ((), set()),
        (("sends_nothing",), MESSAGES | REFUSALS),
        (("drops_invalid",), REFUSALS),
        (("rejects_invalid",), REFUSALS),
        (("needs_content_type",), {"C-MSG-03"}),
        (("ascii_only",), {"C-MSG-04"}),
        (("lists_recipients",), {"C-HDR-04"}),
        (("sends_twice",), MESSAGES),
    ],
)
def test_consumer_fails_exactly_the_cases_about_its_mistake(
    verify: Callable[..., Any], broker_option: tuple[str, str], mutation: tuple[str, ...], failing: set[str]
) -> None:
    done = verify(
        "consumer", *broker_option, *TIMEOUT, "--", sys.executable, str(MUTANTS / "consumer.py"), *mutation
    )

    assert (done.failed(), done.exit_code) == (failing, 1 if failing else 0), done.text + done.errors


@pytest.mark.parametrize(
    ("mutation", "failing"),
    [
        ((), set()),
        (("no_confirms",), {"P-PUB-01"}),
        (("bare_string",), {"P-MSG-01"}),
        (("publishes_twice",), {"P-MSG-01"}),
        (("trims_message",), {"P-MSG-01"}),
    ],
)
def test_producer_fails_exactly_the_cases_about_its_mistake(
    verify: Callable[..., Any], broker_option: tuple[str, str], mutation: tuple[str, ...], failing: set[str]
) -> None:
    done = verify(
        "producer",
        *broker_option,
        *TIMEOUT,
        *FORM,
        "--",
        sys.executable,
        str(MUTANTS / "producer.py"),
        *mutation,
    )

    assert (done.failed(), done.exit_code) == (failing, 1 if failing else 0), done.text + done.errors
