"""What holds for every test, and the two grounds on which they stand: what is embedded, and the real servers."""

import gc
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings

pytest_plugins = ["tests.servers.plugin"]

# The machine is shared: how long one example takes says nothing, and is no reason to fail.
settings.register_profile("mailpact", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mailpact")
# For make test-unit, which neither keeps examples nor makes them small.
settings.register_profile(
    "quick",
    settings.get_profile("mailpact"),
    max_examples=10,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)

EMBEDDED, REAL = (), ("rabbitmq_url", "mariadb_url")


def pytest_collection() -> None:
    """Collect tests without the garbage collector, which finds nothing there to free."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Keep the garbage collector from visiting the collected tests again and again: a tenth of the unit tests' time."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Collect what is left once: pytest does so five times, to report errors of destructors, and once finds them."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True, slots=True)
class RealServers:
    """A vhost and a database of the test's own."""

    amqp_url: str
    database_url: str


@pytest.fixture(params=[EMBEDDED, REAL], ids=["embedded", "real servers"])
def real_servers(request: pytest.FixtureRequest) -> RealServers | None:
    """Return None at first: development broker and SQLite. Then the same test again on RabbitMQ and MariaDB."""
    if request.param == EMBEDDED:
        return None
    return RealServers(*(str(request.getfixturevalue(name)) for name in request.param))
