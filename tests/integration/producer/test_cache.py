"""Pages are cached in memory, and each process of the site shows a change."""

import asyncio
import json
import time
from typing import Any

import aiormq
import pytest

from mailpact.amqp.topology import declare
from mailpact.contracts import catalogue
from mailpact_producer.store.pages import WELCOME_PAGE
from tests.timing import at_most

ADA, BOB = "ada@example.org", "bob@example.org"
PAGE = f"/page/{WELCOME_PAGE}"
CHANGE = "UPDATE pages SET body = :body"
PATIENCE_SECONDS = 20.0


async def comes_true(what: Any) -> float:
    """Repeat a check until it is true; return how many seconds that took."""
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await what():
            await asyncio.sleep(0.01)
    return time.monotonic() - began


async def caches(site: Any, data: Any, path: str = PAGE) -> None:
    """Wait until the site answers from memory, so that a change in the database is not visible."""
    number = 0

    async def is_kept() -> bool:
        nonlocal number
        number += 1
        await site.get(path)
        data.rows(CHANGE, body=f"behind the back {number}")
        return f"behind the back {number}" not in (await site.get(path)).text

    await comes_true(is_kept)


async def administrator(site: Any, data: Any, browser: Any) -> Any:
    opened = browser(site.url)
    await opened.register(ADA)
    data.rows("UPDATE users SET is_admin = 1, confirmed_at = 1, delete_at = NULL")
    await opened.log_in(ADA)
    return opened


async def test_deleted_comment_is_gone_from_both_processes_within_a_second(
    start_site: Any, broker: Any, data: Any, browser: Any
) -> None:
    async with broker.running():
        first, second = await start_site(), await start_site()
        admin = await administrator(first, data, browser)
        await admin.submit(PAGE, f"{PAGE}/comments", comment="Hasty words")
        for site in (first, second):
            await caches(site, data, "/pages/welcome")
            await caches(site, data)
            assert "Hasty words" in (await site.get(PAGE)).text
        ((number,),) = data.rows("SELECT id FROM comments")

        await admin.submit(f"/comments/{number}", f"/comments/{number}/delete")
        at_once = [(await first.get(path)).text for path in (PAGE, "/pages/welcome")]

        async def is_gone() -> bool:
            return (
                "Hasty words" not in (await second.get(PAGE)).text + (await second.get("/pages/welcome")).text
            )

        seconds = await comes_true(is_gone)

    assert all("Hasty words" not in text for text in at_once)
    assert seconds < at_most(1)


async def test_changed_page_is_seen_on_its_page_and_in_the_list_of_both(
    start_site: Any, broker: Any, data: Any, browser: Any
) -> None:
    async with broker.running():
        first, second = await start_site(), await start_site()
        admin = await administrator(first, data, browser)
        for path in ("/", "/feed.atom", "/pages/welcome"):
            await caches(second, data, path)
        edit = f"/edit/{WELCOME_PAGE}"

        await admin.submit(edit, edit, title="Hello", slug="welcome", body="Newest text", published="yes")

        async def is_seen() -> bool:
            answers = [await second.get(path) for path in ("/", "/feed.atom", "/pages/welcome")]
            return all("Newest text" in answer.text for answer in answers)

        await comes_true(is_seen)


@pytest.mark.parametrize(
    "real_servers", [()], indirect=True, ids=["embedded"]
)  # only this broker can be stopped
async def test_nothing_is_answered_from_memory_while_the_broker_is_away(
    start_site: Any, broker: Any, data: Any
) -> None:
    site = await start_site()
    await site.get(PAGE)

    for number in range(3):
        data.rows(CHANGE, body=f"version {number}")
        assert f"version {number}" in (await site.get(PAGE)).text

    async with broker.running():
        await caches(site, data)
        kept = (await site.get(PAGE)).text

    async def is_new() -> bool:
        data.rows(CHANGE, body="while the broker was away")
        return "while the broker was away" in (await site.get(PAGE)).text

    await comes_true(is_new)
    async with broker.running():
        for _ in range(20):
            assert (await site.get(PAGE)).text != kept
            await asyncio.sleep(0.05)


