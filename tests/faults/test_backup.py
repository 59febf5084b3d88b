"""A dump of MariaDB and RabbitMQ's definitions are restored into fresh servers; the tests say what still holds."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import NullPool, create_engine, text

from tests.servers.database import DatabaseServer
from tests.servers.packages import library_path
from tests.servers.rabbitmq import Rabbitmq
from tests.servers.where import Program, Servers

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

MAILED, QUEUED, WAITING, LATE = (f"{name}@example.org" for name in ("mailed", "queued", "waiting", "late"))


@pytest.fixture
def fresh(
    servers: Servers, rabbitmq_node: object, mariadb_server: DatabaseServer
) -> Iterator[tuple[Rabbitmq, DatabaseServer]]:
    """Yield a broker and a database server with nothing in them."""
    if not mariadb_server.product().startswith("MariaDB"):
        pytest.skip("the dump is taken by MariaDB's own tool")
    node, server = (
        Rabbitmq(servers.run, servers.root("rabbitmq")),
        DatabaseServer(servers.run, servers.root("mariadb")),
    )
    yield node, server
    server.stop()
    node.kill()


def words_for(program: Path, url: str, *words: str) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the environment of one of MariaDB's programs for a database."""
    parts = urlsplit(url)
    login = [f"--host={parts.hostname}", f"--port={parts.port}", f"--user={parts.username}"]
    return [str(program), "--no-defaults", *login, *words, parts.path[1:]], {"MYSQL_PWD": str(parts.password)}


def dump(program: Program, url: str, file: Path) -> None:
    """Dump a database into a file, as docs/how-to/production.md does."""
    words, login = words_for(program.path, url, "--single-transaction")
    with file.open("wb") as output:
        subprocess.run(
            words, env=os.environ | program.environment | login, stdout=output, check=True, timeout=60
        )


def leave_out_bindings_of_exclusive_queues(path: Path) -> None:
    """Remove bindings of queues that are not exported, as the jq command of docs/how-to/production.md does."""
    definitions = json.loads(path.read_text())
    queues = {(queue["vhost"], queue["name"]) for queue in definitions["queues"]}
    definitions["bindings"] = [
        binding
        for binding in definitions["bindings"]
        if binding["destination_type"] != "queue" or (binding["vhost"], binding["destination"]) in queues
    ]
    path.write_text(json.dumps(definitions))


def load(root: Path, url: str, file: Path) -> None:
    """Load a dump into an empty database."""
    words, login = words_for(root / "usr/bin/mariadb", url)
    with file.open("rb") as dumped:
        subprocess.run(
            words, env=os.environ | library_path(root) | login, stdin=dumped, check=True, timeout=60
        )


def count(url: str, query: str) -> int:
    """Return the number that a query yields."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return int(connection.execute(text(query)).scalar_one())


@pytest.mark.parametrize(
    "is_sent_before_the_loss", [False, True], ids=["lost at once", "lost after more mail"]
)
def test_a_restored_system_mails_what_waited_in_the_outbox_and_knows_what_was_mailed(  # one sequence of steps
    is_sent_before_the_loss: bool,
    fresh: tuple[Rabbitmq, DatabaseServer],
    rabbitmq_node: Rabbitmq,
    rabbitmq_url: str,
    mariadb_url: str,
    mailpact_at: Any,
    mariadb_dump: Program,
    wait_until: Any,
    tmp_path: Path,
) -> None:
    place = mailpact_at(rabbitmq_url, mariadb_url)
    place.capture()
    consumer, site = place.consumer(), place.producer()
    assert place.register(MAILED) == 303
    wait_until("the first mail is there", lambda: place.mails(MAILED))
    consumer.stop()
    assert place.register(QUEUED) == 303
    wait_until("its message is in the queue", lambda: place.waiting("email.work") == 1)
    rabbitmq_node.control("export_definitions", str(tmp_path / "definitions.json"))
    rabbitmq_node.stop_application()
    assert place.register(WAITING) == 303
    dump(mariadb_dump, mariadb_url, tmp_path / "mailpact.sql")
    rabbitmq_node.start_application()
    if is_sent_before_the_loss:
        consumer.start()
        assert place.register(LATE) == 303
        for reader in (QUEUED, WAITING, LATE):
            wait_until(f"mail to {reader}", lambda reader=reader: place.mails(reader))
    for process in (site, consumer):
        if process.process.poll() is None:
            process.stop()

    node, server = fresh
    server.create("restored")
    restored_url = server.url("restored")
    load(server.root, restored_url, tmp_path / "mailpact.sql")
    leave_out_bindings_of_exclusive_queues(tmp_path / "definitions.json")
    node.control("import_definitions", str(tmp_path / "definitions.json"))
    vhost = rabbitmq_url.rpartition("/")[2]
    place.amqp_url = f"amqp://mailpact:{rabbitmq_node.password}@127.0.0.1:{node.port}/{vhost}"
    declared = place.consumers("email.work"), place.waiting("email.work"), place.waiting("email.dead")
    place._database_url = restored_url
    before = len(place.mails(WAITING))
    place.consumer()
    place.producer(port="second site")
    wait_until("what waited is mailed", lambda: len(place.mails(WAITING)) == before + 1)
    assert place.register("new@example.org", port="second site") == 303
    wait_until("a new reader gets a mail", lambda: place.mails("new@example.org"))

    assert declared == (0, 0, 0)
    assert len(place.mails(MAILED)) == 1
    assert count(restored_url, "SELECT COUNT(*) FROM inbox WHERE state = 'sent'") == 3
    assert count(restored_url, "SELECT COUNT(*) FROM users") == 4
    assert count(restored_url, f"SELECT COUNT(*) FROM users WHERE email = '{LATE}'") == 0
    # A message that only the broker had is lost with the broker's disk; a mail sent after the dump is sent again.
    assert len(place.mails(QUEUED)) == int(is_sent_before_the_loss)
    assert len({text_of(mail) for mail in place.mails(WAITING)}) == 1


def text_of(mail: bytes) -> bytes:
    """Return a mail without the header fields that the receiving server added."""
    return mail[mail.index(b"Message-ID:") :] if b"Message-ID:" in mail else mail
