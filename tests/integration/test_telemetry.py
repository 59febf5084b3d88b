import contextlib
import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from mailpact.contracts import catalogue
from mailpact.contracts.validate import Validator
from mailpact.telemetry import Journey, Point


def test_every_watcher_hears_of_every_point_in_order() -> None:
    journey = Journey()
    first: list[tuple[Point, str]] = []
    second: list[tuple[Point, str]] = []
    journey.watch(lambda point, message_id: first.append((point, message_id)))
    journey.watch(lambda point, message_id: second.append((point, message_id)))

    journey.reach(Point.COMMITTED, "a")
    journey.reach(Point.SENT, "b")

    assert first == second == [(Point.COMMITTED, "a"), (Point.SENT, "b")]


def test_a_journey_dies_at_its_point_and_not_before() -> None:
    program = """
import os
from mailpact.telemetry import Point
from mailpact_cli.environment import new_journey
os.environ["MAILPACT_FAULT_POINT"] = "sent"
journey = new_journey()
journey.watch(lambda point, message_id: print(point, flush=True))
try:
    journey.reach(Point.SENDING, "a")
    journey.reach(Point.SENT, "a")
    print("alive", flush=True)
finally:
    print("cleaned up", flush=True)
"""
    died = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert died.returncode == -signal.SIGKILL
    assert died.stdout.split() == ["sending"]


def logged(program: str, *, verbose: bool) -> list[dict[str, str]]:
    """Run a program with Mailpact's logging; return its stderr, which must be one JSON object per line."""
    program = f"""
import logging, structlog
from mailpact_cli.log_output import configure_logging
configure_logging(verbose={verbose})
{program}
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    return [json.loads(line) for line in ran.stderr.splitlines()]


@pytest.mark.parametrize(("verbose", "expected"), [(True, ["it runs", "trouble"]), (False, ["trouble"])])
def test_logs_are_json_lines_on_stderr(*, verbose: bool, expected: list[str]) -> None:
    lines = logged(
        'log = structlog.get_logger(); log.info("it runs"); log.warning("trouble")', verbose=verbose
    )

    assert [line["event"] for line in lines] == expected


def test_libraries_speak_from_warning_on_in_the_same_form() -> None:
    lines = logged('logging.getLogger("x").info("no"); logging.getLogger("x").warning("yes")', verbose=True)

    assert [(line["event"], line["level"]) for line in lines] == [("yes", "warning")]


def test_each_line_is_a_record_of_the_contract_for_logs() -> None:
    program = """
log = structlog.get_logger().bind(message_id="0d9f7a52-8a3e-4d0f-9b54-1f6f2f0f7a01")
log.info("it runs", seconds=1.5, queues=["a", "b"], address=None)
log.critical("")
logging.getLogger("x").error("%s of %s", 1, 2)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("it failed")
"""
    lines = logged(program, verbose=True)
    contract = Validator(catalogue.load().contract("log/1").writer_schema)

    assert [line["level"] for line in lines] == ["info", "critical", "error", "error"]
    assert [contract.check(line) for line in lines] == [None] * 4


def test_aiormq_says_nothing_of_its_own() -> None:
    lines = logged(
        'logging.getLogger("aiormq.connection").error("amqp://u:secret@h/ to ada@example.org")', verbose=True
    )

    assert lines == []


def test_a_traceback_on_a_terminal_shows_no_variables() -> None:
    program = """
import structlog
from mailpact_cli.log_output import configure_logging
configure_logging(verbose=True)
def fail(password):
    return 1 / 0
try:
    fail("correct horse")
except ZeroDivisionError:
    structlog.get_logger().exception("it failed")
"""
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", program], stderr=theirs, check=True)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal was closed
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)

    assert b"it failed" in shown
    assert b"ZeroDivisionError" in shown
    assert b"horse" not in shown.replace(b'fail("correct horse")', b"")
