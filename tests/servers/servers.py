"""All real servers and programs of one process of the test run: located once, started when first asked for."""

import os
from collections.abc import Callable
from functools import cached_property
from typing import assert_never

from tests.servers import discovery, mariadb, programs
from tests.servers.compose import Compose
from tests.servers.database_server import DatabaseServer
from tests.servers.databases import Databases
from tests.servers.discovery import Given, InContainers, NotAvailable, OnDisk, Report, Source
from tests.servers.managed_rabbitmq import ManagedRabbitmq
from tests.servers.mariadb import MariaDB
from tests.servers.mysql import MySQL
from tests.servers.programs import Program, ProgramName
from tests.servers.rabbitmq import Rabbitmq
from tests.servers.run_folder import RunFolder


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
        """The folder of all that is started; made when first asked for."""
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
        """Where RabbitMQ comes from; asking for it may download, and starts nothing."""
        return discovery.locate_rabbitmq(os.environ, self.run, self._report)

    @cached_property
    def mariadb_source(self) -> Source:
        """Where MariaDB, or a lane's MySQL, comes from; asking for it may download, and starts nothing."""
        return discovery.locate_database(os.environ, self.run, self._report)

    @cached_property
    def rabbitmq(self) -> Rabbitmq | ManagedRabbitmq | NotAvailable:
        """RabbitMQ, running."""
        source = self.rabbitmq_source
        broker: Rabbitmq | ManagedRabbitmq
        match source:
            case Given(url):
                broker = ManagedRabbitmq.at(url, os.environ.get(discovery.MANAGEMENT_VARIABLE))
            case OnDisk(root):
                broker = Rabbitmq(self.run, root)
            case InContainers():
                broker = self._compose.rabbitmq()
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
                server = (MariaDB if mariadb.is_installed(root) else MySQL)(self.run, root)
            case InContainers():
                server = self._compose.mariadb()
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
            found = discovery.locate_program(name, self.run, self._report)
            self._programs[name.title] = found
            if isinstance(found, NotAvailable):
                self.missing.add(str(found))
            else:
                self.used.add(f"{name.title} ({found.origin})")
        return self._programs[name.title]

    def locate(self, names: set[str]) -> list[NotAvailable]:
        """Download what is needed of these fixtures' names; give what cannot be had."""
        sources: dict[str, Callable[[], object]] = {
            "rabbitmq": lambda: self.rabbitmq_source,
            "mariadb": lambda: self.mariadb_source,
            "chromium": lambda: self.program(programs.CHROMIUM),
            "smtp_sink": lambda: self.program(programs.SMTP_SINK),
            "postfix": lambda: self.program(programs.POSTFIX),
            "swaks": lambda: self.program(programs.SWAKS),
        }
        found = [source() for name, source in sources.items() if name in names]
        return [source for source in found if isinstance(source, NotAvailable)]

    @cached_property
    def _compose(self) -> Compose:
        return Compose(self.run)
