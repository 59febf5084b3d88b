"""Where the real servers come from, and what is running of them in one process of the test run.

A server is looked for in this order, and the first way that works is used: a URL in the environment, what is installed,
Debian's packages. Looking starts nothing. A URL that is given is used or fails: nothing else replaces it silently.

A lane is the generation of servers that the tests run on: the machine's own, or that of another Debian release. A lane
of another release never uses what is installed; its packages come with their own C library (`own_libc`).

| lane | MAILPACT_TEST_DEBIAN | servers |
|---|---|---|
| the usual | not set | what is installed, or this release's packages: on Debian 12 RabbitMQ 3.10, MariaDB 10.11 |
| newer | `trixie` | RabbitMQ 4.0 and MariaDB 11.8 |
| newest | `sid` | RabbitMQ 4.3 and MySQL 9.7 when this was written; sid moves and cannot be pinned |

The fixtures keep their names: on the newest lane `mariadb_url` leads to a MySQL.
"""

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from tests.servers import database, packages, programs, rabbitmq
from tests.servers.database import Databases, MariaDB, MySQL
from tests.servers.packages import PackageSet, PackagesUnavailable
from tests.servers.programs import PROGRAMS, Program
from tests.servers.rabbitmq import ManagedRabbitmq, Rabbitmq
from tests.servers.run_folder import RunFolder

LANE_VARIABLE = "MAILPACT_TEST_DEBIAN"
AMQP_VARIABLE = "MAILPACT_TEST_AMQP_URL"
MANAGEMENT_VARIABLE = "MAILPACT_TEST_AMQP_MANAGEMENT_URL"
DATABASE_VARIABLE = "MAILPACT_TEST_DATABASE_URL"
MACHINE = Path("/")
LANES = ("sid", "trixie")
NAMES = ("rabbitmq", "mariadb", *PROGRAMS)
ERLANG = (
    "asn1 base crypto eldap ftp inets mnesia os-mon parsetools public-key runtime-tools snmp ssl syntax-tools tftp"
    " tools xmerl"
)

T = TypeVar("T")


class UnknownLane(ValueError):
    """MAILPACT_TEST_DEBIAN names a release that no lane is for; the message lists those there are."""


class NotAvailable(Exception):
    """No way to a server or program works; the message says why, and how to get it."""

    def __init__(self, title: str, reasons: str, remedy: str) -> None:
        super().__init__(f"{title} is not available, because {reasons}. Get it by: {remedy}.")


def chosen_lane() -> str | None:
    """Return the Debian release that the environment names, None for the machine's own; raise UnknownLane."""
    name = os.environ.get(LANE_VARIABLE) or None
    if name is not None and name not in LANES:
        raise UnknownLane(f"{LANE_VARIABLE}={name}: there are {' and '.join(LANES)}")
    return name


def rabbitmq_packages(release: str | None) -> PackageSet:
    """Return the packages of RabbitMQ and all of Erlang."""
    erlang = [f"erlang-{part}" for part in ERLANG.split()]
    return PackageSet("rabbitmq", ("rabbitmq-server", *erlang), release)


def database_packages(release: str | None) -> PackageSet:
    """Return the packages of MariaDB, or of the MySQL that only the newest lane has."""
    if release == "sid":
        return PackageSet("mysql", ("mysql-server-core",), release)
    # The -core packages hold the programs; the packages above them hold only what makes a system service.
    return PackageSet("mariadb", ("mariadb-server-core", "mariadb-client-core"), release)


