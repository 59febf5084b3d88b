"""Fixtures of real servers, and the last lines that name which were used.

Each process of the run, and so each worker of pytest-xdist, has servers of its own, started when a test first asks for
them: a worker's tests run one after the other, so that one may kill the broker without another worker's noticing.
A download happens after collection, outside of any test's time limit.

Without a server its tests are skipped, and the last lines say so. With CI=true they fail, and so does every other
skipped test: what was not run must not look green.

With `--real-servers` only the tests that ask for RabbitMQ or MariaDB are run, for all others hold the same on any lane.
"""

import ctypes
import os
import secrets
import signal
import sys
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.servers import where
from tests.servers.database import Databases, DatabaseServer
from tests.servers.postfix import Postfix
from tests.servers.programs import Program
from tests.servers.rabbitmq import ManagedRabbitmq, Rabbitmq
from tests.servers.run_folder import VARIABLE
from tests.servers.where import NotAvailable, Servers

PR_SET_PDEATHSIG = 1  # linux/prctl.h
SERVERS = pytest.StashKey[Servers]()
WORKER_OUTPUT = "mailpact_real_servers"


def in_ci() -> bool:
    """Return whether this run is to prove something: nothing may be missing or skipped."""
    return os.environ.get("CI", "").lower() == "true"


@pytest.fixture(scope="session")
def rabbitmq(pytestconfig: pytest.Config) -> Rabbitmq | ManagedRabbitmq:
    """RabbitMQ, wherever it comes from."""
    return pytestconfig.stash[SERVERS].rabbitmq


@pytest.fixture(scope="session")
def mariadb(pytestconfig: pytest.Config) -> Databases:
    """MariaDB, wherever it comes from."""
    return pytestconfig.stash[SERVERS].mariadb


@pytest.fixture
def rabbitmq_url(rabbitmq: Rabbitmq | ManagedRabbitmq) -> Iterator[str]:
    """Yield the AMQP URL of a fresh vhost; afterwards the node is mended and the vhost deleted."""
    name = f"test-{secrets.token_hex(4)}"
    rabbitmq.add_vhost(name)
    yield rabbitmq.url(name)
    if isinstance(rabbitmq, Rabbitmq):
        rabbitmq.recover()
    rabbitmq.delete_vhost(name)


@pytest.fixture
def mariadb_url(mariadb: Databases) -> Iterator[str]:
    """Yield the URL of a fresh database; afterwards the server is mended and the database dropped."""
    name = f"test_{secrets.token_hex(4)}"
    mariadb.create(name)
    yield mariadb.url(name)
    if isinstance(mariadb, DatabaseServer):
        mariadb.recover()
    mariadb.drop(name)


@pytest.fixture
def rabbitmq_node(rabbitmq: Rabbitmq | ManagedRabbitmq) -> Rabbitmq:
    """Return the node itself, to be stopped, killed and starved; a test asks for `rabbitmq_url` beside it."""
    if not isinstance(rabbitmq, Rabbitmq):
        raise NotAvailable(
            "a RabbitMQ of our own", "another one is given", f"unsetting {where.AMQP_VARIABLE}"
        )
    return rabbitmq


@pytest.fixture
def mariadb_server(mariadb: Databases) -> DatabaseServer:
    """Return the server itself, to be stopped and killed; a test asks for `mariadb_url` beside it."""
    if not isinstance(mariadb, DatabaseServer):
        raise NotAvailable(
            "a MariaDB of our own", "another one is given", f"unsetting {where.DATABASE_VARIABLE}"
        )
    return mariadb


@pytest.fixture(scope="session")
def postfix(pytestconfig: pytest.Config) -> Iterator[Postfix]:
    """Postfix as a submission server, running: TLS and a login needed."""
    servers = pytestconfig.stash[SERVERS]
    if os.geteuid() != 0:
        raise NotAvailable("Postfix", "it starts processes as several users", "running the tests as root")
    server = Postfix(servers.run, servers.program("postfix"))
    yield server
    server.stop()


def _program(name: str) -> Any:
    @pytest.fixture(scope="session", name=name)
    def program(pytestconfig: pytest.Config) -> Program:
        return pytestconfig.stash[SERVERS].program(name)

    return program


chromium = _program("chromium")  # `launch(executable_path=chromium.path, env=chromium.environment)`
smtp_sink = _program("smtp_sink")  # as root it wants `-u nobody`
swaks, nginx, promtool, mariadb_dump = map(_program, ("swaks", "nginx", "promtool", "mariadb_dump"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that leaves out what no server can change."""
    parser.addoption(
        "--real-servers", action="store_true", help="run only the tests that ask for RabbitMQ or MariaDB"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Have a place for servers in each process, and let it end with the process's run."""
    try:
        where.chosen_lane()
    except where.UnknownLane as error:
        raise pytest.UsageError(str(error)) from error

    def report(text: str) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if isinstance(reporter, pytest.TerminalReporter):
            reporter.write_line(text)

    if hasattr(config, "workerinput") and sys.platform == "linux":
        # Linux kills this worker when the controller is killed; by itself it would notice only some 25 s later.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    servers = config.stash[SERVERS] = Servers(report, syncs=False)
    config.add_cleanup(servers.close)
    # Whatever a test starts is the keeper's to end, even when this process is killed.
    os.environ[VARIABLE] = str(servers.run.path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that ask for a real server, if nothing else is wanted."""
    if config.getoption("--real-servers"):
        kept = [item for item in items if not {"rabbitmq", "mariadb"}.isdisjoint(_wanted(item))]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept


def pytest_collection_finish(session: pytest.Session) -> None:
    """Download what the collected tests need."""
    if not session.config.option.collectonly:
        wanted = {name for item in session.items for name in _wanted(item)}
        session.config.stash[SERVERS].locate(wanted)


def _wanted(item: pytest.Item) -> set[str]:
    """Return the servers whose fixtures a test asks for, or that are named, alone or in a tuple, by its parameters."""
    if not isinstance(item, pytest.Function):
        return set()
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    named = {name for names in parameters if isinstance(names, tuple) for name in names}
    words = {str(word) for word in (*item.fixturenames, *parameters, *named)}
    return {name for name in where.NAMES if any(f"{word}_".startswith(f"{name}_") for word in words)}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip a test whose server cannot be had; make a skipped test a failed one where nothing may be skipped."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, NotAvailable):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, str(call.excinfo.value))
    if not hasattr(report, "wasxfail"):  # an expected failure is not a skipped test
        _forbid_skipping(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Make a skipped file a failed one where nothing may be skipped."""
    report = yield
    _forbid_skipping(report)
    return report


def _forbid_skipping(report: pytest.TestReport | pytest.CollectReport) -> None:
    if in_ci() and report.skipped:
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and with CI=true nothing may be: {reason}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a worker's lines to the process that prints them."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        servers = session.config.stash[SERVERS]
        output[WORKER_OUTPUT] = [sorted(servers.used), sorted(servers.missing)]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take a worker's lines."""
    used, missing = getattr(node, "workeroutput", {}).get(WORKER_OUTPUT, [[], []])
    servers = node.config.stash[SERVERS]
    servers.used.update(used)
    servers.missing.update(missing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the servers that were used, and loudly those that were not."""
    servers = config.stash[SERVERS]
    if servers.used:
        terminalreporter.section("real servers", sep="-")
        terminalreporter.write_line("\n".join(sorted(servers.used)))
    if servers.missing:
        terminalreporter.section("REAL SERVERS NOT USED", sep="!", red=True, bold=True)
        terminalreporter.write_line("\n".join(sorted(servers.missing)), red=True)
