"""A captured mail is shown with the message that caused it, as far as the server has received that message."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiormq
import pytest
from aiormq import spec

from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from mailpact.settings import AmqpUrl
from mailpact_capture import history
from mailpact_capture.service import Settings
from mailpact_devbroker.service import running as devbroker_running

ID = "0b6f2a7e-6a53-4d1c-9a58-0c6f6a1d2e3f"
BODY = {
    "to": [{"address": "ada@example.org"}],
    "subject": "Hello",
    "text": "Confirm: https://site.example/confirm?token=s3cret\n",
}


class Broker:
    """Publishes as a producer, a consumer and a service's log do."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    async def ask(self, body: bytes, message_id: str | None = ID, **options: Any) -> None:
        given = {"message_type": "email.v2", "app_id": "shop", "content_type": "application/json"} | options
        properties = spec.Basic.Properties(message_id=message_id, **given)
        await self._channel.basic_publish(body, exchange="email", routing_key="", properties=properties)

    async def tell(self, event: str, number: int = 1, **members: Any) -> None:
        body = {
            "id": f"00000000-0000-4000-8000-{number:012}",
            "event": event,
            "message_id": ID,
            "recipient": "ada@example.org",
            "attempt": number,
            "occurred_at": f"2026-11-28T10:00:{number:02}Z",
        } | members
        await self._channel.basic_publish(
            json.dumps(body).encode(), exchange="email.status", routing_key=event
        )

    async def log(self, **members: Any) -> None:
        record = {"timestamp": "2026-11-28T10:00:00Z", "level": "info", "service": "consumer"} | members
        await self._channel.basic_publish(json.dumps(record).encode(), exchange="logs", routing_key="info")

    async def publish(self, exchange: str, body: bytes, **properties: Any) -> None:
        await self._channel.basic_publish(
            body, exchange=exchange, routing_key="", properties=spec.Basic.Properties(**properties)
        )


@asynccontextmanager
async def development_broker(folder: Path) -> AsyncIterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    url = f"amqp://guest:guest@127.0.0.1:{listener.getsockname()[1]}/"
    async with devbroker_running(listener, journal=folder / "broker.db"):
        yield url


@pytest.fixture
async def amqp_url(real_servers: Any, tmp_path: Path) -> AsyncIterator[str]:
    if real_servers is not None:
        yield real_servers.amqp_url
        return
    async with development_broker(tmp_path) as url:
        yield url


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[Broker]:
    connection = await aiormq.connect(amqp_url)
    await declare_all(connection, catalogue.load().topology)
    yield Broker(await connection.channel())
    await connection.close()


@pytest.fixture
async def listening(broker: Broker, amqp_url: str, serve: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """A capture server that listens to the broker."""
    async with serve(tmp_path / "capture.db", Settings(amqp_url=AmqpUrl.parse(amqp_url))) as server:
        await until(server, lambda told: told["listening_since"])
        yield server


async def until(server: Any, is_there: Any, message_id: str = ID) -> Any:
    """Wait until the journey is as the test needs it, and return the journey."""
    try:
        async with asyncio.timeout(30):
            while True:
                _, content, _ = await server.get(f"/api/mailpact/v1/journey/{message_id}")
                if is_there(told := json.loads(content)):
                    return told
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"the last answer was {told}") from None


def mail(text: str = "Confirm: https://site.example/confirm?token=s3cret\r\n", message_id: str = ID) -> bytes:
    head = f"Message-ID: <{message_id}.12345678@mail.example>\r\nFrom: cms@mail.example\r\n"
    return f"{head}To: ada@example.org\r\nSubject: Hello\r\n\r\n{text}".encode()


async def test_journey_goes_from_what_was_asked_to_the_mail(listening: Any, broker: Broker) -> None:
    await broker.ask(json.dumps(BODY).encode())
    await broker.log(event="mail sent", message_id=ID)
    await broker.tell("deferred", 1, smtp={"code": 451, "reply": "greylisted"})
    await listening.send(mail())
    await broker.tell("sent", 2, smtp={"code": 250, "enhanced": "2.0.0", "reply": "2.0.0 taken"})

    told = await until(listening, lambda told: len(told["events"]) == 2 and told["records"])
    page = (await listening.get(f"/journey/{ID.upper()}"))[1].decode()
    (copy,) = told["mails"][0]["copies"]
    shown = (await listening.get(f"/mail/{copy['id']}"))[1].decode()

    (asked,) = told["asked"]
    assert (asked["contract"], asked["producer"], told["copies"]) == ("email/2", "shop", 1)
    assert "s3cret" not in json.dumps(told) + page
    assert {row["verdict"] for row in asked["compared"]} == {"same", "not compared"}
    assert [event["event"] for event in told["events"]] == ["deferred", "sent"]
    assert told["hears_logs"]
    assert told["records"][0]["event"] == "mail sent"
    for words in ("greylisted", "2.0.0", "mail sent", "shop", "email/2"):
        assert words in page
    assert f'href="/journey/{ID}"' in shown
    assert "email/2 by shop" in shown


