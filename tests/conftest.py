"""Settings for every test, and the servers that tests run on: development broker and SQLite, or real servers."""

import gc
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings

pytest_plugins = ["tests.servers.plugin"]

# The machine is shared: how long one example takes says nothing, and must not fail a test.
settings.register_profile("mailpact", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mailpact")
# For make test-unit, which neither stores examples nor makes them small.
settings.register_profile(
    "quick",
    settings.get_profile("mailpact"),
    max_examples=10,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)

EMBEDDED, REAL = (), ("rabbitmq_url", "mariadb_url")
REAL_SERVERS = "real servers"
ONE_EXAMPLE_IN = ("tests/integration/producer/", "tests/integration/consumer/")


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each further example of a test that runs with its first example on real servers as long.

    `make test` runs all examples on the embedded servers, and `make test-faults` runs the rest on real servers.
    """
    seen: set[str] = set()
    for item in items:
        function, _, example = item.nodeid.partition("[")
        if function.startswith(ONE_EXAMPLE_IN) and REAL_SERVERS in example:
            if function in seen:
                item.add_marker(pytest.mark.long)
            seen.add(function)


def pytest_collection() -> None:
    """Switch the garbage collector off during collection, where it would find nothing to free."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exclude the collected tests from garbage collection, which would take a tenth of the unit tests' time."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Collect garbage once at the end: pytest collects five times to report errors of destructors; once is enough."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True, slots=True)
class RealServers:
    """The URLs of a vhost and a database that belong to the test alone."""

    amqp_url: str
    database_url: str


@pytest.fixture(params=[EMBEDDED, REAL], ids=["embedded", REAL_SERVERS])
def real_servers(request: pytest.FixtureRequest) -> RealServers | None:
    """Return None for development broker and SQLite; then run the same test again on RabbitMQ and MariaDB."""
    if request.param == EMBEDDED:
        return None
    return RealServers(*(str(request.getfixturevalue(name)) for name in request.param))
