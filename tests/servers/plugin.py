"""Fixtures of real servers, and the last lines that name which were used.

Each process of the run, and so each worker of pytest-xdist, has servers of its own, started when a test first asks for
them: a worker's tests run one after the other, so a test may kill the broker and no other worker notices. A download
happens after collection, outside of any test's time limit.

If a server is not available, its tests are skipped, and the last lines say so. With CI=true every skipped test fails
instead, so that a run that skipped a test cannot pass.

The tests that ask for RabbitMQ or MariaDB have the marker `real_server`.
"""

import os
import secrets
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.servers import where
from tests.servers.database import Databases, DatabaseServer
from tests.servers.packages import NotAvailable
from tests.servers.rabbitmq import ManagedRabbitmq, Rabbitmq
from tests.servers.run_folder import VARIABLE
from tests.servers.where import Servers

SERVERS = pytest.StashKey[Servers]()
FIXTURES = {f"{name}{kind}": name for name in where.SOURCES for kind in ("", "_url", "_node", "_server")}


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Servers:
    """Return the servers of this process, for a test that starts more servers itself."""
    return pytestconfig.stash[SERVERS]


def _fixture(name: str) -> Any:
    """Return the fixture of a server or a program; the fixture starts the server."""

    @pytest.fixture(scope="session", name=name)
    def found(servers: Servers) -> object:
        return getattr(servers, name) if hasattr(Servers, name) else servers.program(name)

    return found


rabbitmq, mariadb, postfix, nginx = map(_fixture, ("rabbitmq", "mariadb", "postfix", "nginx"))
promtool, mariadb_dump = map(_fixture, ("promtool", "mariadb_dump"))
chromium = _fixture("chromium")  # `launch(executable_path=chromium.path, env=chromium.environment)`


@pytest.fixture
def rabbitmq_url(rabbitmq: Rabbitmq | ManagedRabbitmq) -> Iterator[str]:
    """Yield the AMQP URL of a fresh vhost; afterwards repair the node and delete the vhost."""
    name = f"test-{secrets.token_hex(4)}"
    rabbitmq.add_vhost(name)
    yield rabbitmq.url(name)
    if isinstance(rabbitmq, Rabbitmq):
        rabbitmq.recover()
    rabbitmq.delete_vhost(name)


@pytest.fixture
def mariadb_url(mariadb: Databases) -> Iterator[str]:
    """Yield the URL of a fresh database; afterwards repair the server and drop the database."""
    name = f"test_{secrets.token_hex(4)}"
    mariadb.create(name)
    yield mariadb.url(name)
    if isinstance(mariadb, DatabaseServer):
        mariadb.recover()
    mariadb.drop(name)


@pytest.fixture
def rabbitmq_node(servers: Servers) -> Rabbitmq | ManagedRabbitmq:
    """Return the node itself, which the test may stop or kill; the test also uses the fixture `rabbitmq_url`."""
    servers.root("rabbitmq")
    return servers.rabbitmq


@pytest.fixture
def mariadb_server(servers: Servers) -> Databases:
    """Return the server itself, which the test may stop or kill; the test also uses the fixture `mariadb_url`."""
    servers.root("mariadb")
    return servers.mariadb


def pytest_configure(config: pytest.Config) -> None:
    """Make the servers' object of this process; all servers end with the run."""
    config.addinivalue_line("markers", "real_server: asks for RabbitMQ or MariaDB; set by the plugin itself")
    try:
        where.chosen_lane()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    servers = config.stash[SERVERS] = Servers(syncs=False)
    config.add_cleanup(servers.close)
    if hasattr(config, "workeroutput"):  # a worker sends this to the process that prints the last lines
        config.workeroutput["servers"] = servers.used, servers.missing
    # The keeper ends every process that a test starts, even when this process is killed.
    os.environ[VARIABLE] = str(servers.run.path)


@pytest.hookimpl(tryfirst=True)  # before pytest looks at the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use RabbitMQ or MariaDB: all other tests do the same on each lane."""
    for item in items:
        if not _wanted(item).isdisjoint(where.URL_VARIABLES):
            item.add_marker("real_server")


def pytest_collection_finish(session: pytest.Session) -> None:
    if not session.config.option.collectonly:
        wanted = {name for item in session.items for name in _wanted(item)}
        session.config.stash[SERVERS].download(wanted)


def _wanted(item: pytest.Item) -> set[str]:
    """Return the servers whose fixtures a test uses, or that parameters of the test name, alone or in a tuple."""
    words: list[object] = list(getattr(item, "fixturenames", ()))
    for parameter in item.callspec.params.values() if hasattr(item, "callspec") else ():
        words += parameter if isinstance(parameter, tuple) else [parameter]
    return {FIXTURES[word] for word in words if isinstance(word, str) and word in FIXTURES}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip a test whose server is not available."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, NotAvailable):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, str(call.excinfo.value))
    return report


@pytest.hookimpl(wrapper=True)  # before pytest counts the report
def pytest_runtest_logreport(
    report: pytest.TestReport | pytest.CollectReport,
) -> Generator[None, object, object]:
    """With CI=true, report a skipped test or file as failed; a test that is expected to fail is not a skipped test."""
    is_skipped = report.skipped and not hasattr(report, "wasxfail")
    if is_skipped and os.environ.get("CI", "").lower() == "true":
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and with CI=true nothing may be: {reason}"
    return (yield)


pytest_collectreport = pytest_runtest_logreport


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    used, missing = getattr(node, "workeroutput", {}).get("servers", ((), ()))
    servers = node.config.stash[SERVERS]
    servers.used.update(used)
    servers.missing.update(missing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print which servers were used, and in red which servers were not."""
    servers = config.stash[SERVERS]
    if servers.used:
        terminalreporter.section("real servers", sep="-")
        terminalreporter.write_line("\n".join(sorted(servers.used)))
    if servers.missing:
        terminalreporter.section("REAL SERVERS NOT USED", sep="!", red=True, bold=True)
        terminalreporter.write_line("\n".join(sorted(servers.missing)), red=True)
