"""A message exists if and only if its registration was committed, and the answer never waits for the broker."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mailpact.telemetry import Point
from mailpact_producer import relay
from tests.timing import at_most

RUNNER = """
import asyncio, os, socket, sys
from mailpact.settings import AmqpUrl, DatabaseUrl
from mailpact_cli.environment import new_journey
from mailpact_cli.log_output import configure_logging
from mailpact_producer.service import running
from mailpact_producer.settings import ProducerSettings

async def main(amqp_url, database_url, die_at):
    configure_logging(verbose=True)  # to stderr: stdout tells the URL alone
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = ProducerSettings(url, AmqpUrl.parse(amqp_url), DatabaseUrl(database_url), mail_limit_network=0)
    os.environ["MAILPACT_FAULT_POINT"] = die_at
    async with running(settings, listener, journey=new_journey()):
        print(url, flush=True)
        await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_registration_is_published_as_the_contract_says(
    start_site: Any, broker: Any, data: Any
) -> None:
    async with broker.running():
        site = await start_site()

        answer = await site.register("ada@example.org")

        (message,) = await broker.take(1)
        assert answer.status == 303
        body = json.loads(message.body)
        assert body["to"] == [{"address": "ada@example.org"}]
        assert (body["template"]["name"], body["template"]["locale"]) == ("confirm-address", "en")
        properties = message.header.properties
        assert (message.exchange, message.routing_key) == ("email", "")
        assert (properties.message_type, properties.content_type) == ("email.v2", "application/json")
        assert (properties.delivery_mode, properties.app_id) == (2, "mailpact-producer")
        assert abs(properties.timestamp.timestamp() - time.time()) < 60
        assert data.rows("SELECT message_id, traceparent FROM outbox") == [
            (properties.message_id, properties.headers["traceparent"])
        ]


async def test_message_of_an_earlier_release_is_still_published(
    start_site: Any, broker: Any, data: Any, eventually: Any
) -> None:
    site = await start_site()
    await site.register("ada@example.org")
    earlier = b'{"email":"ada@example.org","message":"Please confirm your address"}'
    data.rows("UPDATE outbox SET contract = 'email/1', body = :body, traceparent = NULL", body=earlier)

    async with broker.running():
        (message,) = await broker.take(1)

    assert (message.body, message.header.properties.message_type) == (earlier, "email.v1")
    assert "traceparent" not in (message.header.properties.headers or {})


async def test_confirmed_message_is_published_and_its_body_erased(
    start_site: Any, broker: Any, data: Any, eventually: Any
) -> None:
    async with broker.running():
        site = await start_site()

        await site.register("ada@example.org")

        await eventually("it is settled", lambda: data.rows("SELECT 1 FROM outbox WHERE state = 'published'"))
        assert data.rows("SELECT state, body FROM outbox") == [("published", None)]


