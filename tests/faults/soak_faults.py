"""The system that `soak` runs, and the faults that happen to it."""

import json
import os
import signal
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy import NullPool, create_engine, text

from tests.faults.conftest import Mailpact, Process, _free_port
from tests.servers.packages import NotAvailable
from tests.servers.rabbitmq import Rabbitmq
from tests.servers.where import Servers

RETRY_SCHEDULE = "1s 2s 3s 5s 8s 5m"
UNANSWERED_SECONDS = 420.0
"""A mail whose final dot got no answer is tried again after five minutes, and then it must be sent."""


class System(Mailpact):
    """Two sites and two consumers. The second ones are killed and stopped; the first ones run throughout."""

    def __init__(self, folder: Path, node: Rabbitmq | None, vhost: str, real: Any) -> None:
        super().__init__(folder, real)
        self.node, self.vhost = node, vhost
        self._health = {name: f"127.0.0.1:{_free_port()}" for name in ("consumer", "site")}
        self._has_steady: set[str] = set()
        self.settle_seconds = 0.0
        if node is None:
            self.devbroker = self.broker()
        self.mail_server = self.capture()
        self.steady_consumer, self.steady_site = self.start_consumer(), self.producer("site")
        self.other_consumer, self.other_site = self.start_consumer(), self.producer("second site")

    @property
    def steady(self) -> Mapping[str, str]:
        """Return the processes that run throughout, and the addresses of their health pages."""
        return {f"first {name}": address for name, address in self._health.items()}

    def _words(self, command: str, port: str = "site") -> list[str]:
        words = super()._words(command, port)
        name = "consumer" if command == "consumer" else "site"
        if command == "consumer":
            words[words.index("--retry-schedule") + 1] = RETRY_SCHEDULE
            words += [
                "--smtp-connections",
                "4",
            ]  # idle connections stay open for a minute; they would look like a leak
        if name in self._has_steady:
            return words
        self._has_steady.add(name)
        return [*words, "--health", self._health[name]]

    def stored(self) -> list[str]:
        """Return the addresses of all readers in the site's database."""
        return [row.email for row in self._ask("cms.db", "SELECT email FROM users")]

    def inbox(self) -> dict[str, tuple[str, int]]:
        """Return state and possible copies by the hash of the recipient."""
        query = "SELECT recipient_sha256, state, uncertain + unanswered AS copies FROM inbox"
        return {row.recipient_sha256: (row.state, row.copies) for row in self._ask("inbox.db", query)}

    def on_its_way(self) -> dict[str, int]:
        """Return how many messages are not finished, by place; an empty result means that all are."""
        outbox = "SELECT count(*) AS n FROM outbox WHERE state <> 'published'"
        inbox = "SELECT count(*) AS n FROM inbox WHERE ended_at IS NULL"
        places = {
            "outbox": self._ask("cms.db", outbox)[0].n,
            "email.work": self.waiting("email.work"),
            "inbox": self._ask("inbox.db", inbox)[0].n,
            "no mail yet": len(set(self.stored()) - set(self.recipients())),
        }
        return {place: count for place, count in places.items() if count}

    def put_faults(self, *rules: dict[str, object]) -> None:
        """Set the mail server's fault rules; without rules there are no faults."""
        url, body = (
            f"{self.viewer_url}/api/mailpact/v1/faults",
            json.dumps({"seed": 1, "rules": rules}).encode(),
        )
        request = urllib.request.Request(
            url,
            body if rules else None,
            {"Content-Type": "application/json"},
            method="PUT" if rules else "DELETE",
        )
        urllib.request.urlopen(request, timeout=30).close()

    def _ask(self, file: str, query: str) -> list[Any]:
        engine = create_engine(self._database(file), poolclass=NullPool)
        with engine.connect() as connection:
            return list(connection.execute(text(query)).all())


Fault = Callable[[System], AbstractContextManager[None]]


def _killed(process: Callable[[System], Process]) -> Fault:
    @contextmanager
    def fault(system: System) -> Iterator[None]:
        process(system).kill()
        yield
        process(system).start()

    return fault


def _stopped(process: Callable[[System], Process]) -> Fault:
    @contextmanager
    def fault(system: System) -> Iterator[None]:
        process(system).stop()
        yield
        process(system).start()

    return fault


def _frozen(process: Callable[[System], Process]) -> Fault:
    @contextmanager
    def fault(system: System) -> Iterator[None]:
        os.kill(process(system).process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process(system).process.pid, signal.SIGCONT)

    return fault


