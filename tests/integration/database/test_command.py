"""The whole journey with MariaDB instead of database files, started by the command line."""

import json
import os
import re
import subprocess
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text

from mailpact.database.transactions import Database
from tests import command
from tests.command import MAILPACT, environment

PATIENCE_SECONDS = 40
ANY_PORT = "127.0.0.1:0"
LISTEN = ("--cms-listen", ANY_PORT, "--viewer-listen", ANY_PORT, "--smtp-listen", ANY_PORT)
run = partial(command.run, seconds=PATIENCE_SECONDS)


async def test_demo_runs_on_rabbitmq_and_mariadb_and_site_and_consumer_share_the_database(
    tmp_path: Path, rabbitmq_url: str, mariadb_url: str, empty: Database
) -> None:
    urls = {"MAILPACT_AMQP_URL": rabbitmq_url, "MAILPACT_DATABASE_URL": mariadb_url}
    done = run("up", "--demo", "--once", "--json", *LISTEN, cwd=tmp_path, **urls)

    def kept(connection: Connection) -> tuple[object, ...]:
        outbox = connection.execute(text("SELECT state, body FROM outbox")).one()
        inbox = connection.execute(text("SELECT state, smtp_code FROM inbox")).one()
        names = inspect(connection).get_table_names()
        return (*outbox, *inbox, sum(name.endswith("_version") for name in names))

    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert (shown["amqp"], shown["database"]) == ("rabbitmq", "mysql")
    assert await empty.transact(kept) == ("published", None, "sent", 250, 2)
    assert os.listdir(tmp_path) == []


def test_sites_and_consumers_that_start_at_once_on_an_empty_database_all_come_up(
    tmp_path: Path, mariadb_url: str
) -> None:
    away = ("--amqp-url", "amqp://guest:guest@127.0.0.1:1/")
    site = ("producer", "--listen", ANY_PORT, "--database-url", mariadb_url, *away)
    consumer = ("consumer", "--inbox-url", mariadb_url, *away)
    with ExitStack() as started:
        processes = [start(started, *words, cwd=tmp_path) for words in (site, consumer, site, consumer)]
        said = [first_word(process, {"site", "consuming", "mailpact:"}) for process in processes]
        for process in processes:
            process.terminate()
            process.communicate(timeout=PATIENCE_SECONDS)

    assert said == ["site", "consuming", "site", "consuming"]
    assert [process.returncode for process in processes] == [0] * 4


def start(ending: ExitStack, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start the command, and stop it when the test ends."""
    words = [*MAILPACT, *arguments]
    process = subprocess.Popen(
        words, cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    ending.enter_context(process)
    ending.callback(process.kill)
    return process


def first_word(process: subprocess.Popen[str], words: set[str]) -> str | None:
    """Return the word at the beginning of the first line that starts with one of these words, or None."""
    assert process.stderr is not None
    begun = (json.loads(line)["event"] if line.startswith("{") else line for line in process.stderr)
    return next((word for word in (line.split(maxsplit=1)[0] for line in begun) if word in words), None)


def test_a_server_that_is_not_there_is_said_in_one_line_without_its_password(tmp_path: Path) -> None:
    url = "mysql+pymysql://u:secret@127.0.0.1:1/mail"
    done = run("up", "--once", "--demo", *LISTEN, "--database-url", url, cwd=tmp_path)

    assert done.returncode == 3
    assert re.fullmatch(
        r"mailpact: the database mysql.*u:\*\*\*@127\.0\.0\.1:1/mail cannot be.*\n", done.stderr
    )
    assert ("secret" in done.stderr, list(tmp_path.iterdir())) == (False, [])


@pytest.mark.parametrize(
    "arguments", [("producer", "--listen", ANY_PORT, "--database-url"), ("consumer", "--inbox-url")]
)
def test_a_service_waits_for_a_server_that_is_not_there_and_stops_when_asked(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    url = "mysql+pymysql://u:secret@127.0.0.1:1/mail"
    service = subprocess.Popen([*MAILPACT, *arguments, url], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert service.stderr is not None
    said = json.loads(service.stderr.readline())
    service.terminate()
    _, rest = service.communicate(timeout=PATIENCE_SECONDS)

    assert said["event"] == "cannot connect to the database, trying again"
    assert "secret" not in said["reason"]
    assert (service.returncode, rest) == (0, "")