class Servers:
    """What is used is written down in `used`, what could not be in `missing`: lines for a person.

    Asking for a thing that cannot be had raises NotAvailable, each time again.
    """

    def __init__(self, report: Callable[[str], None], *, syncs: bool = True) -> None:
        self._syncs = syncs
        self.used: set[str] = set()
        self.missing: set[str] = set()
        self._report = report
        self._found: dict[str, object] = {}

    @cached_property
    def run(self) -> RunFolder:
        """Return the folder of all that is started; made when first asked for."""
        return RunFolder()

    def close(self) -> None:
        """End all of it."""
        if "run" in self.__dict__:
            self.run.close()

    @property
    def rabbitmq_root(self) -> Path:
        """Return the folder below which RabbitMQ's programs are, `/` for what is installed; this may download."""
        return self._once("RabbitMQ's programs", lambda: self._root("RabbitMQ", AMQP_VARIABLE))

    @property
    def database_root(self) -> Path:
        """Return the folder below which the database's programs are, `/` for what is installed; this may download."""
        title = "MySQL" if chosen_lane() == "sid" else "MariaDB"
        return self._once("the database's programs", lambda: self._root(title, DATABASE_VARIABLE))

    @property
    def rabbitmq(self) -> Rabbitmq | ManagedRabbitmq:
        """RabbitMQ, running."""
        return self._once("RabbitMQ", self._start_rabbitmq)

    @property
    def mariadb(self) -> Databases:
        """MariaDB, or a lane's MySQL, running: a DatabaseServer if it is ours."""
        return self._once("the database", self._start_database)

    def program(self, name: str) -> Program:
        """Return a program of `PROGRAMS`."""
        return self._once(name, lambda: self._find_program(name))

    def locate(self, names: Iterable[str]) -> list[NotAvailable]:
        """Download what these fixtures need, and return what cannot be had."""
        missing = []
        for name in names:
            try:
                if name in PROGRAMS:
                    self.program(name)
                elif name == "rabbitmq" and not os.environ.get(AMQP_VARIABLE):
                    _ = self.rabbitmq_root
                elif name == "mariadb" and not os.environ.get(DATABASE_VARIABLE):
                    _ = self.database_root
            except NotAvailable as error:
                missing.append(error)
        return missing

    def _once(self, name: str, find: Callable[[], T]) -> T:
        if name not in self._found:
            try:
                self._found[name] = find()
            except NotAvailable as error:
                self._found[name] = error
                self.missing.add(str(error))
        found = self._found[name]
        if isinstance(found, NotAvailable):
            raise found
        return found  # type: ignore[return-value]  # what `find` returned before

    def _root(self, title: str, variable: str) -> Path:
        release = chosen_lane()
        if os.environ.get(variable):
            raise NotAvailable(f"a {title} of our own", f"{variable} names another", f"unsetting {variable}")
        is_rabbitmq = title == "RabbitMQ"
        is_installed = rabbitmq.installed_release if is_rabbitmq else database.is_installed
        if release is None and is_installed(MACHINE):
            return MACHINE
        wanted = (rabbitmq_packages if is_rabbitmq else database_packages)(release)
        try:
            return packages.fetch(wanted, self.run, self._report)
        except PackagesUnavailable as error:
            names = " ".join(name for name in wanted.packages if not name.startswith("erlang-"))
            remedy = f"a network for apt, or {variable}" + ("" if release else f", or apt install {names}")
            raise NotAvailable(title + _of(release), str(error), remedy) from error

    def _start_rabbitmq(self) -> Rabbitmq | ManagedRabbitmq:
        broker: Rabbitmq | ManagedRabbitmq
        if url := os.environ.get(AMQP_VARIABLE):
            management = os.environ.get(MANAGEMENT_VARIABLE) or f"http://{urlsplit(url).hostname}:15672"
            broker, origin = ManagedRabbitmq(url, management), AMQP_VARIABLE
        else:
            broker, origin = Rabbitmq(self.run, self.rabbitmq_root), _origin(self.rabbitmq_root)
        self.used.add(f"RabbitMQ {broker.version} ({origin})")
        return broker

    def _start_database(self) -> Databases:
        server: Databases
        if url := os.environ.get(DATABASE_VARIABLE):
            server, origin = Databases(url), DATABASE_VARIABLE
        else:
            root = self.database_root
            server = (MariaDB if database.is_installed(root) else MySQL)(self.run, root, syncs=self._syncs)
            origin = _origin(root)
        self.used.add(f"{server.product()} ({origin})")
        return server

    def _find_program(self, name: str) -> Program:
        wanted, _ = PROGRAMS[name]
        found = programs.installed_program(name)
        if found is None:
            try:
                found = programs.unpacked_program(name, packages.fetch(wanted, self.run, self._report))
            except PackagesUnavailable as error:
                remedy = f"a network for apt, or apt install {' '.join(wanted.packages)}"
                raise NotAvailable(name, f"it is not installed; {error}", remedy) from error
        self.used.add(f"{name} ({found.origin})")
        return found


def _of(release: str | None) -> str:
    return f" of Debian {release}" if release else ""


def _origin(root: Path) -> str:
    release = chosen_lane()
    if root == MACHINE:
        return "installed"
    return f"packages{_of(release)}" if release else "Debian's packages"