def _mail_server(*rules: dict[str, object], settle_seconds: float = 0.0) -> Fault:
    @contextmanager
    def fault(system: System) -> Iterator[None]:
        system.settle_seconds = max(system.settle_seconds, settle_seconds)
        system.put_faults(*rules)
        yield
        system.put_faults()

    return fault


def _node(begin: Callable[[Rabbitmq], object], end: Callable[[Rabbitmq], object]) -> Fault:
    @contextmanager
    def fault(system: System) -> Iterator[None]:
        assert system.node is not None
        begin(system.node)
        yield
        end(system.node)

    return fault


@contextmanager
def _cut(system: System) -> Iterator[None]:
    """Close all connections to the broker, as an operator can do."""
    assert system.node is not None
    system.node.close_connections(system.vhost)
    yield


@contextmanager
def _mail_server_killed(system: System) -> Iterator[None]:
    system.settle_seconds = UNANSWERED_SECONDS
    system.mail_server.kill()
    yield
    system.mail_server.start()


FAULTS: Mapping[str, Fault] = {
    "consumer killed": _killed(lambda system: system.other_consumer),
    "consumer stopped": _stopped(lambda system: system.other_consumer),
    "consumer frozen": _frozen(lambda system: system.steady_consumer),
    "site killed": _killed(lambda system: system.other_site),
    "site stopped": _stopped(lambda system: system.other_site),
    "site frozen": _frozen(lambda system: system.steady_site),
    "mail-server refuses for now": _mail_server(
        {"stage": "rcpt", "probability": 50, "code": 451, "text": "4.2.1 busy"}
    ),
    "mail-server closes connections": _mail_server({"stage": "connect", "probability": 60, "code": 421}),
    "mail-server disconnects at MAIL": _mail_server({"stage": "mail", "probability": 40, "disconnect": True}),
    "mail-server is slow": _mail_server({"stage": "rcpt", "delay": 1.5}),
    "mail-server stopped": _stopped(lambda system: system.mail_server),
    "mail-server frozen": _frozen(lambda system: system.mail_server),
}
UNANSWERED_FAULTS: Mapping[str, Fault] = {
    "mail-server killed": _mail_server_killed,
    "mail-server loses its replies": _mail_server(
        {"stage": "stored", "probability": 20, "disconnect": True}, settle_seconds=UNANSWERED_SECONDS
    ),
}
NODE_FAULTS: Mapping[str, Fault] = {
    "broker killed": _node(Rabbitmq.kill, Rabbitmq.start),
    "broker stopped": _node(Rabbitmq.stop_application, Rabbitmq.start_application),
    "broker frozen": _node(Rabbitmq.freeze, Rabbitmq.thaw),
    "broker out of memory": _node(Rabbitmq.raise_memory_alarm, Rabbitmq.clear_memory_alarm),
    "broker cut off": _cut,
}
DEVBROKER_FAULTS: Mapping[str, Fault] = {
    "broker killed": _killed(lambda system: system.devbroker),
    "broker stopped": _stopped(lambda system: system.devbroker),
    "broker frozen": _frozen(lambda system: system.devbroker),
}


def faults_of(system: System, left_seconds: float) -> dict[str, Fault]:
    """Return the faults of a system; faults that need minutes to settle only for a long run."""
    slow = UNANSWERED_FAULTS if left_seconds > UNANSWERED_SECONDS / 2 else {}
    return {**FAULTS, **slow, **(DEVBROKER_FAULTS if system.node is None else NODE_FAULTS)}


def _on_real_servers(servers: Servers, folder: Path) -> System | None:
    try:
        node, databases = servers.rabbitmq, servers.mariadb
    except NotAvailable:
        return None
    if not isinstance(node, Rabbitmq):
        return None
    name = f"soak_{uuid.uuid4().hex[:8]}"
    node.add_vhost(name)
    databases.create(name)
    real = SimpleNamespace(amqp_url=node.url(name), database_url=databases.url(name))
    return System(folder, node, name, real)


@contextmanager
def started_system(folder: Path, say: Callable[[str], None]) -> Iterator[System]:
    """Start the whole system; stop it at the end."""
    servers = Servers()
    system = None
    try:
        system = _on_real_servers(servers, folder) or System(folder, None, "", None)
        for line in sorted(servers.used | servers.missing):
            say(line)
        yield system
    finally:
        if system is not None:
            system.stop_all()
        servers.close()
