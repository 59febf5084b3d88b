"""Fixtures: the kit's command, run as a process."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

KIT = [sys.executable, "-m", "mailpact_kit.command"]
PATIENCE_SECONDS = 55


@dataclass(frozen=True, slots=True)
class Verified:
    """The exit code and the results of a run of the kit."""

    exit_code: int
    text: str
    errors: str
    report: str

    def verdicts(self) -> dict[str, str]:
        """Return the verdict of each case."""
        return {case["id"]: case["verdict"] for case in json.loads(self.report)["cases"]}

    def failed(self) -> set[str]:
        """Return the cases that do not pass."""
        return {name for name, verdict in self.verdicts().items() if verdict != "PASS"}


@pytest.fixture
def broker_url() -> Iterator[str]:
    """Yield the URL of a broker that runs outside the kit."""
    broker = subprocess.Popen(
        [sys.executable, "-m", "mailpact_cli", "devbroker", "--listen", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert broker.stderr is not None
    found = None
    while found is None:
        line = broker.stderr.readline()
        assert line, "the development broker did not start"
        found = re.search(r"on (amqp://\S+)", line)
    yield found[1]
    broker.terminate()
    broker.communicate(timeout=PATIENCE_SECONDS)


Verify = Callable[..., Verified]


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    """Return a function that runs `contract-tests verify` with these words and returns the result."""

    def run(*words: str, patience: int = PATIENCE_SECONDS) -> Verified:
        report = tmp_path / "report.json"
        kind, *rest = words
        if "--timeout" not in rest:
            rest = ["--timeout", str(PATIENCE_SECONDS // 2), *rest]  # other programs may load the machine
        done = subprocess.run(
            [*KIT, "verify", kind, "--json", report, *rest],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
        return Verified(
            done.returncode, done.stdout, done.stderr, report.read_text() if report.exists() else ""
        )

    return run


@pytest.fixture(params=["devbroker", "rabbitmq_url"])
def broker_option(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return the option that names a broker to the kit: first the kit's own development broker, then a RabbitMQ."""
    where = "devbroker" if request.param == "devbroker" else str(request.getfixturevalue(request.param))
    return "--broker", where
