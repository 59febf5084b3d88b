"""`mailpact status` without an id, on both brokers and databases, and on a terminal."""

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiormq
import pytest
from aiohttp import web
from sqlalchemy import Connection, insert, select, update

from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from mailpact.database import clock
from mailpact.database.engine import open_database
from mailpact.settings import DatabaseUrl
from mailpact_consumer.inbox import Inbox
from mailpact_consumer.schema import inbox, owners
from mailpact_devbroker.service import running as devbroker_running
from tests import command

pytestmark = pytest.mark.timeout(180)  # the machine may be busy, and the command starts

SECOND = 1_000_000
Status = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]


@pytest.fixture
async def amqp_url(real_servers: Any) -> AsyncIterator[str]:
    """Yield the AMQP URL of a broker with our topology, three messages waiting and a dead letter."""
    async with devbroker_running(socket.create_server(("127.0.0.1", 0)), journal=None) as broker:
        url = broker.url if real_servers is None else str(real_servers.amqp_url)
        async with aiormq.connect(url) as connection:
            await declare_all(connection, catalogue.load().topology)
            channel = await connection.channel()
            for queue in ("email.work", "email.work", "email.work", "email.dead"):
                await channel.basic_publish(b"{}", routing_key=queue)
        yield url


@pytest.fixture
async def inbox_url(real_servers: Any, tmp_path: Path) -> AsyncIterator[str]:
    """Return an inbox's URL: two mails sent just now, one long ago, one failed, one deferred, and a live consumer."""
    url = DatabaseUrl(f"sqlite:///{tmp_path / 'inbox.db'}")
    if real_servers is not None:
        url = DatabaseUrl(real_servers.database_url)
    async with open_database(url) as database:
        await Inbox(database, "o").prepare()
        await database.transact(fill)

        async def stay_alive() -> None:
            while True:
                await database.transact(lambda connection: connection.execute(renew_own))
                await asyncio.sleep(1)

        renew_own = update(owners).where(owners.c.owner == "alive").values(renewed_at=clock.now())
        renewing = asyncio.create_task(stay_alive())
        yield url.url
        renewing.cancel()
        await asyncio.wait({renewing})


def fill(connection: Connection) -> None:
    """Write the rows. "Just now" lies in the future, because a busy machine may read the inbox a minute later."""
    now = connection.execute(select(clock.now())).scalar_one()
    just_now = now + 600 * SECOND
    rows = [
        ("sent", just_now, None),
        ("sent", just_now, None),
        ("sent", now - 3600 * SECOND, None),
        ("failed", just_now, None),
        ("deferred", None, now - 900 * SECOND),
    ]
    for number, (state, ended_at, next_try_at) in enumerate(rows):
        connection.execute(
            insert(inbox).values(
                message_id=f"{number}", recipient_sha256="", state=state, owner="", token="", attempts=1,
                uncertain=0, body_sha256="", first_seen=now - 7200 * SECOND, ended_at=ended_at, next_try_at=next_try_at,
            )
        )  # fmt: skip
    connection.execute(insert(owners).values(owner="alive", renewed_at=now, name="host 42"))
    connection.execute(insert(owners).values(owner="dead", renewed_at=now - 60 * SECOND, name="host 41"))


@pytest.fixture
def status(tmp_path: Path) -> Status:
    """Run `mailpact status …` to its end."""

    async def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        job = partial(command.run, "status", *words, cwd=tmp_path, seconds=150, **variables)
        return await asyncio.to_thread(job)

    return run


async def test_one_look_tells_backlog_rates_and_versions(
    amqp_url: str, inbox_url: str, real_servers: Any, status: Status
) -> None:
    done = await status("--json", "--amqp-url", amqp_url, "--inbox-url", inbox_url)

    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["broker"].items() >= {"ok": True, "waiting": 3, "consumers": 0, "dead": 1}.items()
    numbers = {"ok": True, "deferred": 1, "overdue": 1, "sent": 2, "failed": 1, "expired": 0}
    assert found["inbox"].items() >= numbers.items()
    assert found["inbox"]["consumers"] == ["host 42"]
    assert 7_200 <= found["inbox"]["oldest_seconds"] < 10_000
    broker, database = ("devbroker", "SQLite") if real_servers is None else ("RabbitMQ", "")
    assert broker in found["broker"]["server"]
    assert found["inbox"]["server"].startswith(database)
    assert found["release"]


on_embedded_servers = pytest.mark.parametrize("real_servers", [()], indirect=True, ids=["embedded"])


@on_embedded_servers
async def test_without_a_terminal_it_is_plain_text_once(
    amqp_url: str, inbox_url: str, status: Status
) -> None:
    done = await status("--amqp-url", amqp_url, "--inbox-url", inbox_url)

    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "\nbacklog    3 messages in email.work, 0 consumers: no consumer receives messages\n" in done.stdout
    )
    assert "\nrate       2 sent, 1 failed, 0 expired in the last minute\n" in done.stdout
    assert "\x1b" not in done.stdout


