"""Three RabbitMQ nodes, two sites, three consumers on MariaDB: nodes and a consumer are killed, and no mail is lost."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, text

from tests.servers.cluster import Cluster
from tests.servers.where import Servers

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

VHOST = "cluster"
QUEUE = "email.work"
PER_SECOND = 5
CALM_SECONDS = 15.0  # between two faults, with registrations
OUTAGE_SECONDS = 10.0
PATIENCE_SECONDS = 180.0


@pytest.fixture
def cluster(servers: Servers, rabbitmq_node: object) -> Iterator[Cluster]:
    """Yield three nodes with a vhost. `rabbitmq_node` skips the test where RabbitMQ is not available."""
    cluster = Cluster(servers.run, servers.root("rabbitmq"))
    cluster.add_vhost(VHOST)
    yield cluster
    for node in cluster.nodes:
        if node.is_running:
            super(type(node), node).kill()


class Load:
    """Readers who register at the two sites in turn, five per second."""

    def __init__(self, register: Callable[[str, int], int]) -> None:
        self._register = register
        self._is_over = threading.Event()
        self._threads = ThreadPoolExecutor(max_workers=20)
        self._answers: dict[str, Future[int]] = {}

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Register readers until the context ends; then wait for the last answers."""
        pacer = threading.Thread(target=self._pace)
        pacer.start()
        try:
            yield
        finally:
            self._is_over.set()
            pacer.join()
            self._threads.shutdown()

    def statuses(self) -> dict[str, int]:
        """Return the status of each registration by the reader's address; raise the error of a request that failed."""
        return {reader: answer.result() for reader, answer in self._answers.items()}

    def _pace(self) -> None:
        began = time.monotonic()
        while not self._is_over.wait(max(0.0, began + len(self._answers) / PER_SECOND - time.monotonic())):
            number = len(self._answers)
            reader = f"reader-{number}@example.org"
            self._answers[reader] = self._threads.submit(self._register, reader, number % 2)


def wait(what: str, fact: Callable[[], bool]) -> None:
    """Wait until the fact is true; the error after the time limit names the fact."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s in vain until {what}"
        time.sleep(0.2)


def rows(database_url: str, query: str) -> list[Any]:
    """Return the rows of a query."""
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        return list(connection.execute(text(query)).all())


def test_a_cluster_loses_its_leader_another_node_and_a_consumer_and_each_reader_gets_one_mail(
    cluster: Cluster, mariadb_url: str, mailpact_at: Any
) -> None:
    place = mailpact_at("", mariadb_url)
    place.capture()
    ports = ("site", "second site")
    consumers = []
    for number in range(3):
        place.amqp_url = cluster.url(VHOST, first=number)
        if number < 2:
            place.producer(port=ports[number])
        consumers.append(place.start_consumer())
    for consumer in consumers:
        wait("it consumes", lambda log=consumer.log: '"consuming has begun"' in log())

    load = Load(lambda reader, site: int(place.register(reader, port=ports[site])))
    with load.flowing():
        time.sleep(CALM_SECONDS)
        leader = cluster.leader(VHOST, QUEUE)
        leader.kill()
        time.sleep(OUTAGE_SECONDS)
        leader.start()
        cluster.wait_until_in_sync(VHOST)

        time.sleep(CALM_SECONDS)
        second = next(node for node in cluster.nodes if node is not leader)
        second.stop()
        time.sleep(OUTAGE_SECONDS)
        second.start()
        cluster.wait_until_in_sync(VHOST)

        time.sleep(CALM_SECONDS)
        consumers[0].kill()
        time.sleep(CALM_SECONDS)

    statuses = load.statuses()
    assert Counter(statuses.values()) == {303: len(statuses)}
    wait(
        "all messages are published",
        lambda: not rows(mariadb_url, "SELECT 1 FROM outbox WHERE state <> 'published'"),
    )
    wait("each reader has a mail", lambda: set(place.recipients()) == set(statuses))
    wait("no mail is under way", lambda: not rows(mariadb_url, "SELECT 1 FROM inbox WHERE state <> 'sent'"))
    mails = Counter(place.recipients())
    ((uncertain,),) = rows(mariadb_url, "SELECT COALESCE(SUM(uncertain), 0) FROM inbox")
    shares = [consumer.log().count('"mail sent"') for consumer in consumers]
    print(f"{len(statuses)} readers, {uncertain} uncertain, sent by each consumer: {shares}")  # noqa: T201  # the result
    assert mails.total() - len(statuses) <= uncertain
    assert rows(mariadb_url, "SELECT COUNT(*) FROM inbox")[0][0] == len(statuses)
    assert min(shares) >= len(statuses) / 10, shares
