"""RabbitMQ and MariaDB in containers, by `docker compose`, for machines without Debian's packages."""

import os
import secrets
import subprocess
from pathlib import Path

from tests.servers.databases import Databases
from tests.servers.managed_rabbitmq import ManagedRabbitmq
from tests.servers.run_folder import RunFolder, installed

FILE = Path(__file__).with_name("compose.yaml")
LOOK_SECONDS = 10
START_SECONDS = 300


class ComposeFailed(Exception):
    """`docker compose` did not do what it was asked for; the message carries its words."""


def is_working() -> bool:
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


class Compose:
    """One project of containers, which ends with the run."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._password = secrets.token_hex(12)
        self._words = ["docker", "compose", "--project-name", run.path.name.lower(), "--file", str(FILE)]
        run.add_farewell([*self._words, "down", "--volumes", "--timeout", "1"])

    def rabbitmq(self) -> ManagedRabbitmq:
        """Start RabbitMQ; raise ComposeFailed."""
        self._call("up", "--detach", "--wait", "--quiet-pull", "rabbitmq")
        amqp, management = self._address("rabbitmq", 5672), self._address("rabbitmq", 15672)
        return ManagedRabbitmq(f"amqp://mailpact:{self._password}@{amqp}/", f"http://{management}")

    def mariadb(self) -> Databases:
        """Start MariaDB; raise ComposeFailed."""
        self._call("up", "--detach", "--wait", "--quiet-pull", "mariadb")
        return Databases(f"mysql+pymysql://root:{self._password}@{self._address('mariadb', 3306)}/")

    def _address(self, service: str, port: int) -> str:
        return self._call("port", service, str(port)).strip()

    def _call(self, *words: str) -> str:
        done = subprocess.run(
            [*self._words, *words],
            env=self._run.environment(dict(os.environ) | {"MAILPACT_TEST_PASSWORD": self._password}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS,
        )
        if done.returncode:
            raise ComposeFailed(f"docker compose {' '.join(words)}: {done.stderr.strip()[-1000:]}")
        return done.stdout
