"""The consumer sends to the capture server as to a real one: with TLS and a login, and through its faults."""

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mailpact.telemetry import Journey
from mailpact_capture.accounts import Accounts
from mailpact_capture.service import Settings, running
from mailpact_consumer.smtp_url import SmtpUrl


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


class Captured:
    """A capture server that demands a login."""

    def __init__(self, url: str, smtp_port: int, smtps_port: int, ca_file: Path) -> None:
        self.url = url
        self.ports = {False: smtp_port, True: smtps_port}
        self.ca_file = ca_file

    def smtp_url(self, *, is_tls: bool) -> SmtpUrl:
        return SmtpUrl("127.0.0.1", self.ports[is_tls], is_tls, user="ada", password="s3cret")

    async def asked(self, method: str, path: str, body: Any = None) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, json=body) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return await answer.json()


@pytest.fixture
async def captured(tmp_path: Path) -> AsyncIterator[Captured]:
    smtp, smtps, web = listener(), listener(), listener()
    ports = smtp.getsockname()[1], smtps.getsockname()[1]
    settings = Settings(offers_starttls=True, accounts=Accounts({"ada": "s3cret"}))
    async with running(smtp, web, store=None, journey=Journey(), settings=settings, smtps=smtps) as capture:
        async with (
            aiohttp.ClientSession() as session,
            session.get(capture.url + "/api/mailpact/v1/certificate") as answer,
        ):
            ca_file = tmp_path / "capture.pem"
            ca_file.write_text(await answer.text())
        ssl.create_default_context(cafile=str(ca_file))
        yield Captured(capture.url, *ports, ca_file)


@pytest.mark.parametrize("is_tls", [False, True], ids=["starttls", "smtps"])
async def test_consumer_sends_by_tls_with_a_login(stage: Any, captured: Captured, is_tls: bool) -> None:
    smtp_url = captured.smtp_url(is_tls=is_tls)
    async with stage.consumer(smtp_url=smtp_url, smtp_ca_file=captured.ca_file):
        await stage.order("reader@tls.example", "Hello\n")
        found = await captured.asked("GET", "/api/mailpact/v1/wait?query=rcpt:reader@tls.example&timeout=40")

    assert found["messages"][0]["Username"] == "ada"
    assert found["messages"][0]["Subject"] == "Hello"


async def test_consumer_delivers_a_mail_that_the_faults_put_off(
    stage: Any, captured: Captured, eventually: Callable[..., Any]
) -> None:
    rule = {
        "stage": "rcpt",
        "recipient": "late@tls.example",
        "nth": 1,
        "code": 451,
        "text": "4.2.1 try later",
    }
    await captured.asked("PUT", "/api/mailpact/v1/faults", {"rules": [rule]})

    async with stage.consumer(smtp_url=captured.smtp_url(is_tls=False), smtp_ca_file=captured.ca_file):
        await stage.order("late@tls.example", "Late\n")
        found = await captured.asked("GET", "/api/mailpact/v1/wait?query=rcpt:late@tls.example&timeout=40")

    faults = await captured.asked("GET", "/api/mailpact/v1/faults")
    assert len(found["messages"]) == 1
    assert (faults["rules"][0]["matched"], faults["rules"][0]["applied"]) == (2, 1)
