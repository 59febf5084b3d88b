"""Findings of the doctor that need no server: clocks, isolation levels, exit codes."""

from pathlib import Path

import pytest

from mailpact_cli.doctor.clocks import compared
from mailpact_cli.doctor.database import Tables, _isolation, _Seen
from mailpact_cli.doctor.finding import FindingStatus, exit_code, ok, unknown, unreachable, wrong

TABLES = Tables("inbox", "--inbox-url", "v", "2.0", Path())
FINE = {"tx_isolation": "READ-COMMITTED"}


@pytest.mark.parametrize(
    ("theirs", "found"),
    [
        (1_000.0, "agrees"),
        (1_006.9, "agrees"),  # the answer took two seconds
        (995.1, "agrees"),
        (1_007.1, "5 seconds ahead of"),
        (400.0, "600 seconds behind"),
        (None, "not told"),
    ],
)
def test_clocks_may_differ_by_five_seconds_beside_the_time_of_the_answer(
    theirs: float | None, found: str
) -> None:
    finding = compared("clock", "the database's", theirs, between=(1_000.0, 1_002.0))

    assert found in finding.found
    assert (finding.verdict is FindingStatus.WRONG) == ("seconds" in found)


@pytest.mark.parametrize(
    ("session", "server", "found"),
    [
        ({"tx_isolation": "REPEATABLE-READ"}, FINE, "although they ask"),
        (FINE, {"transaction_isolation": "SERIALIZABLE"}, "default is SERIALIZABLE"),
        (FINE, FINE | {"log_bin": "ON", "binlog_format": "STATEMENT"}, "binlog_format is STATEMENT"),
        (FINE, FINE | {"read_only": "ON"}, "read-only"),
    ],
)
def test_isolation_that_cannot_be_worked_with_is_found(
    session: dict[str, str], server: dict[str, str], found: str
) -> None:
    finding = _isolation(TABLES, _Seen("2.0", 0.0, session, server))

    assert finding.verdict is FindingStatus.WRONG
    assert found in finding.found
    assert finding.advice


@pytest.mark.parametrize("usual", ["REPEATABLE-READ", "READ-COMMITTED"])
def test_a_usual_default_of_the_server_is_right(usual: str) -> None:
    seen = _Seen("2.0", 0.0, FINE, {"tx_isolation": usual, "binlog_format": "STATEMENT", "log_bin": "OFF"})

    assert _isolation(TABLES, seen).verdict is FindingStatus.OK


def test_the_exit_code_tells_wrong_from_unreachable() -> None:
    fine, missing, away, bad = ok("a", ""), unknown("a", "b"), unreachable("a", "", ""), wrong("a", "", "")

    assert [exit_code(findings) for findings in ([], [fine, missing], [away, fine], [away, bad])] == [
        0,
        0,
        3,
        1,
    ]
