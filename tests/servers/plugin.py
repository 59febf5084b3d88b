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
from typing import Any, NoReturn

import pytest

from tests.servers import keeper, programs, where
from tests.servers.database import Databases, DatabaseServer
from tests.servers.postfix import Postfix
from tests.servers.programs import Program, ProgramName
from tests.servers.rabbitmq import ManagedRabbitmq, Rabbitmq
from tests.servers.where import NotAvailable, Servers

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LANE_NAMES = {"rabbitmq", "mariadb"}
NAMES = LANE_NAMES | {"chromium", "smtp_sink", "swaks", "postfix", "nginx", "promtool", "mariadb_dump"}
SERVERS = pytest.StashKey[Servers]()
WORKER_OUTPUT = "mailpact_real_servers"


def in_ci() -> bool:
    """Return whether this run is to prove something: nothing may be missing or skipped."""
    return os.environ.get("CI", "").lower() == "true"


@pytest.fixture(scope="session")
def rabbitmq(pytestconfig: pytest.Config) -> Rabbitmq | ManagedRabbitmq:
    """RabbitMQ, wherever it comes from."""
    broker = pytestconfig.stash[SERVERS].rabbitmq
    if isinstance(broker, NotAvailable):
        _absent(str(broker))
    return broker


@pytest.fixture(scope="session")
def mariadb(pytestconfig: pytest.Config) -> DatabaseServer | Databases:
    """MariaDB, wherever it comes from."""
    server = pytestconfig.stash[SERVERS].mariadb
    if isinstance(server, NotAvailable):
        _absent(str(server))
    return server


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
def mariadb_url(mariadb: DatabaseServer | Databases) -> Iterator[str]:
    """Yield the URL of a fresh database; afterwards the server is mended and the database dropped."""
    name = f"test_{secrets.token_hex(4)}"
    databases = mariadb.databases if isinstance(mariadb, DatabaseServer) else mariadb
    databases.create(name)
    yield databases.url(name)
    if isinstance(mariadb, DatabaseServer):
        mariadb.recover()
    databases.drop(name)


@pytest.fixture
def rabbitmq_node(rabbitmq: Rabbitmq | ManagedRabbitmq) -> Rabbitmq:
    """Return the node itself, to be stopped, killed and starved; a test asks for `rabbitmq_url` beside it."""
    if not isinstance(rabbitmq, Rabbitmq):
        _absent("this RabbitMQ is somebody else's: it must not be harmed")
    return rabbitmq


@pytest.fixture
def mariadb_server(mariadb: DatabaseServer | Databases) -> DatabaseServer:
    """Return the server itself, to be stopped and killed; a test asks for `mariadb_url` beside it."""
    if not isinstance(mariadb, DatabaseServer):
        _absent("this MariaDB is somebody else's: it must not be harmed")
    return mariadb


@pytest.fixture(scope="session")
def chromium(pytestconfig: pytest.Config) -> Program:
    """Return a browser: `launch(executable_path=chromium.path, env=chromium.environment)`."""
    return _program(pytestconfig, programs.CHROMIUM)


@pytest.fixture(scope="session")
def smtp_sink(pytestconfig: pytest.Config) -> Program:
    """Postfix's mail sink; as root it wants `-u nobody`."""
    return _program(pytestconfig, programs.SMTP_SINK)


@pytest.fixture(scope="session")
def swaks(pytestconfig: pytest.Config) -> Program:
    """Return a mail client for scripts."""
    return _program(pytestconfig, programs.SWAKS)


@pytest.fixture(scope="session")
def postfix(pytestconfig: pytest.Config) -> Iterator[Postfix]:
    """Postfix as a submission server, running: TLS and a login needed."""
    program = _program(pytestconfig, programs.POSTFIX)
    if os.geteuid() != 0:
        _absent("Postfix starts processes as several users, which only root may do")
    server = Postfix(pytestconfig.stash[SERVERS].run, program)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nginx(pytestconfig: pytest.Config) -> Program:
    """Return a reverse proxy."""
    return _program(pytestconfig, programs.NGINX)


@pytest.fixture(scope="session")
def promtool(pytestconfig: pytest.Config) -> Program:
    """Return the tool that tests Prometheus' rules."""
    return _program(pytestconfig, programs.PROMTOOL)


@pytest.fixture(scope="session")
def mariadb_dump(pytestconfig: pytest.Config) -> Program:
    """MariaDB's tool for backups."""
    return _program(pytestconfig, programs.MARIADB_DUMP)


def _program(config: pytest.Config, name: ProgramName) -> Program:
    program = config.stash[SERVERS].program(name)
    if isinstance(program, NotAvailable):
        _absent(str(program))
    return program


def _absent(because: str) -> NoReturn:
    if in_ci():
        pytest.fail(because, pytrace=False)
    pytest.skip(because)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that leaves out what no server can change."""
    parser.addoption(
        "--real-servers", action="store_true", help="run only the tests that ask for RabbitMQ or MariaDB"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Have a place for servers in each process, and let it end with the process's run."""
    try:
        where.chosen_lane(os.environ)
    except where.UnknownLane as error:
        raise pytest.UsageError(str(error)) from error

    def report(text: str) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if isinstance(reporter, pytest.TerminalReporter):
            reporter.write_line(text)

    if hasattr(config, "workerinput"):
        _die_with_the_parent()
    servers = Servers(report)
    config.stash[SERVERS] = servers
    config.add_cleanup(servers.close)
    # Whatever a test starts is the keeper's to end, even when this process is killed.
    os.environ[keeper.VARIABLE] = str(servers.run.path)


def _die_with_the_parent() -> None:
    """Let Linux kill this worker when the controller is killed; by itself it would notice only some 25 s later."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that ask for a real server, if nothing else is wanted."""
    if not config.getoption("--real-servers"):
        return
    kept = [item for item in items if isinstance(item, pytest.Function) and _wanted(item) & LANE_NAMES]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def pytest_collection_finish(session: pytest.Session) -> None:
    """Download what the collected tests need."""
    if not session.config.option.collectonly:
        wanted = {
            name for item in session.items if isinstance(item, pytest.Function) for name in _wanted(item)
        }
        session.config.stash[SERVERS].locate(wanted)


def _wanted(item: pytest.Function) -> set[str]:
    """Return the servers whose fixtures a test asks for, or that are named, alone or in a tuple, by its parameters."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    named = {name for names in parameters if isinstance(names, tuple) for name in names}
    words = {str(word) for word in (*item.fixturenames, *parameters, *named)}
    return {name for name in NAMES if any(word == name or word.startswith(f"{name}_") for word in words)}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a skipped test a failed one where nothing may be skipped; an expected failure is not a skipped test."""
    report = yield
    if in_ci() and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = _forbidden(item, report.longrepr)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Make a skipped file a failed one where nothing may be skipped."""
    report = yield
    if in_ci() and report.skipped:
        report.outcome = "failed"
        report.longrepr = _forbidden(collector, report.longrepr)
    return report


def _forbidden(node: pytest.Item | pytest.Collector, skipped: object) -> str:
    reason = skipped[-1] if isinstance(skipped, tuple) else skipped
    return f"{node.nodeid} was skipped, and with CI=true nothing may be: {reason}"


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
        for line in sorted(servers.used):
            terminalreporter.write_line(line)
    if servers.missing:
        terminalreporter.section("REAL SERVERS NOT USED", sep="!", red=True, bold=True)
        for line in sorted(servers.missing):
            terminalreporter.write_line(line, red=True)
