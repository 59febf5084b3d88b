"""Where the real servers come from, and what is running of them in one process of the test run.

A server is looked for in this order, and the first way that works is used: a URL in the environment, what is installed,
Debian's packages. Looking starts nothing. A URL that is given is used or fails: nothing else replaces it silently.

A lane is the generation of servers that the tests run on: the machine's own, or that of another Debian release.

| lane | MAILPACT_TEST_DEBIAN | servers |
|---|---|---|
| the usual | not set | what is installed, or this release's packages: on Debian 12 RabbitMQ 3.10, MariaDB 10.11 |
| newer | `trixie` | RabbitMQ 4.0 and MariaDB 11.8 |
| newest | `sid` | RabbitMQ 4.3 and MySQL 9.7 when this was written; sid moves and cannot be pinned |

The fixtures keep their names: on the newest lane `mariadb_url` leads to a MySQL. The packages of another release come
with their own C library (`own_libc`). A URL in the environment goes before any lane.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import assert_never

from tests.servers import database, packages, programs, rabbitmq
from tests.servers.database import Databases, DatabaseServer, MariaDB, MySQL
from tests.servers.packages import ERLANG, PackageSet, PackagesUnavailable
from tests.servers.programs import Program, ProgramName
from tests.servers.rabbitmq import ManagedRabbitmq, Rabbitmq
from tests.servers.run_folder import RunFolder

LANE_VARIABLE = "MAILPACT_TEST_DEBIAN"
AMQP_VARIABLE = "MAILPACT_TEST_AMQP_URL"
MANAGEMENT_VARIABLE = "MAILPACT_TEST_AMQP_MANAGEMENT_URL"
DATABASE_VARIABLE = "MAILPACT_TEST_DATABASE_URL"
MACHINE = Path("/")

Report = Callable[[str], None]


class UnknownLane(ValueError):
    """MAILPACT_TEST_DEBIAN names a release that no lane is for; the message lists those there are."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The packages of one generation; a lane of another release never uses what is installed."""

    release: str | None
    rabbitmq: PackageSet
    database: PackageSet
    database_title: str

    @property
    def of_release(self) -> str:
        """Return the words to add to a server's title: none for the machine's own."""
        return f" of Debian {self.release}" if self.release else ""

    @property
    def origin(self) -> str:
        """Say where the lane's servers come from when they are fetched."""
        return f"packages{self.of_release}" if self.release else "Debian's packages"


def _rabbitmq(release: str | None) -> PackageSet:
    return PackageSet("rabbitmq", ("rabbitmq-server", *(f"erlang-{part}" for part in ERLANG)), release)


def _mariadb(release: str | None) -> PackageSet:
    # The -core packages hold the programs; the packages above them hold only what makes a system service.
    return PackageSet("mariadb", ("mariadb-server-core", "mariadb-client-core"), release)


USUAL = Lane(None, _rabbitmq(None), _mariadb(None), "MariaDB")
NEWER = Lane("trixie", _rabbitmq("trixie"), _mariadb("trixie"), "MariaDB")
NEWEST = Lane("sid", _rabbitmq("sid"), PackageSet("mysql", ("mysql-server-core",), "sid"), "MySQL")


def chosen_lane(variables: Mapping[str, str]) -> Lane:
    """Return the lane that the environment asks for; raise UnknownLane."""
    name = variables.get(LANE_VARIABLE)
    if not name:
        return USUAL
    lanes = {lane.release: lane for lane in (NEWER, NEWEST)}
    if name not in lanes:
        raise UnknownLane(
            f"{LANE_VARIABLE}={name}: there are {' and '.join(sorted(str(each) for each in lanes))}"
        )
    return lanes[name]


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
class NotAvailable:
    """No way works; the text says why, and how to get it."""

    title: str
    reasons: tuple[str, ...]
    remedy: str

    def __str__(self) -> str:
        return f"{self.title} is not available, because {'; '.join(self.reasons)}. Get it by: {self.remedy}."


Source = Given | OnDisk | NotAvailable


def locate_rabbitmq(variables: Mapping[str, str], run: RunFolder, report: Report) -> Source:
    """Find a RabbitMQ, and fetch its packages if need be; raise UnknownLane."""
    lane = chosen_lane(variables)
    if url := variables.get(AMQP_VARIABLE):
        return Given(url, AMQP_VARIABLE)
    if lane.release is None and rabbitmq.installed_release(MACHINE):
        return OnDisk(MACHINE, "installed")
    return _fetched("RabbitMQ", lane, lane.rabbitmq, AMQP_VARIABLE, run, report)


