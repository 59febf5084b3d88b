"""`mailpact send`: what it publishes, what it refuses, and how it reports the outcome of the mail."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiormq
import pytest
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp import commands

from mailpact_devbroker.service import running
from tests import command
from tests.timing import at_most

BODY = {"to": [{"address": "ada@example.org"}], "subject": "Hello", "text": "Hello, Ada."}
DATA = {"site_name": "Shop", "site_url": "https://shop.example/"}


@pytest.fixture
async def channel() -> AsyncIterator[AbstractChannel]:
    """Yield a channel on an empty development broker."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0)
    async with running(listener, journal=None) as broker:
        connection = await aiormq.connect(broker.url)
        opened = await connection.channel()
        opened.url = broker.url  # type: ignore[attr-defined]
        yield opened
        await connection.close()


@pytest.fixture
async def queue(channel: AbstractChannel) -> AbstractChannel:
    """Return the channel, after declaring a queue for the messages and the exchange for status events."""
    await channel.exchange_declare("email", exchange_type="direct", durable=True)
    await channel.exchange_declare("email.status", exchange_type="topic", durable=True)
    await channel.queue_declare("work")
    await channel.queue_bind("work", "email", "")
    return channel


async def send(channel: AbstractChannel, *arguments: str, cwd: Path | None = None, **variables: str) -> Any:
    return await asyncio.to_thread(
        command.run, "send", *arguments, cwd=cwd, MAILPACT_AMQP_URL=channel.url, **variables
    )


async def taken(channel: AbstractChannel) -> DeliveredMessage:
    got = await channel.basic_get("work", no_ack=True)
    assert not isinstance(got.delivery, commands.Basic.GetEmpty)
    return got


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, Any], str]:
    """Write a JSON file, and return its name."""

    def write(name: str, value: Any) -> str:
        (tmp_path / name).write_text(json.dumps(value))
        return str(tmp_path / name)

    return write


async def test_file_is_published_as_it_is_with_the_properties_of_the_contract(queue, file) -> None:
    name = file("m.json", BODY)

    done = await send(queue, name)

    assert (done.returncode, done.stderr) == (0, "")
    got = await taken(queue)
    properties = got.header.properties
    assert got.body == json.dumps(BODY).encode()
    assert done.stdout == f"{properties.message_id}\n"
    assert (properties.message_type, properties.content_type) == ("email.v2", "application/json")
    assert (properties.delivery_mode, properties.app_id) == (2, "mailpact-send")
    assert abs(properties.timestamp.timestamp() - time.time()) < 60


async def test_file_of_email_1_is_published_as_email_1(queue, file) -> None:
    done = await send(queue, file("m.json", {"email": "ada@example.org", "message": "Hello"}), "--json")

    got = await taken(queue)
    assert got.header.properties.message_type == "email.v1"
    assert json.loads(done.stdout) == {"message_id": got.header.properties.message_id, "events": []}


