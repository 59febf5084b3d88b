"""A run leaves no process, port or folder behind, however the run ends."""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers import run_folder
from tests.servers.run_folder import PrivateProcess, RunFolder

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 20

# The servers, and a grandchild process that has left its parent's session.
RUN = """
import os, signal, subprocess, sys
from tests.servers.where import Servers
servers = Servers()
print(servers.run.path)
print(servers.rabbitmq.port, servers.mariadb.port)
subprocess.run(["setsid", "--fork", "sleep", "1000"], env=servers.run.environment({}))
sys.stdout.flush()
signal.pause()
"""


def listening_ports() -> set[int]:
    """Return the TCP ports on which any process listens."""
    rows = [
        line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()
    ]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}


@pytest.mark.usefixtures("rabbitmq", "mariadb")  # without these servers the test is skipped
def test_killed_run_leaves_no_process_no_port_and_no_folder() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        ports = {int(port) for port in process.stdout.readline().split()}
        before = (folder.exists(), ports <= listening_ports(), len(run_folder.processes_of(folder)) > 4)
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    after = (folder.exists(), run_folder.processes_of(folder), ports & listening_ports())
    assert (before, after) == ((True, True, True), (False, [], set()))


# This is what a worker of pytest-xdist is: the first run starts a second run, and both are killed together.
WITHIN = """
import os, signal, subprocess, sys
from tests.servers import run_folder
from tests.servers.run_folder import RunFolder
run = RunFolder()
os.environ[run_folder.VARIABLE] = str(run.path)
if len(sys.argv) == 1:
    print(run.path, flush=True)
    subprocess.run([sys.executable, "-c", os.environ["PROGRAM"], "inner"])
subprocess.Popen(["sleep", "1000"], start_new_session=True)
print(run.path, flush=True)
signal.pause()
"""


def has_ended(process: int) -> bool:
    """Return whether each thread of a process has ended."""
    try:
        with os.fdopen(os.pidfd_open(process)) as handle:
            return bool(select.select([handle], [], [], 0)[0])
    except ProcessLookupError:
        return True


def test_killed_run_leaves_nothing_of_the_runs_within_it() -> None:
    variables = os.environ | {"PROGRAM": WITHIN}
    process = subprocess.Popen(
        [sys.executable, "-c", WITHIN], cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        folders = [Path(process.stdout.readline().strip()) for _ in range(2)]
        processes = [process for folder in folders for process in run_folder.processes_of(folder)]
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(folder.exists() for folder in folders) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert len(processes) == 2  # the process of the inner run, and the `sleep` that the inner run started
    assert [folder.exists() for folder in folders] == [False, False]
    assert [has_ended(number) for number in processes] == [True, True]


def test_ended_run_leaves_nothing_even_without_its_keeper() -> None:
    run = RunFolder()
    child = PrivateProcess(run, "sleep").begin(["sleep", "1000"], {})
    run._keeper.kill()

    run.close()

    assert (run.path.exists(), child.is_running) == (False, False)


def test_server_that_does_not_stop_is_killed_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(PrivateProcess):
        def kill(self) -> None:
            raise AssertionError("it answers no more")

    monkeypatch.setattr(run_folder, "STOP_SECONDS", 0.1)
    with closing(RunFolder()) as run:
        deaf = Asked(run, "deaf").begin(
            ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"], {}
        )
        deaf.wait_until("it is deaf", lambda: "deaf" in deaf.log())
        deaf.stop()

        assert not deaf.is_running


def test_runs_beside_each_other_never_get_the_same_port() -> None:
    with closing(RunFolder()) as one, closing(RunFolder()) as other:
        ports = [run.reserve_port() for run in (one, other) for _ in range(200)]

    assert len(set(ports)) == 400