async def test_nothing_that_answers_is_exit_code_3_and_each_part_says_why(status: Status) -> None:
    done = await status("--amqp-url", "amqp://127.0.0.1:1", "--health", "127.0.0.1:1")

    assert (done.returncode, done.stderr) == (3, "")
    assert "broker     cannot be asked: amqp://guest:***@127.0.0.1:1: " in done.stdout
    assert "inbox      cannot be asked: .mailpact/inbox.db is not there" in done.stdout
    assert "service    127.0.0.1:1 cannot be asked: no connection" in done.stdout


async def test_an_inbox_without_tables_and_one_of_another_release(tmp_path: Path, status: Status) -> None:
    url = DatabaseUrl(f"sqlite:///{tmp_path / 'inbox.db'}")
    url.path.touch()
    words = ("--json", "--amqp-url", "amqp://127.0.0.1:1", "--inbox-url", url.url)
    without = json.loads((await status(*words)).stdout)
    async with open_database(url) as database:
        await Inbox(database, "o").prepare()
        await database.transact(
            lambda connection: connection.exec_driver_sql("UPDATE consumer_version SET version_num = '0001'")
        )
    older = json.loads((await status(*words)).stdout)

    assert without["inbox"]["reason"] == "no consumer has made its tables in this database yet"
    assert "revision 0001 of another release" in older["inbox"]["reason"]


METRICS = {
    "consumer": "smtp_breaker_state 1.0\nlog_records_lost_total 7.0\n",
    "site": "cms_outbox_pending 2.0\ncms_outbox_oldest_age_seconds NaN\n",
}
READY = {"ready": False, "conditions": {"mail server": {"ok": False, "detail": "refused \x1b[31m"}}}


@pytest.fixture
async def service() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Yield a function that serves texts by their paths and returns the service's address."""
    runners = []

    async def start(texts: dict[str, str | bytes]) -> str:
        async def answer(request: web.Request) -> web.Response:
            text = texts.get(request.path)
            if text is None:
                raise web.HTTPNotFound
            return web.Response(body=text, status=503)

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listener).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_services_that_are_in_trouble_say_so(service: Any, status: Status) -> None:
    consumer = await service({"/readyz": json.dumps(READY), "/metrics": METRICS["consumer"]})
    mail = json.dumps({"flows": False, "detail": "no canary has arrived", "canary": {"stage": "sent"}})
    site = await service(
        {
            "/readyz": json.dumps({"ready": True, "conditions": {}}),
            "/metrics": METRICS["site"],
            "/health/mail": mail,
        }
    )
    words = ("--amqp-url", "amqp://127.0.0.1:1", "--health", consumer, "--health", site)
    done, as_json = await status(*words), await status(*words, "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert "breaker    open in 1 of 1: mail server: refused \\x1b[31m\n" in done.stdout
    assert "canary     red: no canary has arrived\n" in done.stdout
    assert "7 log records lost" in done.stdout
    found = json.loads(as_json.stdout)["services"]
    assert [each["kind"] for each in found] == ["consumer", "site"]
    assert (found[1]["outbox_pending"], found[1]["outbox_oldest_seconds"]) == (2, 0.0)
    assert found[1]["canary"] == {"stage": "sent"}


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"/readyz": "[]", "/metrics": ""},
        {"/readyz": "null", "/metrics": "up 1.0\n"},
        {"/readyz": "[" * 100_000, "/metrics": METRICS["site"]},
        {"/readyz": '{"conditions": {}}', "/metrics": b"\xff"},
        {"/readyz": '{"conditions": {}}', "/metrics": 'broken{"'},
        {"/readyz": '{"conditions": {}}', "/metrics": METRICS["site"], "/health/mail": "[]"},
        {"/readyz": "x" * 2_000_000, "/metrics": ""},
    ],
)
async def test_an_address_where_something_else_answers_breaks_nothing(texts: Any, service: Any) -> None:
    import aiohttp

    from mailpact_cli.addresses import parse_host_port
    from mailpact_cli.screen.services import ServiceWatch
    from mailpact_cli.screen.situation import Silent

    address = await service(texts)
    async with aiohttp.ClientSession() as session:
        looked = await ServiceWatch(session, parse_host_port(address)).look()

    assert isinstance(looked, Silent)


@on_embedded_servers
async def test_on_a_terminal_the_screen_is_refreshed_until_stopped(
    amqp_url: str, inbox_url: str, tmp_path: Path
) -> None:
    parent, child = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *command.MAILPACT, "status", "--amqp-url", amqp_url, "--inbox-url", inbox_url,
        cwd=tmp_path, env=command.environment(TERM="xterm", COLUMNS="100"), stdin=child, stdout=child, stderr=child,
    )  # fmt: skip
    os.close(child)
    shown = b""

    async def read_until(text: bytes) -> None:
        nonlocal shown
        async with asyncio.timeout(120):
            while text not in shown:
                shown += await asyncio.to_thread(os.read, parent, 65_536)

    await read_until(b"3 messages in email.work")
    async with aiormq.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.basic_publish(b"{}", routing_key="email.work")
    await read_until(b"4 messages in email.work, 0 consumers (+1 since the last look)")
    process.send_signal(signal.SIGINT)
    with suppress(OSError):  # the terminal was closed
        await read_until(b"what never comes")

    assert await asyncio.wait_for(process.wait(), 60) == 0
    os.close(parent)
