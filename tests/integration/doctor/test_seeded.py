"""`mailpact doctor` finds what is misconfigured on real servers; each test misconfigures a server on purpose.

The tests of `test_doctor.py` need no server of their own, and simulate the answers of RabbitMQ's management API. Here
the API is RabbitMQ's own, and the servers are private, so that their whole configuration may be wrong.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import aiormq
import pytest
from sqlalchemy import NullPool, create_engine, text

from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from mailpact.settings import DatabaseUrl
from tests.integration.doctor.conftest import Doctor, is_wrong
from tests.servers.database import DatabaseServer
from tests.servers.rabbitmq import Rabbitmq
from tests.servers.run_folder import RunFolder
from tests.servers.where import Servers

pytestmark = pytest.mark.timeout(300)  # the machine may be busy, a server and the command start

VHOST = "doctors"
FLAGS = ("quorum_queue", "stream_queue")


class WithoutFlags(Rabbitmq):
    """A node whose features are disabled, except those that its release requires, as after an upgrade."""

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"RABBITMQ_FEATURE_FLAGS": ""}


@pytest.fixture
def old_node(rabbitmq_url: str, servers: Servers) -> Iterator[Rabbitmq]:
    """Return a private node with the management API, whose feature flags are those of an upgraded old release."""
    assert rabbitmq_url  # the fixture makes the run look for RabbitMQ's programs
    with closing(RunFolder()) as run:
        node = WithoutFlags(run, servers.root("rabbitmq"), plugin="management")
        node.add_vhost(VHOST)
        yield node


@pytest.mark.long
async def test_feature_flags_and_the_policy_that_are_missing(old_node: Rabbitmq, doctor: Doctor) -> None:
    management = f"http://127.0.0.1:{old_node.management_port}"
    words = ("--amqp-url", old_node.url(VHOST), "--management-url", management)
    if not old_node.version.startswith("3.10"):
        pytest.skip("this release requires the features")
    without_flags = await doctor(*words)
    for flag in FLAGS:
        await asyncio.to_thread(old_node.call, f"ok = rabbit_feature_flags:enable({flag})")
    async with aiormq.connect(old_node.url(VHOST)) as connection:
        await declare_all(connection, catalogue.load().topology)
    without_policy = await doctor(*words)
    await asyncio.to_thread(
        old_node.set_policy, VHOST, name="logs", queues="^logs", definition='{<<"max-length">>, 100000}'
    )
    mended = await doctor(*words)
    while mended["log policy"]["verdict"] == "wrong":  # the management API knows a policy some seconds later
        mended = await doctor(*words)

    assert is_wrong(
        without_flags, "feature flags", "quorum_queue, stream_queue", "enable_feature_flag stream_queue"
    )
    assert without_policy["feature flags"]["verdict"] == "ok"
    assert is_wrong(without_policy, "log policy", "no policy bounds logs.all", "set_policy")
    others = [finding for finding in mended.values() if finding.get("verdict") == "wrong"]
    assert others == []
    assert mended["broker clock"]["verdict"] == "ok"


async def test_the_default_user_guest(rabbitmq_node: Rabbitmq, rabbitmq_url: str, doctor: Doctor) -> None:
    server, _, vhost = rabbitmq_url.rpartition("/")
    rabbitmq_node.add_user("guest", "guest", vhost)
    try:
        findings = await doctor("--amqp-url", f"amqp://guest:guest@{server.partition('@')[2]}/{vhost}")
    finally:
        rabbitmq_node.delete_user("guest")

    assert is_wrong(findings, "broker user", "default user guest", "delete_user guest")


async def test_a_login_that_the_broker_refuses(rabbitmq_url: str, doctor: Doctor) -> None:
    server, _, vhost = rabbitmq_url.rpartition("/")

    findings = await doctor("--amqp-url", f"amqp://nobody:wrong@{server.partition('@')[2]}/{vhost}")

    assert is_wrong(findings, "broker", "refuses access", "Correct --amqp-url")


@pytest.fixture
async def private_database(mariadb_url: str, servers: Servers) -> AsyncIterator[DatabaseServer]:
    """Yield a private database server."""
    assert mariadb_url  # the fixture makes the run look for the server's programs
    with closing(RunFolder()) as run:
        yield await asyncio.to_thread(DatabaseServer, run, servers.root("mariadb"))


def execute(url: str, *statements: str) -> None:
    """Run statements."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.mark.long
async def test_isolation_level_clock_and_a_replica(private_database: DatabaseServer, doctor: Doctor) -> None:
    private_database.create("site")
    administrator = DatabaseUrl(private_database.url("site")).url
    # A server runs `init_connect` for every user except administrators.
    user = administrator.replace("//mailpact:", "//plain:")
    password = user.split(":")[2].partition("@")[0]
    execute(
        administrator,
        f"CREATE USER 'plain'@'127.0.0.1' IDENTIFIED BY '{password}'",
        "GRANT ALL PRIVILEGES ON site.* TO 'plain'@'127.0.0.1'",
    )
    fine = await doctor("--database-url", user)
    execute(administrator, "SET GLOBAL TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    strict = await doctor("--database-url", user)
    execute(
        administrator,
        "SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET GLOBAL init_connect = 'SET timestamp = UNIX_TIMESTAMP() - 3600'",
        "SET GLOBAL read_only = ON",
    )
    behind = await doctor("--database-url", user)

    assert (fine["site database isolation"]["verdict"], fine["site database clock"]["verdict"]) == (
        "ok",
        "ok",
    )
    assert is_wrong(strict, "site database isolation", "default is SERIALIZABLE", "READ-COMMITTED")
    assert is_wrong(behind, "site database clock", "seconds behind this machine's", "NTP")
    assert is_wrong(behind, "site database isolation", "read-only", "primary server")
