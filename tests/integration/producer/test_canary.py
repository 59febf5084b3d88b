"""The canary: all processes share one canary at a time; the test takes the place of consumer and viewer."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiormq
import pytest
from aiohttp import web
from aiormq import spec

from mailpact_producer.service import running
from mailpact_producer.settings import CanarySettings, ProducerSettings
from tests import command

ADDRESS = "canary+ns-canary@example.org"
INTERVAL = 0.6


@dataclass
class Elsewhere:
    """A viewer with the canaries' mails, and a server that counts the site's pushes."""

    url: str
    mails: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    pushes: int = 0
    status: int = 200

    async def search(self, request: web.Request) -> web.Response:
        wanted = request.query["query"].removeprefix("message-id:")
        found = [{"ID": each} for each in self.mails if each == wanted]
        return web.json_response({"messages": found}, status=self.status)

    async def delete(self, request: web.Request) -> web.Response:
        self.deleted += (await request.json())["IDs"]
        return web.Response(text="ok")

    async def push(self, _request: web.Request) -> web.Response:
        self.pushes += 1
        return web.Response(status=self.status)


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    there = Elsewhere(f"http://127.0.0.1:{listener.getsockname()[1]}")
    app = web.Application()
    app.router.add_get("/view/api/v1/search", there.search)
    app.router.add_delete("/view/api/v1/messages", there.delete)
    app.router.add_get("/push", there.push)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    yield there
    await runner.cleanup()


@pytest.fixture
async def start(data: Any, broker: Any, browser: Callable[[str], Any]) -> AsyncIterator[Callable[..., Any]]:
    """Start a site with a canary; yield browsers for the site and for its port for operators."""
    async with AsyncExitStack() as stack:

        async def started(canary: CanarySettings | None) -> tuple[Any, Any]:
            listeners = [socket.socket(), socket.socket()]
            for listener in listeners:
                listener.bind(("127.0.0.1", 0))
            urls = [f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
            settings = ProducerSettings("http://127.0.0.1", broker.url, data.url, canary=canary)
            site = browser(urls[0])
            await stack.enter_async_context(
                running(settings, listeners[0], journey=site.journey, health=listeners[1])
            )
            return site, browser(urls[1])

        yield started


class Consumer:
    """Takes messages from the queue and publishes status events about them, in place of the consumer."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    async def take(self) -> Any:
        """Return the next message, waiting for it."""
        async with asyncio.timeout(20):
            while True:
                message = await self._channel.basic_get("email.work", no_ack=True)
                if message.delivery_tag is not None:
                    return message
                await asyncio.sleep(0.01)

    async def tell(self, event: str, message_id: str) -> None:
        body: dict[str, object] = {
            "id": str(uuid4()),
            "event": event,
            "message_id": message_id,
            "recipient": ADDRESS,
            "attempt": 1,
            "occurred_at": "2026-11-24T09:00:00Z",
            "contract": "email/2",
        }
        if event != "sent":
            body["error"] = {"code": "smtp_permanent", "detail": "550 no such mailbox"}
        properties = spec.Basic.Properties(content_type="application/json", message_type="email-status.v1")
        await self._channel.basic_publish(
            json.dumps(body).encode(), exchange="email.status", routing_key=event, properties=properties
        )

    async def deliver(self, mails: list[str]) -> None:
        """Report each message as mailed from now on."""
        while True:
            message_id = (await self.take()).header.properties.message_id
            mails.append(message_id)
            await self.tell("sent", message_id)


@asynccontextmanager
async def delivering(consumed: Consumer, mails: list[str]) -> AsyncIterator[None]:
    task = asyncio.create_task(consumed.deliver(mails))
    yield
    task.cancel()
    await asyncio.wait({task})


@asynccontextmanager
async def consumer(broker: Any) -> AsyncIterator[Consumer]:
    connection = await aiormq.connect(broker.url.url)
    yield Consumer(await connection.channel())
    await connection.close()


async def mail_health(health: Any) -> tuple[int, Any]:
    answer = await health.get("/health/mail")
    return answer.status, json.loads(answer.text)


async def until(health: Any, is_true: Callable[[int, Any], bool]) -> Any:
    """Wait until /health/mail gives the wanted answer, and return the answer."""
    try:
        async with asyncio.timeout(30):
            while not is_true(*(answer := await mail_health(health))):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"the last answer was {answer}") from None
    return answer[1]


async def test_canary_needs_its_event_and_the_viewer_and_another_follows(
    start: Any, broker: Any, elsewhere: Elsewhere
) -> None:
    canary = CanarySettings(ADDRESS, INTERVAL, f"{elsewhere.url}/view", f"{elsewhere.url}/push")
    async with broker.running(), consumer(broker) as consumed:
        _, health = await start(canary)
        message = await consumed.take()
        body, message_id = json.loads(message.body), message.header.properties.message_id
        confirmed = await until(health, lambda _, said: said["canary"]["stage"] == "confirmed")
        await consumed.tell("sent", message_id)
        sent: list[str] = []
        async with delivering(consumed, sent):
            unseen = await until(health, lambda _, said: "the viewer does not have it" in said["detail"])
            elsewhere.mails = sent
            cleared = await until(health, lambda status, _: status == 200)
            await until(health, lambda *_: len(elsewhere.deleted) >= 2 and elsewhere.pushes >= 2)
        metrics = (await health.get("/metrics")).text

    assert body["to"] == [{"address": ADDRESS}]
    assert (body["category"], "expires_at" in body) == ("canary", True)
    assert confirmed["canary"]["is_under_way"]
    assert confirmed["canary"]["message_id"] == message_id
    assert unseen["canary"]["arrived_seconds_ago"] is None
    assert set(elsewhere.deleted) <= set(sent)
    assert message_id not in elsewhere.deleted
    assert re.search(r"mail_canary_rtt_seconds_count (?![01]\.)", metrics)
    assert re.search(r'mail_canary_failures_total\{stage="sent"\} (?!0\.)', metrics)
    assert "mail_canary_last_success_timestamp_seconds 1." in metrics
    assert 'mail_canary_failures_total{stage="committed"} 0.0' in metrics
    assert ADDRESS not in metrics + json.dumps(cleared) + json.dumps(unseen)


