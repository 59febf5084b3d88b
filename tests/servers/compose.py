"""RabbitMQ and MariaDB in containers, by `docker compose`, for machines without Debian's packages."""

import os
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.servers.databases import Databases
from tests.servers.managed_rabbitmq import ManagedRabbitmq
from tests.servers.run_folder import RunFolder, installed

FILE = Path(__file__).with_name("compose.yaml")
LOOK_SECONDS = 10
FETCH_SECONDS = 900
START_SECONDS = 50  # a test's own limit, 60 seconds, counts it in


class ComposeFailed(Exception):
    """`docker compose` did not do what it was asked for; the message carries its words."""


def fetch(service: str, report: Callable[[str], None]) -> None:
    """Have the image of a service on this machine; raise ComposeFailed, also where there is no `docker compose`."""
    if not _is_working():
        raise ComposeFailed("no docker compose works here")
    report(f"fetching the image of {service}")
    words = ["docker", "compose", "--file", str(FILE), "pull", "--quiet", "--policy", "missing", service]
    _run(words, dict(os.environ), FETCH_SECONDS)


class Compose:
    """One project of containers, which ends with the run."""

    def __init__(self, run: RunFolder) -> None:
        self._run_folder = run
        self._refusals: dict[str, ComposeFailed] = {}
        self._password = secrets.token_hex(12)
        self._words = ["docker", "compose", "--project-name", run.path.name.lower(), "--file", str(FILE)]
        run.add_farewell([*self._words, "down", "--volumes", "--timeout", "1"])

    def rabbitmq(self) -> ManagedRabbitmq:
        """Start RabbitMQ; raise ComposeFailed."""
        self._up("rabbitmq")
        amqp, management = self._address("rabbitmq", 5672), self._address("rabbitmq", 15672)
        return ManagedRabbitmq(f"amqp://mailpact:{self._password}@{amqp}/", f"http://{management}")

    def mariadb(self) -> Databases:
        """Start MariaDB; raise ComposeFailed."""
        self._up("mariadb")
        return Databases(f"mysql+pymysql://root:{self._password}@{self._address('mariadb', 3306)}/")

    def _up(self, service: str) -> None:
        if service in self._refusals:  # each test would wait again
            raise self._refusals[service]
        try:
            self._call("up", "--detach", "--wait", "--quiet-pull", service)
        except ComposeFailed as refusal:
            self._refusals[service] = refusal
            raise

    def _address(self, service: str, port: int) -> str:
        return self._call("port", service, str(port)).strip()

    def _call(self, *words: str) -> str:
        variables = dict(os.environ) | {"MAILPACT_TEST_PASSWORD": self._password}
        return _run([*self._words, *words], self._run_folder.environment(variables), START_SECONDS)


def _run(words: list[str], environment: dict[str, str], seconds: int) -> str:
    try:
        done = subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ComposeFailed(str(error)) from error
    if done.returncode:
        raise ComposeFailed(f"`{' '.join(words)}` said: {done.stderr.strip()[-1000:]}")
    return done.stdout


def _is_working() -> bool:
    """Whether `docker compose` is installed and its engine answers."""
    if installed("docker") is None:
        return False
    try:
        for words in (("docker", "compose", "version"), ("docker", "info")):
            subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=LOOK_SECONDS
            )
    except (OSError, subprocess.SubprocessError):
        return False
    return True