async def test_people_who_are_logged_in_see_their_own_page_and_nobody_else_does(
    start_site: Any, broker: Any, data: Any, browser: Any
) -> None:
    async with broker.running():
        site = await start_site()
        admin = await administrator(site, data, browser)
        await caches(site, data)
        form = {"title": "Draft", "slug": "draft", "body": "Secret"}
        await admin.submit("/edit", "/edit", **form)

        for _ in range(3):
            assert (await admin.get("/pages/draft")).status == 200
            assert (await site.get("/pages/draft")).status == 404
            assert "Log out" in (await admin.get(PAGE)).text
            assert "Log out" not in (await site.get(PAGE)).text
            assert "Secret" not in (await site.get("/")).text


async def test_notice_is_shown_to_one_person_once(
    start_site: Any, broker: Any, data: Any, browser: Any
) -> None:
    async with broker.running():
        site = await start_site()
        await caches(site, data)
        reader = browser(site.url)
        await reader.register(BOB)

        thanked = (await reader.get(PAGE)).text
        after = [(await each.get(PAGE)).text for each in (reader, site)]

    assert BOB in thanked
    assert all(BOB not in text for text in after)


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        (b'{"keys": ["pages/other"]}', {"message_type": "cache-invalidation.v9"}),
        (b"\xff", {"message_type": "cache-invalidation.v1"}),
        (b'{"keys": []}', {"message_type": "cache-invalidation.v1"}),
        (b'{"keys": ["*"], "later": 1}', {"message_type": "cache-invalidation.v1"}),
        (json.dumps({"keys": [f"pages/{WELCOME_PAGE}"]}).encode(), {"message_type": "cache-invalidation.v1"}),
    ],
)  # fmt: skip
async def test_message_of_another_program_drops_pages_and_one_that_is_wrong_drops_all(
    start_site: Any, broker: Any, data: Any, body: bytes, properties: dict[str, str]
) -> None:
    async with broker.running():
        site = await start_site()
        await caches(site, data)
        data.rows(CHANGE, body="Newest text")
        connection = await aiormq.connect(broker.url.url)
        topology = catalogue.load().topology
        await declare(
            connection, next(each for each in topology.exchanges if each.name == "cache.invalidation")
        )
        channel = await connection.channel()

        await channel.basic_publish(
            body,
            exchange="cache.invalidation",
            properties=aiormq.spec.Basic.Properties(content_type="application/json", **properties),
        )

        async def is_seen() -> bool:
            return "Newest text" in (await site.get(PAGE)).text

        assert await comes_true(is_seen) < 5
        await connection.close()


async def test_message_obeys_its_contract_and_commits_with_the_change(
    start_site: Any, broker: Any, data: Any, browser: Any
) -> None:
    async with broker.running():
        site = await start_site()
        admin = await administrator(site, data, browser)
        await caches(site, data)
        connection = await aiormq.connect(broker.url.url)
        channel = await connection.channel()
        queue = await channel.queue_declare("", exclusive=True)
        await channel.queue_bind(str(queue.queue), "cache.invalidation")

        await admin.submit(PAGE, f"{PAGE}/comments", comment="Words")

        async def is_published() -> bool:
            nonlocal message
            message = await channel.basic_get(str(queue.queue), no_ack=True)
            return message.delivery_tag is not None

        message: Any = None
        await comes_true(is_published)
        await connection.close()

    properties = message.header.properties
    assert json.loads(message.body)["keys"] == [f"pages/{WELCOME_PAGE}"]
    assert (properties.message_type, properties.content_type) == ("cache-invalidation.v1", "application/json")
    assert data.rows("SELECT contract FROM outbox WHERE message_id = :id", id=properties.message_id) == [
        ("cache-invalidation/1",)
    ]