async def test_options_make_a_message_without_a_file(queue, file, tmp_path) -> None:
    (tmp_path / "Grüße.txt").write_text("é", encoding="utf-8")
    (tmp_path / "b.eml").write_bytes(b"Subject: x\n\n")

    done = await send(
        queue, "--template", "welcome/1", "--locale", "de-AT", "--data", file("d.json", DATA),
        "--to", "Ada L <ada@example.org>", "--to", "ben@example.org", "--attach", "Grüße.txt", "--attach", "b.eml",
        cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads((await taken(queue)).body) == {
        "to": [{"address": "ada@example.org", "name": "Ada L"}, {"address": "ben@example.org"}],
        "template": {"name": "welcome", "version": 1, "locale": "de-AT", "data": DATA},
        "attachments": [
            {
                "filename": "Grüße.txt",
                "content_type": "text/plain; charset=utf-8",
                "content": base64.b64encode("é".encode()).decode(),
            },
            {
                "filename": "b.eml",
                "content_type": "application/octet-stream",
                "content": base64.b64encode(b"Subject: x\n\n").decode(),
            },
        ],
    }


@pytest.mark.parametrize(
    ("body", "options", "code", "said"),
    [
        ({**BODY, "subject": "a\r\nBcc: x"}, [], 1, "schema at /subject, not"),
        ({**BODY, "colour": "red"}, [], 1, "schema at the whole body, additionalProperties"),
        (BODY, ["--to", "nobody"], 1, "schema at /to/0/address"),
        (BODY, ["--template", "welcome"], 1, "schema"),
        ({}, ["--template", "welcome", "--to", "a@b.example"], 1, "schema at /template/data, required"),
        ([], [], 1, "is no JSON object"),
        (BODY, ["--data", "d.json"], 2, "give --template too"),
        (BODY, ["--template", "welcome/x"], 2, "NAME or NAME/VERSION"),
        (BODY, ["--attach", "none.pdf"], 2, "none.pdf cannot be read"),
        (BODY, ["--wait", "-1"], 2, "--wait"),
    ],
)  # fmt: skip
async def test_message_that_breaks_its_contract_is_not_published(
    body, options, code, said, queue, file
) -> None:
    done = await send(queue, file("m.json", body), *options)

    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""
    assert isinstance((await queue.basic_get("work", no_ack=True)).delivery, commands.Basic.GetEmpty)


async def answer(channel: AbstractChannel, *events: dict[str, Any]) -> None:
    """Take messages as a consumer would, and publish these events about each."""

    async def on_message(message: DeliveredMessage) -> None:
        for event in [{"event": "sent", "message_id": "another", "recipient": "ada@example.org"}, *events]:
            body = json.dumps({"message_id": message.header.properties.message_id, **event}).encode()
            await channel.basic_publish(body, exchange="email.status", routing_key=event["event"])

    await channel.basic_consume("work", on_message, no_ack=True)


async def test_wait_ends_well_when_every_recipient_has_got_the_mail(queue, file) -> None:
    await answer(
        queue,
        {"event": "deferred", "recipient": "ada@example.org", "smtp": {"code": 450, "reply": "later"}},
        {"event": "sent", "recipient": "ada@EXAMPLE.org", "smtp": {"code": 250, "reply": "OK"}},
        {"event": "duplicate", "recipient": "ben@example.org"},
    )
    name = file("m.json", {**BODY, "bcc": [{"address": "ben@example.org"}]})

    done = await send(queue, name, "--wait", "30")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "deferred  ada@example.org  450 later",
        "sent  ada@EXAMPLE.org  250 OK",
        "duplicate  ben@example.org",
    ]


@pytest.mark.parametrize(
    "event",
    [
        {
            "event": "failed",
            "recipient": "ada@example.org",
            "error": {"code": "smtp_permanent", "detail": "no"},
        },
        {"event": "expired", "recipient": "ada@example.org", "error": {"code": "expired", "detail": "no"}},
        {"event": "rejected", "error": {"code": "schema", "pointer": "/to", "detail": "no"}},
    ],
)
async def test_wait_ends_with_1_when_there_will_be_no_mail(event, queue, file) -> None:
    await answer(queue, event)

    done = await send(queue, file("m.json", BODY), "--wait", "30", "--json")

    assert done.returncode == 1
    (heard,) = json.loads(done.stdout)["events"]
    assert heard["event"] == event["event"]
    assert event["error"]["code"] in heard["words"]


async def test_wait_in_vain_ends_with_3(queue, file) -> None:
    done = await send(queue, file("m.json", BODY), "--wait", "0.2")

    assert done.returncode == 3
    assert "no final status after 0.2 seconds" in done.stderr


async def test_message_that_no_queue_takes_ends_with_3(channel, file) -> None:
    done = await send(channel, file("m.json", BODY))

    assert done.returncode == 3
    assert "no queue receives the message" in done.stderr


def test_broker_that_is_away_ends_with_3_within_ten_seconds(file) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        done = command.run(
            "send", file("m.json", BODY), "--amqp-url", f"amqp://guest:guest@127.0.0.1:{port}/"
        )

    assert done.returncode == 3
    assert time.monotonic() - began < at_most(10)
