"""Fixtures for the languages of other teams: their schema engines, and the programs on the pages of docs/how-to.

A language whose tools are missing is named in the last lines of the run, and with CI=true it is a failure. The last
lines also hold the table of the schema engines.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.polyglot import workshops
from tests.polyglot.engines import Engine
from tests.polyglot.questions import Question, left_out, questions
from tests.polyglot.services import Broker, RunningSystem
from tests.polyglot.workshops import NotAvailable, Workshop
from tests.toolchains import skip_without

ASKED = pytest.StashKey[list[tuple[Engine, int, int]]]()


@pytest.fixture(scope="session")
def asked() -> tuple[Question, ...]:
    """Return every schema, with every body that is validated against it."""
    return questions()


def opened(config: pytest.Config, kind: type[Workshop]) -> Workshop:
    """Return a workshop; if its language is missing, skip the test and name the language at the end of the run."""
    try:
        return kind()
    except NotAvailable as error:
        skip_without(config, str(error))


@pytest.fixture(scope="session")
def python() -> Workshop:
    return workshops.Python()


@pytest.fixture(scope="session")
def node(pytestconfig: pytest.Config) -> Workshop:
    return opened(pytestconfig, workshops.Node)


@pytest.fixture(scope="session")
def go(pytestconfig: pytest.Config) -> Workshop:
    return opened(pytestconfig, workshops.Go)


@pytest.fixture(scope="session")
def java(pytestconfig: pytest.Config) -> Workshop:
    return opened(pytestconfig, workshops.Java)


@pytest.fixture(scope="session")
def rust(pytestconfig: pytest.Config) -> Workshop:
    return opened(pytestconfig, workshops.Rust)


@pytest.fixture(scope="session")
def running_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """Yield all of Mailpact in one process."""
    running = RunningSystem(tmp_path_factory.mktemp("up"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Yield a broker without exchanges and queues of its own."""
    running = Broker(tmp_path_factory.mktemp("devbroker"))
    yield running
    running.stop()


@pytest.fixture
def disagreements(pytestconfig: pytest.Config, asked: tuple[Question, ...]) -> Callable[[Engine], list[str]]:
    """Return a function that compares an engine's answers with the expected ones, with a line for each difference."""

    def compared(engine: Engine) -> list[str]:
        assert len(engine.answers) == len(asked)
        found = [
            line for pair in zip(asked, engine.answers, strict=True) for line in engine.differences(*pair)
        ]
        instances = sum(len(answer) for answer in engine.answers if not isinstance(answer, str))
        pytestconfig.stash.setdefault(ASKED, []).append((engine, instances, len(found)))
        return found

    return compared


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print for each engine how many bodies it validated, and how often it disagreed."""
    table = config.stash.get(ASKED, [])
    if not table:
        return
    terminalreporter.section("schema engines", sep="-")
    row = "{:<28} {:>8} {:>9} {:>14}"
    terminalreporter.write_line(row.format("engine", "version", "instances", "disagreements"))
    for engine, instances, differences in table:
        terminalreporter.write_line(row.format(engine.name, engine.version, instances, differences))
    terminalreporter.write_line(
        f"{len(questions())} schemas each; {left_out()} vectors break the rules that come before any schema "
        "(JSON, size, depth, names twice) and are left out"
    )
