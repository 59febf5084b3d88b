"""Where the real servers come from: the order of the ways, and the word for "none of them works".

Looking starts nothing. A URL that is given is used or fails: it is never replaced silently by something else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.servers import compose, mariadb, packages, programs, rabbitmq
from tests.servers.packages import PackageSet, PackagesUnavailable
from tests.servers.programs import Program, ProgramName
from tests.servers.run_folder import RunFolder

AMQP_VARIABLE = "MAILPACT_TEST_AMQP_URL"
MANAGEMENT_VARIABLE = "MAILPACT_TEST_AMQP_MANAGEMENT_URL"
DATABASE_VARIABLE = "MAILPACT_TEST_DATABASE_URL"
MACHINE = Path("/")

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Given:
    """A server that somebody else runs, by its URL in the environment."""

    url: str
    origin: str


@dataclass(frozen=True, slots=True)
class OnDisk:
    """Programs below a root folder, `/` for what is installed: a private node can be started from them."""

    root: Path
    origin: str


@dataclass(frozen=True, slots=True)
class InContainers:
    """`docker compose` can start it."""

    origin: str = "docker compose"


@dataclass(frozen=True, slots=True)
class NotAvailable:
    """No way works; the text says why, and how to get it."""

    title: str
    reasons: tuple[str, ...]
    remedy: str

    def __str__(self) -> str:
        return f"{self.title} is not available, because {'; '.join(self.reasons)}. Get it by: {self.remedy}."


Source = Given | OnDisk | InContainers | NotAvailable


def locate_rabbitmq(variables: Mapping[str, str], run: RunFolder, report: Report) -> Source:
    """Find a RabbitMQ, fetching its packages if need be."""
    if url := variables.get(AMQP_VARIABLE):
        return Given(url, AMQP_VARIABLE)
    if rabbitmq.installed_release(MACHINE):
        return OnDisk(MACHINE, "installed")
    remedy = "a network for apt, or apt install rabbitmq-server, or " + AMQP_VARIABLE
    return _fetched_or_composed("RabbitMQ", packages.RABBITMQ, remedy, run, report)


def locate_mariadb(variables: Mapping[str, str], run: RunFolder, report: Report) -> Source:
    """Find a MariaDB, fetching its packages if need be."""
    if url := variables.get(DATABASE_VARIABLE):
        return Given(url, DATABASE_VARIABLE)
    if mariadb.is_installed(MACHINE):
        return OnDisk(MACHINE, "installed")
    remedy = (
        "a network for apt, or apt install mariadb-server-core mariadb-client-core, or " + DATABASE_VARIABLE
    )
    return _fetched_or_composed("MariaDB", packages.MARIADB, remedy, run, report)


def locate_program(name: ProgramName, run: RunFolder, report: Report) -> Program | NotAvailable:
    """Find a program, fetching its packages if need be."""
    if found := programs.installed_program(name):
        return found
    try:
        return programs.unpacked_program(name, packages.fetch(name.packages, run, report))
    except PackagesUnavailable as error:
        remedy = "a network for apt, or apt install " + " ".join(name.packages.packages)
        return NotAvailable(name.title, ("it is not installed", str(error)), remedy)


def _fetched_or_composed(
    title: str, wanted: PackageSet, remedy: str, run: RunFolder, report: Report
) -> OnDisk | InContainers | NotAvailable:
    try:
        return OnDisk(packages.fetch(wanted, run, report), "Debian's packages")
    except PackagesUnavailable as error:
        if compose.is_working():
            return InContainers()
        reasons = ("it is not installed", str(error), "no docker compose works here")
        return NotAvailable(title, reasons, remedy)