async def test_message_leaves_at_its_commit_and_not_at_the_next_look_at_the_outbox(
    start_site: Any, broker: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(relay, "POLL_SECONDS", 3600)
    async with broker.running():
        site = await start_site()

        for number in range(3):
            await site.register(f"reader-{number}@example.org")
            assert len(await broker.take(1)) == 1


async def test_message_that_another_process_committed_is_found(
    start_site: Any, broker: Any, data: Any, eventually: Any
) -> None:
    async with broker.running():
        site = await start_site()
        await site.register("ada@example.org")
        (first,) = await broker.take(1)
        await eventually("it is settled", lambda: data.rows("SELECT 1 FROM outbox WHERE state = 'published'"))

        data.rows("UPDATE outbox SET state = 'pending', available_at = 0, body = :body", body=first.body)

        (second,) = await broker.take(1)
        assert second.body == first.body


async def test_known_address_gets_the_same_answer_and_another_mail(site: Any, data: Any) -> None:
    first = await site.register("ada@example.org")
    data.rows("UPDATE users SET confirmed_at = 1, delete_at = NULL")

    second = await site.register("ada@EXAMPLE.ORG", name="Somebody else", password="another password")

    told = ("Location", "Set-Cookie", "Content-Length")
    assert [second.status, *(second.headers.getall(name) for name in told)] == [
        first.status,
        *(first.headers.getall(name) for name in told),
    ]
    assert data.rows("SELECT name FROM users") == [("Ada",)]
    assert [mail.template for mail in data.mails()] == ["confirm-address", "account-exists"]


async def test_hundred_registrations_of_one_address_make_one_reader_and_one_message(
    site: Any, data: Any
) -> None:
    hidden = await site.hidden_fields()
    form = hidden | {"name": "Ada", "email": "ada@example.org", "password": "correct horse battery"}

    answers = [
        await asyncio.gather(*(site.post("/register", data=form) for _ in range(20))) for _ in range(5)
    ]

    assert {answer.status for batch in answers for answer in batch} == {303}
    assert data.rows("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM outbox)") == [(1, 1)]


@pytest.mark.parametrize(
    "wrong",
    [{"email": "ada"}, {"email": "ada@example.org,b@example.org"}, {"name": " "}, {"password": "short"}],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_wrong_input_makes_neither_reader_nor_message(
    site: Any, data: Any, wrong: dict[str, str]
) -> None:
    answer = await site.register(**{"email": "ada@example.org"} | wrong)

    assert answer.status == 422
    assert data.rows("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM outbox)") == [(0, 0)]


async def test_broker_away_costs_the_reader_nothing_and_the_message_leaves_when_it_is_back(
    start_site: Any, broker: Any, data: Any, eventually: Any
) -> None:
    site = await start_site()

    answer = await site.register("ada@example.org")

    assert answer.status == 303
    assert data.rows("SELECT state, attempts FROM outbox") == [("pending", 0)]
    async with broker.running():
        (message,) = await broker.take(1)
        assert data.rows("SELECT message_id FROM outbox") == [(message.header.properties.message_id,)]
        await eventually("it is settled", lambda: data.rows("SELECT 1 FROM outbox WHERE state = 'published'"))


async def test_message_that_no_queue_takes_waits_until_there_is_one(
    start_site: Any, broker: Any, data: Any, eventually: Any
) -> None:
    async with broker.running(has_queues=False):
        site = await start_site()
        await site.register("ada@example.org")
        tried = "SELECT 1 FROM outbox WHERE state = 'pending' AND attempts > 0"
        await eventually("it came back", lambda: data.rows(tried))

        await broker.declare()

        assert len(await broker.take(1)) == 1


async def test_trouble_and_recovery_are_one_line_each(
    start_site: Any, broker: Any, data: Any, eventually: Any, capsys: Any
) -> None:
    async with broker.running(has_queues=False):
        site = await start_site()
        await site.register("ada@example.org")
        await eventually("it was tried often", lambda: data.rows("SELECT 1 FROM outbox WHERE attempts > 2"))

        await broker.declare()

        await broker.take(1)
        said: list[str] = []

        def has_said_so() -> bool:
            said.append(capsys.readouterr().out)
            return "messages can be published again" in "".join(said)

        await eventually("it is said", has_said_so)
    log = "".join(said) + capsys.readouterr().out
    assert log.count("messages wait in the outbox") == log.count("messages can be published again") == 1
    assert "ada@example.org" not in log


@pytest.mark.parametrize("die_at", ["committed", "claimed", "confirmed"])
async def test_killed_after_the_commit_the_message_is_published_with_the_same_id(
    start_site: Any, broker: Any, data: Any, browser: Any, tmp_path: Path, die_at: str
) -> None:
    async with broker.running():
        await die_while_registering(browser, broker, data, tmp_path, die_at)
        ((message_id,),) = data.rows("SELECT message_id FROM outbox")
        # The lease of a relay that died ends after half a minute; the test ends the lease at once.
        data.rows("UPDATE outbox SET available_at = 0 WHERE state = 'claimed'")

        await start_site()

        copies = 2 if die_at == "confirmed" else 1
        taken = await broker.take(copies)
        assert [message.header.properties.message_id for message in taken] == [message_id] * copies


async def die_while_registering(browser: Any, broker: Any, data: Any, folder: Path, die_at: str) -> None:
    """Run the site as a process, register, and wait until the process has killed itself."""
    command = [sys.executable, "-c", RUNNER, broker.url.url, data.url.url, die_at]
    with (folder / "cms.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
    try:
        assert process.stdout is not None
        url = (await asyncio.to_thread(process.stdout.readline)).decode().strip()
        assert url.startswith("http://"), url + (folder / "cms.log").read_text()
        with suppress(aiohttp.ClientError):  # the site may be killed before it answers
            await browser(url).register("ada@example.org")
        assert await asyncio.to_thread(process.wait, 20) == -signal.SIGKILL
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)


async def test_relays_that_share_an_outbox_publish_each_message_once(
    start_site: Any, broker: Any, data: Any, eventually: Any
) -> None:
    first, second = await start_site(), await start_site()
    for number in range(24):
        await (first, second)[number % 2].register(f"reader-{number}@example.org")

    async with broker.running():
        taken = await broker.take(24)
        await eventually(
            "all are settled",
            lambda: data.rows("SELECT count(*) FROM outbox WHERE state = 'published'") == [(24,)],
        )

    assert len({message.header.properties.message_id for message in taken}) == 24


async def test_no_lock_is_held_while_the_broker_is_talked_to(
    start_site: Any, broker: Any, data: Any, eventually: Any
) -> None:
    reached: list[tuple[Point, bool]] = []

    def look(point: Point, _message_id: str) -> None:
        reached.append((point, data.stays_locked()))

    async with broker.running():
        site = await start_site()
        site.journey.watch(look)
        await site.register("ada@example.org")
        await broker.take(1)
        await eventually("the confirm is there", lambda: len(reached) == 3)

    assert reached == [(Point.COMMITTED, False), (Point.CLAIMED, False), (Point.CONFIRMED, False)]


async def test_message_that_breaks_its_contract_is_set_aside_and_stops_no_other(
    start_site: Any, broker: Any, data: Any, eventually: Any, capsys: Any
) -> None:
    site = await start_site()
    await site.register("ada@example.org")
    await site.register("bob@example.org")
    log: list[str] = []
    data.rows("UPDATE outbox SET body = :body WHERE id = 1", body=b'{"email": "ada@example.org"}')

    async with broker.running():
        (message,) = await broker.take(1)
        await eventually(
            "it is said",
            lambda: log.append(capsys.readouterr().out) or "breaks its own contract" in "".join(log),
        )

    assert json.loads(message.body)["to"] == [{"address": "bob@example.org"}]
    assert data.rows("SELECT state, body FROM outbox WHERE id = 1") == [
        ("dead", b'{"email": "ada@example.org"}')
    ]


async def test_idle_site_stops_within_two_seconds(serve: Any, broker: Any) -> None:
    async with broker.running():
        async with serve() as site:
            await site.get("/")
            began = time.monotonic()
        stopping_seconds = time.monotonic() - began

    assert stopping_seconds < at_most(2)


@pytest.mark.parametrize("real_servers", [()], indirect=True, ids=["embedded"])
async def test_site_stops_although_the_broker_answers_no_more_and_the_message_goes_back(
    serve: Any, broker: Any, data: Any, freezable_broker: Any
) -> None:
    async with serve() as site:
        # The broker freezes when the message is claimed and not yet published: the message is sent and never confirmed.
        site.journey.watch(lambda point, _: freezable_broker.freeze() if point is Point.CLAIMED else None)
        await site.register("ada@example.org")
        await freezable_broker.is_frozen.wait()
        began = time.monotonic()
    stopping_seconds = time.monotonic() - began

    assert stopping_seconds < 10
    assert data.rows("SELECT state, attempts, reason FROM outbox") == [("pending", 1, "unknown")]


async def test_site_leaves_no_task_and_no_thread_behind(serve: Any, broker: Any, browser: Any) -> None:
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())

    async with serve() as site:
        await site.register("ada@example.org")
        await site.session.close()

    left = {thread.name for thread in set(threading.enumerate()) - threads}
    assert asyncio.all_tasks() == tasks
    assert not any(name.startswith(("passwords", "database")) for name in left)
