"""How a run of pytest handles missing servers and skipped tests, and what it reports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

SKIPPED = """
import pytest

def test_skipped():
    pytest.skip("no moon tonight")
"""
SKIPPED_FILE = """
import pytest

pytest.skip("no moon tonight", allow_module_level=True)
"""
EXPECTED_FAILURE = """
import pytest

@pytest.mark.xfail(reason="known")
def test_known_failure():
    raise AssertionError
"""
WANTS_A_BROKER = """
def test_wants_a_broker(rabbitmq_url):
    pass
"""


WANTS_A_BROKER_OR_NOTHING = """
import pytest

def test_wants_nothing():
    pass

@pytest.mark.parametrize("ground", [(), ("rabbitmq_url", "mariadb_url")])
def test_wants_both_in_turn(ground):
    pass
"""


def run_pytest(folder: Path, test: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a file of tests in a process of its own, with this plugin and no other of the project."""
    (folder / "test_it.py").write_text(test)
    ours = {"CI", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER"}
    environment = {name: text for name, text in os.environ.items() if name not in ours}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "tests.servers.plugin",
            "-p",
            "no:cacheprovider",
            *words,
            "test_it.py",
        ],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT)} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize("test", [SKIPPED, SKIPPED_FILE], ids=["test", "file"])
def test_skipped_test_is_a_failure_in_ci_alone(tmp_path: Path, test: str) -> None:
    at_home = run_pytest(tmp_path, test)
    in_ci = run_pytest(tmp_path, test, CI="true")

    assert at_home.returncode in {0, 5}, at_home.stdout  # 5: no test was run
    assert in_ci.returncode not in {0, 5}, in_ci.stdout
    assert "nothing may be: Skipped: no moon tonight" in in_ci.stdout


def test_expected_failure_is_no_skipped_test(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, EXPECTED_FAILURE, CI="true")

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("variables", "code"), [({}, 0), ({"CI": "true"}, 1)], ids=["at home", "in ci"])
def test_what_is_missing_is_named_with_its_remedy(
    tmp_path: Path, variables: dict[str, str], code: int
) -> None:
    nothing = {
        "PATH": "/nonexistent",
        "XDG_CACHE_HOME": str(tmp_path / "empty"),
        "MAILPACT_TEST_DEBIAN": "sid",
    }

    done = run_pytest(tmp_path, WANTS_A_BROKER, **nothing, **variables)

    assert done.returncode == code, done.stdout
    assert "REAL SERVERS NOT USED" in done.stdout
    assert (
        "rabbitmq-server of Debian sid is not available: [Errno 2] No such file or directory: 'apt-get'. Get it by "
        in done.stdout
    )


def test_given_server_that_does_not_answer_is_never_replaced(tmp_path: Path) -> None:
    nobody = {"MAILPACT_TEST_AMQP_URL": "amqp://guest:guest@127.0.0.1:1/"}

    done = run_pytest(
        tmp_path, WANTS_A_BROKER, MAILPACT_TEST_AMQP_MANAGEMENT_URL="http://127.0.0.1:1", **nobody
    )

    assert done.returncode == 1, done.stdout
    assert "the management API, which makes a vhost for each test: http://127.0.0.1:1/" in done.stdout


def test_what_no_server_can_change_is_left_out_when_wanted(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, WANTS_A_BROKER_OR_NOTHING, "-m", "real_server")

    assert "1 passed, 2 deselected" in done.stdout, done.stdout


def test_unknown_lane_is_refused_before_any_test(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, WANTS_A_BROKER, MAILPACT_TEST_DEBIAN="woody")

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "MAILPACT_TEST_DEBIAN=woody: there are sid and trixie" in done.stderr


@pytest.mark.xdist_group("alone")
def test_groups_of_tests_reach_the_workers(request: pytest.FixtureRequest) -> None:
    assert "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@alone")
