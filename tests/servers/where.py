"""The choice of real servers and programs for the tests, and the servers that run in one process of the test run.

A server comes from the first of these that exists: a URL in the environment, the installed programs, Debian's packages.
This search starts no server. If a URL names a server that does not work, the tests fail: no other server replaces it.

A lane is the generation of servers that the tests run on: the machine's own, or that of another Debian release, which
MAILPACT_TEST_DEBIAN names (`CONTRIBUTING.md` has the table). A lane of another release never uses installed servers;
its packages come with their own C library (`own_libc`). The packages of sid can change every day. The fixtures keep
their names: on sid `mariadb_url` is the URL of a MySQL. On each lane, programs come from the machine's own release.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.servers.database import MARIADB, MARIADB_INSTALLER, Databases, DatabaseServer
from tests.servers.packages import NotAvailable, fetch, library_path
from tests.servers.postfix import Postfix
from tests.servers.rabbitmq import ERL_CALL, RELEASES, ManagedRabbitmq, Rabbitmq
from tests.servers.run_folder import RunFolder

LANE_VARIABLE = "MAILPACT_TEST_DEBIAN"
URL_VARIABLES = {"rabbitmq": "MAILPACT_TEST_AMQP_URL", "mariadb": "MAILPACT_TEST_DATABASE_URL"}
LANES = ("sid", "trixie")
ERLANG = (
    "asn1 base crypto eldap ftp inets mnesia os-mon parsetools public-key runtime-tools snmp ssl syntax-tools tftp"
    " tools xmerl"
)
POSTFIX = "postfix sasl2-bin libsasl2-2 libsasl2-modules libsasl2-modules-db"
SOURCES = {
    "rabbitmq": (" erlang-".join(["rabbitmq-server", *ERLANG.split()]), RELEASES, ERL_CALL),
    # The -core packages hold the programs; the packages that depend on them add only a system service.
    "mariadb": ("mariadb-server-core mariadb-client-core", MARIADB, MARIADB_INSTALLER),
    "postfix": (POSTFIX, "usr/lib/postfix/sbin/master", "usr/sbin/saslpasswd2"),
    "smtp_sink": (POSTFIX, "usr/sbin/smtp-sink"),
    "nginx": ("nginx nginx-common", "usr/sbin/nginx"),
    "promtool": ("prometheus", "usr/bin/promtool"),
    "mariadb_dump": ("mariadb-client", "usr/bin/mariadb-dump"),
    "chromium": ("chromium chromium-common", "usr/lib/chromium/chromium"),
}
"""For each fixture Debian's packages, and the files by which an installed one is known: a program is the first."""


class Program(NamedTuple):
    """A program's path, and the variables that its environment needs besides the usual variables."""

    path: Path
    environment: dict[str, str]


def chosen_lane() -> str | None:
    """Return the Debian release that the environment names, or None without one; raise ValueError if it is unknown."""
    name = os.environ.get(LANE_VARIABLE) or None
    if name is not None and name not in LANES:
        raise ValueError(f"{LANE_VARIABLE}={name}: there are {' and '.join(LANES)}")
    return name


class Servers:
    """The servers of one process; a server starts when a test first uses it.

    `used` has a line of text for each server that was started or that a URL names, and `missing` for each server or
    program that is not available. Each use of something that is not available raises NotAvailable.
    """

    def __init__(self, *, syncs: bool = True) -> None:
        self._syncs = syncs
        self.run = RunFolder()
        self.used: set[str] = set()
        self.missing: set[str] = set()
        self._failures: dict[str, NotAvailable] = {}

    def close(self) -> None:
        self.run.close()

    def root(self, name: str) -> Path:
        """Return the root folder of a server or program, `/` if it is installed; this can download packages."""
        if _url_of(name):
            raise NotAvailable(f"a {name} of our own is not available: {URL_VARIABLES[name]} names another")
        if name not in self._failures:
            try:
                return _find(name)
            except NotAvailable as error:
                self._failures[name] = error
                self.missing.add(str(error))
        raise self._failures[name]

    def program(self, name: str) -> Program:
        root = self.root(name)
        return Program(root / SOURCES[name][1], library_path(root))

    def download(self, names: Iterable[str]) -> None:
        """Download what these fixtures need, except a server that a URL names."""
        for name in names:
            with suppress(NotAvailable):
                self.root(name)

    @cached_property
    def rabbitmq(self) -> Rabbitmq | ManagedRabbitmq:
        broker: Rabbitmq | ManagedRabbitmq
        if url := _url_of("rabbitmq"):
            usual = f"http://{urlsplit(url).hostname}:15672"
            broker = ManagedRabbitmq(url, os.environ.get("MAILPACT_TEST_AMQP_MANAGEMENT_URL") or usual)
        else:
            broker = Rabbitmq(self.run, self.root("rabbitmq"))
        self._note(f"RabbitMQ {broker.version}", "rabbitmq")
        return broker

    @cached_property
    def mariadb(self) -> Databases:
        """The running MariaDB, or MySQL on some lanes; a DatabaseServer if this process started the server."""
        url = _url_of("mariadb")
        server = Databases(url) if url else DatabaseServer(self.run, self.root("mariadb"), syncs=self._syncs)
        self._note(server.product(), "mariadb")
        return server

    @cached_property
    def postfix(self) -> Postfix:
        """The running Postfix, a submission server that demands TLS and a login."""
        if os.geteuid() != 0:
            raise NotAvailable(
                "Postfix is not available: it starts processes as several users, so it takes root"
            )
        return Postfix(self.run, self.root("postfix"))

    def _note(self, what: str, name: str) -> None:
        self.used.add(f"{what} ({URL_VARIABLES[name] if _url_of(name) else f'below {self.root(name)}'})")


def _url_of(name: str) -> str | None:
    return os.environ.get(URL_VARIABLES.get(name, "")) or None


def _find(name: str) -> Path:
    packages, *files = SOURCES[name]
    release = chosen_lane() if name in URL_VARIABLES else None
    if release is None and all(any(Path("/").glob(file)) for file in files):
        return Path("/")
    return fetch("mysql-server-core" if (name, release) == ("mariadb", "sid") else packages, release)
