"""Where the real servers come from: the order of the ways, and the word for "none of them works".

Looking starts nothing. A URL that is given is used or fails: it is never replaced silently by something else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.servers import compose, lanes, mariadb, packages, programs, rabbitmq
from tests.servers.compose import ComposeFailed
from tests.servers.lanes import Lane
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
    """Find a RabbitMQ, fetching its packages if need be; raise UnknownLane."""
    lane = lanes.chosen(variables)
    if url := variables.get(AMQP_VARIABLE):
        return Given(url, AMQP_VARIABLE)
    if lane.release is None and rabbitmq.installed_release(MACHINE):
        return OnDisk(MACHINE, "installed")
    return _fetched_or_composed("RabbitMQ", lane, lane.rabbitmq, AMQP_VARIABLE, run, report)


def locate_database(variables: Mapping[str, str], run: RunFolder, report: Report) -> Source:
    """Find a MariaDB, or the MySQL of a lane that has one, fetching its packages if need be; raise UnknownLane."""
    lane = lanes.chosen(variables)
    if url := variables.get(DATABASE_VARIABLE):
        return Given(url, DATABASE_VARIABLE)
    if lane.release is None and mariadb.is_installed(MACHINE):
        return OnDisk(MACHINE, "installed")
    return _fetched_or_composed(lane.database_title, lane, lane.database, DATABASE_VARIABLE, run, report)


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
    product: str, lane: Lane, wanted: PackageSet, variable: str, run: RunFolder, report: Report
) -> OnDisk | InContainers | NotAvailable:
    title = product + lane.of_release
    try:
        return OnDisk(packages.fetch(wanted, run, report), lane.origin)
    except PackagesUnavailable as error:
        if lane.release:
            return NotAvailable(
                title, (str(error),), f"a network for apt on a machine with Debian, or {variable}"
            )
        try:
            compose.fetch(wanted.name, report)
        except ComposeFailed as refused:
            reasons = ("it is not installed", str(error), str(refused))
            programs = " ".join(name for name in wanted.packages if not name.startswith("erlang-"))
            ways = ("a network for apt", f"apt install {programs}", variable)
            return NotAvailable(title, reasons, ", or ".join(ways))
        return InContainers()
