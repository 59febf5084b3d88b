"""The health pages report pages and mail separately: an outage of one is not an outage of the other."""

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from mailpact.amqp.errors import TopologyMismatch
from mailpact_producer import service
from mailpact_producer.service import running
from mailpact_producer.settings import ProducerSettings


@pytest.fixture
async def start(data: Any, broker: Any, browser: Callable[[str], Any]) -> AsyncIterator[Callable[[], Any]]:
    """Start a site with a port for operators; yield browsers for the site and for that port."""
    async with AsyncExitStack() as stack:

        async def started() -> tuple[Any, Any]:
            listeners = [socket.socket(), socket.socket()]
            for listener in listeners:
                listener.bind(("127.0.0.1", 0))
            urls = [f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
            settings = ProducerSettings("http://127.0.0.1", broker.url, data.url)
            site = browser(urls[0])
            await stack.enter_async_context(
                running(settings, listeners[0], journey=site.journey, health=listeners[1])
            )
            return site, browser(urls[1])

        yield started


async def test_site_is_ready_while_mail_does_not_flow_and_says_that_it_does_not(start: Any) -> None:
    site, health = await start()
    await site.register("ada@example.org")

    live, ready, mail = [await health.get(path) for path in ("/livez", "/readyz", "/health/mail")]

    assert (live.status, ready.status, mail.status) == (200, 200, 503)
    assert json.loads(ready.text)["conditions"]["mail"]["ok"] is False
    metrics = (await health.get("/metrics")).text
    assert "cms_outbox_pending 1.0" in metrics
    assert "cms_broker_connected 0.0" in metrics
    assert "cms_mails_granted 1.0" in metrics
    assert "ada" not in ready.text + mail.text + metrics


async def test_mail_flows_once_the_broker_is_there_and_not_while_a_message_waits_for_minutes(
    start: Any, broker: Any, data: Any, eventually: Any
) -> None:
    async with broker.running():
        site, health = await start()
        await site.register("ada@example.org")
        await eventually("it is settled", lambda: data.rows("SELECT 1 FROM outbox WHERE state = 'published'"))
        flowing = await health.get("/health/mail")

        data.rows(
            "UPDATE outbox SET state = 'pending', available_at = 9000000000000000,"
            " made_at_seconds = made_at_seconds - 121"
        )
        waiting = await health.get("/health/mail")

    assert (flowing.status, waiting.status) == (200, 503)
    assert "waited in the outbox for" in json.loads(waiting.text)["detail"]


async def test_without_its_database_the_site_is_not_ready_but_alive(start: Any, data: Any) -> None:
    _, health = await start()
    data.rows("ALTER TABLE outbox RENAME TO away")

    statuses = [(await health.get(path)).status for path in ("/livez", "/readyz", "/health/mail", "/metrics")]

    assert statuses == [200, 503, 503, 200]
    data.rows("ALTER TABLE away RENAME TO outbox")


async def test_exchange_that_is_put_right_is_used_without_a_restart(
    start: Any, broker: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    refusals = ["wrong kind"] * 2
    declare_all = service.declare_all

    async def refused(connection: Any, topology: Any) -> None:
        if refusals:
            raise TopologyMismatch(refusals.pop())
        await declare_all(connection, topology)

    monkeypatch.setattr(service, "declare_all", refused)
    async with broker.running():
        site, _ = await start()
        await site.register("ada@example.org")

        assert len(await broker.take(1)) == 1
    assert "".join(capfd.readouterr()).count("the exchange must be corrected") == 1