async def test_difference_between_asked_and_sent_is_marked(listening: Any, broker: Broker) -> None:
    await broker.ask(json.dumps(BODY).encode())
    await listening.send(mail("Something else"), to=("bob@example.org",))

    told = await until(listening, lambda told: told["asked"] and told["mails"])
    page = (await listening.get(f"/journey/{ID}"))[1].decode()

    different = {row["what"] for row in told["asked"][0]["compared"] if row["verdict"] == "different"}
    assert different == {"recipients", "text"}
    assert page.count("<strong>different</strong>") == 2


async def test_copies_of_a_message_and_of_a_mail_are_one_group(listening: Any, broker: Broker) -> None:
    for _ in range(3):
        await broker.ask(json.dumps(BODY).encode())
    for text in ("one", "one", "two"):
        await listening.send(mail(text))

    told = await until(listening, lambda told: told["copies"] == 3 and told["mails"])
    page = (await listening.get(f"/journey/{ID}"))[1].decode()

    (group,) = told["mails"]
    assert (len(told["asked"]), len(group["copies"]), group["same_bytes"]) == (1, 3, False)
    assert "The id was published 3 times." in page
    assert "This mail came 3 times, and the copies differ." in page


async def test_id_with_a_slash_has_a_page_and_mails_over_the_limit_are_counted(
    listening: Any, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_BYTES", 2_500)
    await broker.ask(json.dumps(BODY).encode(), "order/7")
    await broker.ask(json.dumps(BODY).encode())
    for _ in range(3):
        await listening.send(mail("y" * 900))

    named = await until(listening, lambda told: told["asked"], "order%2F7")
    told = await until(listening, lambda told: told["mails"] and told["asked"])

    assert named["message_id"] == "order/7"
    assert (len(told["mails"][0]["copies"]), told["left_out"]) == (2, 1)
    assert "recipients" not in {row["what"] for row in told["asked"][0]["compared"]}


async def test_where_nothing_was_seen_the_page_says_so(listening: Any, server: Any) -> None:
    await listening.send(b"Subject: from elsewhere\r\n\r\nx\r\n")
    await listening.send(mail())
    listed = (await listening.json("/api/v1/messages"))["messages"]
    named, foreign = [(await listening.get(f"/mail/{each['ID']}"))[1].decode() for each in listed]
    status, unknown, _ = await listening.get("/journey/7c1d8e2f-0000-4000-8000-000000000000")
    _, deaf, _ = await server.get(f"/journey/{ID}")

    assert "no message seen</span>" in named
    assert "no message seen: the Message-ID names none" in foreign
    assert status == 404
    assert "No message seen: the broker has delivered nothing with this id since" in unknown.decode()
    assert "does not listen to a broker" in deaf.decode()


async def test_hostile_messages_break_nothing_and_are_shown_as_text(listening: Any, broker: Broker) -> None:
    evil = "<script>alert(1)</script>"
    await broker.ask(b"{", "bad")
    await broker.ask(b"x" * (2 * 1024 * 1024 + 1), "large")
    await broker.ask(b"[" * 5000, "deep", message_type=evil, app_id=evil)
    await broker.ask(json.dumps({"to": evil, "subject": {"a": evil}}).encode(), evil)
    await broker.ask(b"{}", None)
    for body in (b"", b"\xff", b"[]", b'{"message_id": 5}', b'{"id": "x", "message_id": {}}'):
        await broker.publish("email.status", body)
        await broker.publish("logs", body)
        await broker.publish("email", body, message_id="mixed", headers={"x-mailpact-id": 7})
    await broker.log(event=evil, message_id=ID, service=evil)
    await broker.tell("failed", 1, error={"code": "schema", "pointer": evil, "detail": evil})
    await until(listening, lambda told: told["events"])

    pages = {}
    for name in (
        "bad",
        "large",
        "deep",
        "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "mixed",
        ID,
        "%2e%2e",
        "x" * 5000,
    ):
        status, content, _ = await listening.get(f"/journey/{name}")
        assert status in (200, 404)
        pages[name] = content.decode()
    await listening.send(mail())

    assert all("<script>alert" not in page for page in pages.values())
    assert "The body cannot be shown: invalid_json" in pages["bad"]
    assert "was not kept" in pages["large"]
    assert "too_deep" in pages["deep"]
    assert "Different bodies were published with this id" in pages["mixed"]
    assert (await listening.json("/api/v1/messages"))["total"] == 1


async def test_broker_that_is_away_keeps_no_mail_away(serve: Any, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = AmqpUrl("127.0.0.1", probe.getsockname()[1])

    async with serve(tmp_path / "capture.db", Settings(amqp_url=url)) as server:
        await server.send(mail())
        status, page, _ = await server.get(f"/journey/{ID}")

    assert status == 200
    assert "does not listen to a broker" in page.decode()
