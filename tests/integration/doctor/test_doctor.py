"""`mailpact doctor` finds each prepared misconfiguration and says what to do; it finds nothing in a sound system."""

import asyncio
import json
import socket
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiormq
import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from sqlalchemy import NullPool, create_engine, text

from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from mailpact.database.engine import open_database
from mailpact.settings import DatabaseUrl
from mailpact_consumer.inbox import Inbox
from mailpact_devbroker.service import running as devbroker_running
from tests import command
from tests.integration.doctor.conftest import Doctor, is_wrong

pytestmark = pytest.mark.timeout(180)  # the machine may be busy, and the command starts


@pytest.fixture
async def amqp_url(real_servers: Any) -> AsyncIterator[str]:
    """Yield the AMQP URL of a broker without queues."""
    if real_servers is not None:
        yield real_servers.amqp_url
        return
    async with devbroker_running(socket.create_server(("127.0.0.1", 0)), journal=None) as broker:
        yield broker.url


@pytest.fixture
async def declared(amqp_url: str) -> str:
    """Return the AMQP URL of a broker with the whole topology."""
    async with aiormq.connect(amqp_url) as connection:
        await declare_all(connection, catalogue.load().topology)
    return amqp_url


async def test_nothing_is_wrong_on_a_broker_with_the_topology(declared: str, doctor: Doctor) -> None:
    findings = await doctor("--amqp-url", declared)

    verdicts = {
        about: finding.get("verdict") for about, finding in findings.items() if about != "broker user"
    }
    assert set(verdicts.values()) <= {"ok", "unknown", None}, findings
    assert verdicts["topology"] == verdicts["legacy queue"] == "ok"


async def test_a_queue_that_will_be_refused_with_406(declared: str, doctor: Doctor) -> None:
    async with aiormq.connect(declared) as connection:
        channel = await connection.channel()
        await channel.queue_delete("email.work")
        await channel.queue_declare("email.work", durable=True)

    findings = await doctor("--amqp-url", declared)

    assert is_wrong(findings, "topology", "queue email.work exists with other arguments", "topology apply")


async def test_a_topology_that_is_not_there(amqp_url: str, doctor: Doctor) -> None:
    findings = await doctor("--amqp-url", amqp_url)

    assert is_wrong(findings, "topology", "missing: exchange email", "topology apply")
    assert is_wrong(findings, "logs", "missing: exchange logs, queue logs.all", "topology apply")


async def test_a_foreign_consumer_on_the_legacy_queue(declared: str, doctor: Doctor, tmp_path: Path) -> None:
    async def ignore(_: object) -> None: ...

    async with aiormq.connect(declared) as connection:
        channel = await connection.channel()
        await channel.queue_declare("email", durable=True)
        await channel.basic_consume("email", ignore)
        findings = await doctor("--amqp-url", declared)

    assert is_wrong(findings, "legacy queue", "1 foreign consumer(s)", "Stop the old consumer")


async def test_the_default_user_on_rabbitmq(rabbitmq_url: str, doctor: Doctor) -> None:
    findings = await doctor("--amqp-url", rabbitmq_url)

    if "//guest:" in rabbitmq_url:
        assert is_wrong(findings, "broker user", "guest", "delete_user guest")
    else:
        assert findings["broker user"]["verdict"] == "ok"


async def test_no_tls_to_servers_elsewhere(doctor: Doctor) -> None:
    findings = await doctor(
        "--amqp-url", "amqp://me:secret@broker.invalid", "--smtp-url", "smtp://mail.invalid:25"
    )

    assert is_wrong(findings, "broker TLS", "without encryption", "amqps://")
    assert is_wrong(findings, "mail server TLS", "without encryption", "--smtp-tls required")
    assert "secret" not in json.dumps(findings)


async def test_servers_that_do_not_answer(doctor: Doctor) -> None:
    findings = await doctor(
        *("--amqp-url", "amqp://127.0.0.1:1", "--smtp-url", "smtp://127.0.0.1:1"),
        *("--database-url", "mysql+pymysql://me:secret@127.0.0.1:1/site"),
    )

    assert findings["exit"]["code"] == "3"
    for about, option in (
        ("broker", "--amqp-url"),
        ("mail server", "--smtp-url"),
        ("site database", "--database-url"),
    ):
        assert findings[about]["verdict"] == "unreachable"
        assert option in findings[about]["advice"]


@asynccontextmanager
async def management(
    flags: dict[str, str], policy: dict[str, object] | None, date: str
) -> AsyncIterator[str]:
    """Serve prepared answers in place of RabbitMQ's management API; yield the URL."""

    async def feature_flags(_: web.Request) -> web.Response:
        listed = [{"name": name, "state": state} for name, state in flags.items()]
        return web.json_response(listed, headers={"Date": date} if date else {})

    async def queue(_: web.Request) -> web.Response:
        return web.json_response(
            {"name": "logs.all", "policy": "mine", "effective_policy_definition": policy}
        )

    app = web.Application()
    app.router.add_get("/api/feature-flags", feature_flags)
    app.router.add_get("/api/queues/%2F/logs.all", queue)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    await runner.cleanup()