def locate_database(variables: Mapping[str, str], run: RunFolder, report: Report) -> Source:
    """Find a MariaDB, or the MySQL of a lane that has one, fetching its packages if need be; raise UnknownLane."""
    lane = chosen_lane(variables)
    if url := variables.get(DATABASE_VARIABLE):
        return Given(url, DATABASE_VARIABLE)
    if lane.release is None and database.is_installed(MACHINE):
        return OnDisk(MACHINE, "installed")
    return _fetched(lane.database_title, lane, lane.database, DATABASE_VARIABLE, run, report)


def locate_program(name: ProgramName, run: RunFolder, report: Report) -> Program | NotAvailable:
    """Find a program, fetching its packages if need be."""
    if found := programs.installed_program(name):
        return found
    try:
        return programs.unpacked_program(name, packages.fetch(name.packages, run, report))
    except PackagesUnavailable as error:
        remedy = "a network for apt, or apt install " + " ".join(name.packages.packages)
        return NotAvailable(name.title, ("it is not installed", str(error)), remedy)


def _fetched(
    product: str, lane: Lane, wanted: PackageSet, variable: str, run: RunFolder, report: Report
) -> OnDisk | NotAvailable:
    try:
        return OnDisk(packages.fetch(wanted, run, report), lane.origin)
    except PackagesUnavailable as error:
        names = " ".join(name for name in wanted.packages if not name.startswith("erlang-"))
        remedy = f"a network for apt, or {variable}" + ("" if lane.release else f", or apt install {names}")
        return NotAvailable(product + lane.of_release, (str(error),), remedy)


class Servers:
    """What is used is written down in `used`, what could not be in `missing`: lines for a person."""

    def __init__(self, report: Report) -> None:
        self.used: set[str] = set()
        self.missing: set[str] = set()
        self._report = report
        self._programs: dict[str, Program | NotAvailable] = {}
        self._run: RunFolder | None = None

    @property
    def run(self) -> RunFolder:
        """Return the folder of all that is started; made when first asked for."""
        if self._run is None:
            self._run = RunFolder()
        return self._run

    def close(self) -> None:
        """End all of it."""
        if self._run is not None:
            self._run.close()
            self._run = None

    @cached_property
    def rabbitmq_source(self) -> Source:
        """Return where RabbitMQ comes from; asking for it may download, and starts nothing."""
        return locate_rabbitmq(os.environ, self.run, self._report)

    @cached_property
    def mariadb_source(self) -> Source:
        """Return where MariaDB, or a lane's MySQL, comes from; asking for it may download, and starts nothing."""
        return locate_database(os.environ, self.run, self._report)

    @cached_property
    def rabbitmq(self) -> Rabbitmq | ManagedRabbitmq | NotAvailable:
        """RabbitMQ, running."""
        source = self.rabbitmq_source
        broker: Rabbitmq | ManagedRabbitmq
        match source:
            case Given(url):
                broker = ManagedRabbitmq.at(url, os.environ.get(MANAGEMENT_VARIABLE))
            case OnDisk(root):
                broker = Rabbitmq(self.run, root)
            case NotAvailable():
                self.missing.add(str(source))
                return source
            case _:
                assert_never(source)
        self.used.add(f"RabbitMQ {broker.version} ({source.origin})")
        return broker

    @cached_property
    def mariadb(self) -> DatabaseServer | Databases | NotAvailable:
        """MariaDB, or a lane's MySQL, running."""
        source = self.mariadb_source
        server: DatabaseServer | Databases
        match source:
            case Given(url):
                server = Databases(url)
            case OnDisk(root):
                server = (MariaDB if database.is_installed(root) else MySQL)(self.run, root)
            case NotAvailable():
                self.missing.add(str(source))
                return source
            case _:
                assert_never(source)
        databases = server.databases if isinstance(server, DatabaseServer) else server
        self.used.add(f"{databases.product()} ({source.origin})")
        return server

    def program(self, name: ProgramName) -> Program | NotAvailable:
        """Return a program."""
        if name.title not in self._programs:
            found = locate_program(name, self.run, self._report)
            self._programs[name.title] = found
            if isinstance(found, NotAvailable):
                self.missing.add(str(found))
            else:
                self.used.add(f"{name.title} ({found.origin})")
        return self._programs[name.title]

    def locate(self, names: set[str]) -> list[NotAvailable]:
        """Download what these fixtures need, and return what cannot be had."""
        sources: dict[str, Callable[[], object]] = {
            "rabbitmq": lambda: self.rabbitmq_source,
            "mariadb": lambda: self.mariadb_source,
            "chromium": lambda: self.program(programs.CHROMIUM),
            "smtp_sink": lambda: self.program(programs.SMTP_SINK),
            "postfix": lambda: self.program(programs.POSTFIX),
            "swaks": lambda: self.program(programs.SWAKS),
            "promtool": lambda: self.program(programs.PROMTOOL),
            "mariadb_dump": lambda: self.program(programs.MARIADB_DUMP),
        }
        found = [source() for name, source in sources.items() if name in names]
        return [source for source in found if isinstance(source, NotAvailable)]