async def test_two_processes_have_one_canary_under_way(start: Any, broker: Any, data: Any) -> None:
    async with broker.running(), consumer(broker) as consumed:
        healths = [(await start(CanarySettings(ADDRESS, INTERVAL)))[1] for _ in range(2)]
        taken = []
        for _ in range(3):
            taken.append((await consumed.take()).header.properties.message_id)
            under_way = data.rows("SELECT message_id FROM canary")
            assert under_way == [(taken[-1],)]
            await consumed.tell("sent", taken[-1])
        async with delivering(consumed, []):
            for health in healths:
                await until(health, lambda status, _: status == 200)

    assert len(set(taken)) == 3


async def test_failed_canary_is_counted_and_followed_by_another(start: Any, broker: Any) -> None:
    async with broker.running(), consumer(broker) as consumed:
        _, health = await start(CanarySettings(ADDRESS, INTERVAL))
        await consumed.tell("failed", (await consumed.take()).header.properties.message_id)
        async with delivering(consumed, []):
            await until(health, lambda status, said: said["canary"]["arrived_seconds_ago"] is not None)
        metrics = (await health.get("/metrics")).text

    assert 'mail_canary_failures_total{stage="reported"} 1.0' in metrics


async def test_administrators_see_the_late_canary_on_every_page(
    start: Any, broker: Any, data: Any, browser: Any
) -> None:
    site, health = await start(CanarySettings(ADDRESS, INTERVAL))
    await site.confirmed("ada@example.org", data)
    data.rows("UPDATE users SET is_admin = 1")
    await site.log_in("ada@example.org")

    await until(health, lambda status, said: "no canary has arrived" in said["detail"])
    late, stranger = (await site.get("/")).text, (await browser(site.url).get("/")).text
    async with broker.running(), consumer(broker) as consumed, delivering(consumed, []):
        await until(health, lambda status, _: status == 200)
        cleared = (await site.get("/")).text

    assert "no canary has arrived for" in late
    assert "look at the relay and the broker" in late
    assert [text.count("Mail does not flow") for text in (late, stranger, cleared)] == [1, 0, 0]


async def test_canary_counts_in_no_limit_and_is_no_mail_of_a_reader(start: Any, data: Any) -> None:
    _, health = await start(CanarySettings(ADDRESS, INTERVAL))

    await until(health, lambda _, said: said["canary"]["stage"] == "committed")

    assert data.rows("SELECT * FROM limits") + data.rows("SELECT * FROM mails") == []
    assert "cms_mails_granted 0.0" in (await health.get("/metrics")).text


async def test_viewer_that_fails_is_told_and_its_url_is_not(
    start: Any, broker: Any, elsewhere: Elsewhere, capfd: pytest.CaptureFixture[str]
) -> None:
    elsewhere.status = 500
    canary = CanarySettings(ADDRESS, INTERVAL, f"{elsewhere.url}/view?key=secret")
    async with broker.running(), consumer(broker) as consumed:
        _, health = await start(canary)
        async with delivering(consumed, []):
            await until(health, lambda _, said: "the viewer does not have it" in said["detail"])

    logged = "".join(capfd.readouterr())
    assert "the viewer cannot be asked" in logged
    assert "secret" not in logged
    assert ADDRESS not in logged


async def test_push_that_fails_is_counted_and_stops_nothing(
    start: Any, broker: Any, elsewhere: Elsewhere, capfd: pytest.CaptureFixture[str]
) -> None:
    elsewhere.status = 500
    canary = CanarySettings(ADDRESS, INTERVAL, push_url=f"{elsewhere.url}/push?key=secret")
    async with broker.running(), consumer(broker) as consumed:
        _, health = await start(canary)
        async with delivering(consumed, []):
            await until(health, lambda status, _: status == 200 and elsewhere.pushes >= 2)
            metrics = (await health.get("/metrics")).text

    logged = "".join(capfd.readouterr())
    assert re.search(r"mail_canary_push_failures_total (?!0\.)", metrics)
    assert "the push URL cannot be called" in logged
    assert "secret" not in repr(canary) + logged


async def test_without_a_canary_health_is_as_before(
    start: Any, broker: Any, data: Any, eventually: Any
) -> None:
    async with broker.running():
        _, health = await start(None)
        said = await until(health, lambda status, _: status == 200)

    assert said == {"flows": True, "detail": "", "canary": None}
    assert data.rows("SELECT * FROM canary") + data.rows("SELECT * FROM outbox") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--canary-push-url", "https://watch.example/s3cret"], "needs --canary"),
        (["--canary-viewer-url", "http://127.0.0.1:8025"], "needs --canary"),
        (["--canary", "nobody"], "not a plain ASCII address"),
        (["--canary", ADDRESS, "--canary-push-url", "s3cret"], "not a URL to call"),
        (["--canary", ADDRESS, "--canary-interval", "0"], "canary-interval"),
    ],
)
async def test_options_that_cannot_work_end_the_command_with_one_line(
    words: list[str], said: str, tmp_path: Path
) -> None:
    done = await asyncio.to_thread(command.run, "producer", *words, cwd=tmp_path)

    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr
    assert "s3cret" not in done.stderr
