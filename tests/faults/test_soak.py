"""The checks at the end of `make soak`, and a short run of the soak (`make soak` takes ten minutes)."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.soak import Row, account, growth, sha256

ADA = "ada@example.org"
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("mails", "row"),
    [({ADA: 1}, Row("sent", 0)), ({ADA: 1}, Row("sent", 1)), ({ADA: 2}, Row("sent", 1))],
)
def test_a_registration_may_end_in_one_mail_or_in_a_second_one_that_was_reported(
    mails: dict[str, int], row: Row
) -> None:
    assert account([ADA], mails, {sha256(ADA): row}) == []


@pytest.mark.parametrize(
    ("stored", "mails", "inbox", "problem"),
    [
        ([ADA], {}, {}, "no mail; the inbox says nothing"),
        ([ADA], {}, {sha256(ADA): Row("sent", 0)}, "no mail; the inbox says sent"),
        ([ADA], {ADA: 1}, {sha256(ADA): Row("sending", 0)}, "1 mails, and the inbox says sending"),
        ([ADA], {ADA: 1}, {}, "1 mails, and the inbox says nothing"),
        ([ADA], {ADA: 2}, {sha256(ADA): Row("sent", 0)}, "2 mails, and only 0 were reported as uncertain"),
        ([], {ADA: 1}, {sha256(ADA): Row("sent", 0)}, "a mail without a registration"),
    ],
)
def test_every_other_end_is_a_problem(
    stored: list[str], mails: dict[str, int], inbox: dict[str, Row], problem: str
) -> None:
    assert account(stored, mails, inbox) == [f"{ADA}: {problem}"]


MB = 1e6


@pytest.mark.parametrize(
    ("samples", "last", "found"),
    [
        ([(100 * MB, 20, 30), (190 * MB, 20, 30), (120 * MB, 20, 30)], (120 * MB, 22, 33), []),
        ([(100 * MB, 20, 30), (110 * MB, 20, 30), (160 * MB, 20, 30)], (160 * MB, 20, 30),
         ["site: memory has grown from 100 to 160 MB"]),
        ([(100 * MB, 20, 30)], (100 * MB, 40, 60),
         ["site: open files have grown from 20 to 40", "site: tasks have grown from 30 to 60"]),
    ],
)  # fmt: skip
def test_what_grows_in_a_process_is_a_problem(
    samples: list[tuple[float, float, float]], last: tuple[float, float, float], found: list[str]
) -> None:
    assert growth("site", samples, (100 * MB, 20, 30), last) == found


@pytest.mark.long
@pytest.mark.timeout(600)  # the last step waits for all unfinished messages, which takes long
def test_a_short_soak_ends_with_one_mail_for_each_registration() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.soak", "--seconds", "25"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )

    assert (done.returncode, done.stdout.endswith(": ok\n")) == (0, True), done.stdout + done.stderr
