"""Where the real servers come from, and what is running of them in one process of the test run.

A server is looked for in this order, and the first way that works is used: a URL in the environment, what is installed,
Debian's packages. Looking starts nothing. A server that a URL names is used or fails: no other server replaces it.

A lane is the generation of servers that the tests run on: the machine's own, or that of another Debian release, which
MAILPACT_TEST_DEBIAN names (`CONTRIBUTING.md` has the table). A lane of another release never uses what is installed;
its packages come with their own C library (`own_libc`). sid moves and cannot be pinned. The fixtures keep their names:
on sid `mariadb_url` leads to a MySQL.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from tests.servers import programs
from tests.servers.database import MARIADB, MARIADB_INSTALLER, Databases, DatabaseServer
from tests.servers.packages import NotAvailable, PackageSet, fetch
from tests.servers.programs import PROGRAMS, Program
from tests.servers.rabbitmq import ManagedRabbitmq, Rabbitmq
from tests.servers.run_folder import RunFolder

LANE_VARIABLE = "MAILPACT_TEST_DEBIAN"
AMQP_VARIABLE = "MAILPACT_TEST_AMQP_URL"
MANAGEMENT_VARIABLE = "MAILPACT_TEST_AMQP_MANAGEMENT_URL"
DATABASE_VARIABLE = "MAILPACT_TEST_DATABASE_URL"
MACHINE = Path("/")
LANES = ("sid", "trixie")
SERVERS = {"rabbitmq": AMQP_VARIABLE, "mariadb": DATABASE_VARIABLE}
NAMES = (*SERVERS, *PROGRAMS)
FILES = {  # an installed server has them all
    "rabbitmq": ("usr/lib/rabbitmq/lib/rabbitmq_server-*", "usr/lib/erlang/bin/erl_call"),
    "mariadb": (MARIADB, MARIADB_INSTALLER),
}
ERLANG = (
    "asn1 base crypto eldap ftp inets mnesia os-mon parsetools public-key runtime-tools snmp ssl syntax-tools tftp"
    " tools xmerl"
)

T = TypeVar("T")


def chosen_lane() -> str | None:
    """Return the Debian release that the environment names, None for the machine's own; raise ValueError."""
    name = os.environ.get(LANE_VARIABLE) or None
    if name is not None and name not in LANES:
        raise ValueError(f"{LANE_VARIABLE}={name}: there are {' and '.join(LANES)}")
    return name


def packages_of(server: str, release: str | None) -> PackageSet:
    """Return the packages of RabbitMQ and all of Erlang, of MariaDB, or of the MySQL that only the newest lane has."""
    if server == "rabbitmq":
        erlang = [f"erlang-{part}" for part in ERLANG.split()]
        return PackageSet("rabbitmq", ("rabbitmq-server", *erlang), release)
    if release == "sid":
        return PackageSet("mysql", ("mysql-server-core",), release)
    # The -core packages hold the programs; the packages above them hold only what makes a system service.
    return PackageSet("mariadb", ("mariadb-server-core", "mariadb-client-core"), release)


class Servers:
    """The servers of one process, each started when it is first asked for.

    `used` names the servers that were started or given, and `missing` says what could not be had: lines for a person.
    Asking for a thing that cannot be had raises NotAvailable, each time again.
    """

    def __init__(self, *, syncs: bool = True) -> None:
        self._syncs = syncs
        self.used: set[str] = set()
        self.missing: set[str] = set()
        self._found: dict[str, object] = {}

    @cached_property
    def run(self) -> RunFolder:
        """Return the folder of all that is started; made when first asked for."""
        return RunFolder()

    def close(self) -> None:
        if "run" in self.__dict__:
            self.run.close()

    def root(self, server: str) -> Path:
        """Return the folder below which a server's programs are, `/` for what is installed; this may download."""
        if os.environ.get(SERVERS[server]):
            raise NotAvailable(f"a {server} of our own is not available: {SERVERS[server]} names another")
        return self._once(f"{server}'s root", lambda: _find(server))

    @property
    def rabbitmq(self) -> Rabbitmq | ManagedRabbitmq:
        return self._once("rabbitmq", self._start_rabbitmq)

    @property
    def mariadb(self) -> Databases:
        """MariaDB, or a lane's MySQL, running: a DatabaseServer if it is ours."""
        return self._once("mariadb", self._start_database)

    def program(self, name: str) -> Program:
        return self._once(name, lambda: programs.find(name))

    def download(self, names: Iterable[str]) -> None:
        """Download what these fixtures need, except a server that a URL names."""
        for name in names:
            with suppress(NotAvailable):
                self.root(name) if name in SERVERS else self.program(name)

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

    def _start_rabbitmq(self) -> Rabbitmq | ManagedRabbitmq:
        broker: Rabbitmq | ManagedRabbitmq
        if url := os.environ.get(AMQP_VARIABLE):
            management = os.environ.get(MANAGEMENT_VARIABLE) or f"http://{urlsplit(url).hostname}:15672"
            broker = ManagedRabbitmq(url, management)
        else:
            broker = Rabbitmq(self.run, self.root("rabbitmq"))
        self._note(f"RabbitMQ {broker.version}", "rabbitmq")
        return broker

    def _start_database(self) -> Databases:
        server: Databases
        if url := os.environ.get(DATABASE_VARIABLE):
            server = Databases(url)
        else:
            server = DatabaseServer(self.run, self.root("mariadb"), syncs=self._syncs)
        self._note(server.product(), "mariadb")
        return server

    def _note(self, what: str, server: str) -> None:
        variable = SERVERS[server]
        self.used.add(f"{what} ({variable if os.environ.get(variable) else f'below {self.root(server)}'})")


def _find(server: str) -> Path:
    release = chosen_lane()
    if release is None and all(any(MACHINE.glob(path)) for path in FILES[server]):
        return MACHINE
    return fetch(packages_of(server, release))