BOUNDED: dict[str, object] = {"max-length": 5}


@pytest.mark.parametrize(
    ("flags", "policy", "date", "about", "found", "advice"),
    [
        ({"quorum_queue": "enabled", "stream_queue": "disabled"}, BOUNDED, "", "feature flags", "stream_queue",
         "enable_feature_flag stream_queue"),
        ({}, None, "", "log policy", "no policy bounds logs.all", "set_policy"),
        ({}, {"ha-mode": "all"}, "", "log policy", "no policy bounds logs.all", "set_policy"),
        ({}, BOUNDED, "Wed, 21 Oct 2015 07:28:00 GMT", "broker clock", "seconds behind", "NTP"),
    ],
)  # fmt: skip
async def test_what_the_management_api_tells(
    doctor: Doctor,
    flags: dict[str, str],
    policy: dict[str, object] | None,
    date: str,
    about: str,
    found: str,
    advice: str,
) -> None:
    async with management(flags, policy, date) as url:
        findings = await doctor("--amqp-url", "amqp://127.0.0.1:1", "--management-url", url)

    assert is_wrong(findings, about, found, advice)
    others = {"feature flags", "log policy", "broker clock"} - {about}
    assert {findings[other]["verdict"] for other in others} == {"ok"}


@asynccontextmanager
async def mail_server(*, refuses: bool = False, wants_login: bool = False) -> AsyncIterator[int]:
    """Serve SMTP on loopback; yield the port."""

    class Handler:
        async def handle_MAIL(self, _server: SMTP, _session: Session, _envelope: Envelope, *_: object) -> str:  # noqa: N802  # aiosmtpd's name
            return "550 no" if refuses else "250 OK"

    def connected() -> SMTP:
        with warnings.catch_warnings(action="ignore"):  # aiosmtpd warns of a login without TLS
            return SMTP(
                Handler(),
                auth_required=wants_login,
                authenticator=lambda *_: AuthResult(success=False),
                auth_require_tls=False,
            )

    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(connected, sock=listener)
    yield listener.getsockname()[1]
    server.close()


async def test_a_mail_server_that_refuses_our_sender(doctor: Doctor) -> None:
    async with mail_server(refuses=True) as port:
        findings = await doctor("--smtp-url", f"smtp://127.0.0.1:{port}")

    assert is_wrong(findings, "mail server", "answers 550 at MAIL", "--mail-from")


async def test_a_mail_server_that_demands_a_login(doctor: Doctor) -> None:
    async with mail_server(wants_login=True) as port:
        findings = await doctor("--smtp-url", f"smtp://127.0.0.1:{port}")

    assert is_wrong(findings, "mail server", "it demands a login", "--smtp-url")


async def test_a_mail_server_without_what_a_password_needs(doctor: Doctor) -> None:
    async with mail_server() as port:
        findings = await doctor("--smtp-url", f"smtp://me:secret@127.0.0.1:{port}")

    assert findings["mail server"]["verdict"] == "wrong"
    assert "Correct " in findings["mail server"]["advice"]
    assert "secret" not in json.dumps(findings)


async def test_tables_of_an_older_and_of_a_newer_release(
    real_servers: Any, tmp_path: Path, doctor: Doctor
) -> None:
    url = (
        DatabaseUrl(f"sqlite:///{tmp_path / 'inbox.db'}")
        if real_servers is None
        else DatabaseUrl(real_servers.database_url)
    )
    async with open_database(url) as database:
        await Inbox(database, "o").prepare()
    fine = await doctor("--inbox-url", url.url)
    await asyncio.to_thread(execute, url, "UPDATE consumer_version SET version_num = '0001'")
    older = await doctor("--inbox-url", url.url)
    await asyncio.to_thread(execute, url, "UPDATE consumer_version SET version_num = '9.0'")
    newer = await doctor("--inbox-url", url.url)

    assert fine["inbox schema"]["verdict"] == "ok"
    if real_servers is not None:
        assert (fine["inbox isolation"]["verdict"], fine["inbox clock"]["verdict"]) == ("ok", "ok")
    assert is_wrong(older, "inbox schema", "the old revision 0001", "which migrates")
    assert is_wrong(newer, "inbox schema", "does not know", "Use the release")


def execute(url: DatabaseUrl, *statements: str) -> None:
    """Run statements."""
    engine = create_engine(url.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


async def test_a_port_that_is_taken(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = f"127.0.0.1:{listener.getsockname()[1]}"
        findings = await doctor("--listen", taken, "--listen", "127.0.0.1:0")

    assert is_wrong(findings, f"port {taken}", "another program listens there", "ss -ltnp")
    assert findings["port 127.0.0.1:0"]["verdict"] == "ok"


async def test_people_read_the_findings_as_a_table(declared: str, tmp_path: Path) -> None:
    job = partial(
        command.run, "doctor", "--amqp-url", declared, "--listen", "127.0.0.1:0", cwd=tmp_path, seconds=150
    )
    done = await asyncio.to_thread(job)

    assert "are as the contracts say" in " ".join(done.stdout.split())
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == (
        "Nothing is wrong." if done.returncode == 0 else "1 to be corrected."
    )
