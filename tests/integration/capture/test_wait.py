"""Tests wait for mail, each in its own namespace, and get their answer as soon as the mail arrives."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mailpact_capture.search import EVERYTHING
from mailpact_capture.store import Store


def mail(subject: str, text: str = "x") -> bytes:
    return f"Subject: {subject}\r\nTo: ada@x.org\r\n\r\n{text}\r\n".encode()


async def wait(server: Any, query: str) -> tuple[int, Any, int]:
    async with server.web.get(server.url + "/api/mailpact/v1/wait?" + query) as answer:
        body = await answer.json() if answer.status in (200, 409) else await answer.text()
        return answer.status, body, int(answer.headers.get("X-Mailpact-Cursor", -1))


async def test_mail_that_comes_later_is_answered_with_its_links_and_codes(server: Any) -> None:
    waiting = asyncio.ensure_future(wait(server, "query=subject:welcome&timeout=20"))
    await server.send(mail("other"))
    await server.send(mail("welcome", "Your code is 123 456.\r\nhttps://x.org/confirm?t=1."))

    status, body, cursor = await waiting

    (found,) = body["messages"]
    assert (status, found["Subject"], cursor) == (200, "welcome", 2)
    assert (found["Links"], found["Codes"]) == (["https://x.org/confirm?t=1"], ["123456"])
    assert found["Envelope"]["Recipients"] == ["ada@example.org"]


async def test_cursor_leads_from_one_mail_to_the_next_and_misses_none(server: Any) -> None:
    await server.send(mail("one"))
    await server.send(mail("two"))

    _, first, cursor = await wait(server, "timeout=0")
    _, second, cursor = await wait(server, f"timeout=0&after={cursor}")
    status, _, cursor = await wait(server, f"timeout=0&after={cursor}")

    assert [each["messages"][0]["Subject"] for each in (first, second)] == ["one", "two"]
    assert (status, cursor) == (204, 2)


async def test_cursor_survives_the_deletion_of_all_mails(server: Any) -> None:
    await server.send(mail("one"))
    async with server.web.delete(server.url + "/api/v1/messages") as answer:
        assert answer.status == 200
    _, _, cursor = await wait(server, "timeout=0&after=1")

    await server.send(mail("two"))

    assert (await wait(server, f"timeout=5&after={cursor}"))[1]["messages"][0]["Subject"] == "two"


async def test_absence_is_a_timeout_and_a_mail_is_a_conflict(server: Any) -> None:
    absent = await wait(server, "query=subject:never&expect=none&timeout=0.05")
    await server.send(mail("never"))
    there = await wait(server, "query=subject:never&expect=none&timeout=5")

    assert (absent[0], there[0], there[1]["messages"][0]["Subject"]) == (204, 409, "never")


async def test_several_mails_are_waited_for(server: Any) -> None:
    waiting = asyncio.ensure_future(wait(server, "count=3&timeout=20"))
    for number in range(3):
        await server.send(mail(str(number)))

    assert [each["Subject"] for each in (await waiting)[1]["messages"]] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "query",
    [
        "timeout=x",
        "timeout=-1",
        "timeout=nan",
        "timeout=9999",
        "count=0",
        "count=101",
        "expect=all",
        "query=a:b",
        "quey=subject:x",
        "query=subject:x&query=subject:y",
        "after=-1",
        "after=99999999999999999999",
    ],
)
async def test_wait_that_cannot_be_meant_is_refused(server: Any, query: str) -> None:
    assert (await wait(server, query))[0] == 400


async def test_mail_that_was_deleted_before_it_was_told_is_waited_for_again(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = Store.arrived
    deleted = []

    async def and_deleted(store: Store, *args: Any, **kwargs: Any) -> Any:
        found = await arrived(store, *args, **kwargs)
        if found[0] and not deleted:
            deleted.append(found)
            await store.delete(EVERYTHING)
        return found

    monkeypatch.setattr(Store, "arrived", and_deleted)
    await server.send(mail("gone"))
    waiting = asyncio.ensure_future(wait(server, "timeout=30"))
    async with asyncio.timeout(20):
        while not deleted:
            await asyncio.sleep(0.01)
    await server.send(mail("there"))

    assert [each["Subject"] for each in (await waiting)[1]["messages"]] == ["there"]


async def test_mail_that_matches_later_is_answered_though_it_was_looked_at_before(server: Any) -> None:
    await server.send(mail("first"))
    await server.send(mail("second"))
    ids = [each["ID"] for each in (await server.json("/api/v1/messages"))["messages"]]
    waiting = asyncio.ensure_future(wait(server, "query=tag:late&count=2&timeout=60"))
    await server.send(mail("third"))  # the waiting client reads this mail, too

    for identifier in ids:
        await server.change("PUT", "/api/v1/tags", {"Tags": ["late"], "IDs": [identifier]})

    assert [each["Subject"] for each in (await waiting)[1]["messages"]] == ["first", "second"]


async def test_wait_looks_at_each_mail_once(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailpact_capture.api.wait.LOOK_AGAIN_SECONDS", 0.05)
    looked_after: list[int] = []
    fifth, arrived = asyncio.Event(), Store.arrived

    async def recorded(store: Store, *words: Any, after: int, **more: Any) -> Any:
        looked_after.append(after)
        if len(looked_after) == 5:
            fifth.set()
        return await arrived(store, *words, after=after, **more)

    monkeypatch.setattr(Store, "arrived", recorded)
    await server.send(mail("other"))
    waiting = asyncio.create_task(wait(server, "query=wanted&timeout=40"))
    await fifth.wait()
    await server.change("PUT", "/api/v1/messages", {"Read": True})
    await server.send(mail("wanted"))

    assert (await waiting)[0] == 200
    assert (looked_after[0], set(looked_after[1:])) == (0, {1})


async def test_hundred_waiters_are_all_answered(server: Any) -> None:
    waiting = [asyncio.ensure_future(wait(server, f"query=subject:n{n}x&timeout=30")) for n in range(100)]
    await asyncio.gather(*(server.send(mail(f"n{n}x")) for n in range(100)))

    assert {each[0] for each in await asyncio.gather(*waiting)} == {200}


async def test_fifty_tests_in_namespaces_of_their_own_do_not_meet(server: Any) -> None:
    async def one_test(number: int) -> list[str]:
        base = f"{server.url}/ns/t{number}"
        seen = []
        for round_ in range(3):
            await server.send(mail(f"{number}-{round_}"), to=(f"reader+ns-T{number}@example.org",))
            async with server.web.get(f"{base}/api/mailpact/v1/wait?timeout=30") as answer:
                seen += [each["Subject"] for each in (await answer.json())["messages"]]
            async with server.web.delete(f"{base}/api/v1/messages") as answer:
                assert answer.status == 200
        async with server.web.get(f"{base}/api/v1/messages") as answer:
            assert (await answer.json())["total"] == 0
        return seen

    results = await asyncio.gather(*(one_test(number) for number in range(50)))

    assert results == [[f"{number}-{round_}" for round_ in range(3)] for number in range(50)]
    assert (await server.json("/api/v1/messages"))["total"] == 0


async def test_mail_in_two_namespaces_stays_in_the_other(server: Any) -> None:
    await server.send(mail("both"), to=("a+ns-one@x.org", "b+ns-two@x.org"))
    identifier = (await server.json("/ns/one/api/v1/messages"))["messages"][0]["ID"]

    async with server.web.delete(server.url + "/ns/one/api/v1/search?query=subject:both") as answer:
        assert answer.status == 200

    assert (await server.get(f"/ns/one/api/v1/message/{identifier}"))[0] == 404
    assert (await server.get(f"/ns/two/api/v1/message/{identifier}"))[0] == 200
    assert (await server.json("/ns/elsewhere/api/v1/search?query=both"))["messages_count"] == 0
    assert (await server.get("/ns/no!name/api/v1/messages"))[0] == 404


async def test_websocket_tells_mailpits_events(server: Any) -> None:
    async with server.web.ws_connect(server.url + "/api/events") as socket:
        stats = await socket.receive_json(timeout=10)
        await server.send(mail("new one"))
        new = await socket.receive_json(timeout=10)
        async with server.web.delete(server.url + "/api/v1/messages", json={"IDs": [new["Data"]["ID"]]}):
            pass
        event = await socket.receive_json(timeout=10)
        while event["Type"] == "stats":
            event = await socket.receive_json(timeout=10)

    assert (stats["Type"], set(stats["Data"])) == ("stats", {"Total", "Unread", "Version"})
    assert (new["Type"], new["Data"]["Subject"]) == ("new", "new one")
    assert event == {"Type": "delete", "Data": {"ID": new["Data"]["ID"]}}


async def next_event(answer: Any) -> dict[str, str]:
    fields: dict[str, str] = {}
    while (line := (await answer.content.readline()).decode().rstrip("\n")) or not fields:
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
    return fields


async def test_events_are_resumed_after_the_last_one_that_was_seen(server: Any) -> None:
    path = server.url + "/api/mailpact/v1/events"
    async with server.web.get(path) as answer:
        greeting = await next_event(answer)
    for number in range(100):
        await server.send(mail(str(number)))

    async with server.web.get(path, headers={"Last-Event-ID": greeting["id"]}) as answer:
        await next_event(answer)
        seen = [json.loads((await next_event(answer))["data"])["Subject"] for _ in range(100)]
    async with server.web.get(path, headers={"Last-Event-ID": "another.5"}) as answer:
        reset = await next_event(answer)

    assert seen == [str(number) for number in range(100)]
    assert reset["event"] == "reset"


@pytest.mark.parametrize(
    "last", ["5", "another.5", "NAME.99", "NAME.-1", "NAME.", "NAME.\u0663", "NAME." + "9" * 5000, "x" * 8000]
)
async def test_unknown_last_event_is_answered_with_reset(server: Any, last: str) -> None:
    path = server.url + "/api/mailpact/v1/events"
    async with server.web.get(path) as answer:
        name = (await next_event(answer))["id"].partition(".")[0]
    async with server.web.get(path, headers={"Last-Event-ID": last.replace("NAME", name)}) as answer:
        assert (answer.status, (await next_event(answer))["event"]) == (200, "reset")


async def test_client_that_leaves_makes_room_for_another_at_once(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailpact_capture.feed.MAX_SUBSCRIBERS", 1)
    path = server.url + "/api/mailpact/v1/events"
    async with server.web.get(path) as first:
        await next_event(first)
        assert (await server.get("/api/mailpact/v1/events"))[0] == 503
    async with asyncio.timeout(10):  # the server writes to a silent client only every 15 s
        status = 503
        while status == 503:
            async with server.web.get(path) as second:
                status = second.status

    assert status == 200


async def test_events_of_a_namespace_are_of_its_own_mails_only(server: Any) -> None:
    async with (
        server.web.get(server.url + "/api/mailpact/v1/events") as every,
        server.web.get(server.url + "/ns/two/api/mailpact/v1/events") as two,
    ):
        await next_event(every), await next_event(two)
        await server.send(mail("one"), to=("a+ns-one@x.org",))
        await server.send(mail("both"), to=("a+ns-one@x.org", "a+ns-two@x.org"))
        await server.change("PUT", "/ns/one/api/v1/messages", {"Read": True})
        await server.change("DELETE", "/ns/one/api/v1/messages")
        await server.send(mail("last"), to=("a+ns-two@x.org",))
        seen = {
            name: [each async for each in kinds_until(answer, "last")]
            for name, answer in (("every", every), ("two", two))
        }

    # The mail of both namespaces was removed from the first only, so that the list of all mail still shows it.
    assert seen["every"] == ["new", "new", "update", "update", "delete", "new"]
    assert seen["two"] == ["new", "update", "new"]


async def kinds_until(answer: Any, subject: str) -> AsyncIterator[str]:
    """Yield the kinds of the events up to the one of a new mail with this subject."""
    told = ""
    while told != subject:
        event = await next_event(answer)
        told = (json.loads(event["data"]) or {}).get("Subject", "")
        yield event["event"]


async def test_websocket_of_a_foreign_page_is_refused(server: Any) -> None:
    async with server.web.get(
        server.url + "/api/events",
        headers={"Origin": "http://evil.test", "Upgrade": "websocket", "Connection": "Upgrade"},
    ) as answer:
        assert answer.status == 403


async def test_mail_that_another_process_changed_is_answered_though_it_was_looked_at_before(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, looked = Store.arrived, asyncio.Event()

    async def watched(store: Store, *args: Any, **kwargs: Any) -> Any:
        found = await arrived(store, *args, **kwargs)
        looked.set()
        return found

    monkeypatch.setattr(Store, "arrived", watched)
    await server.send(mail("read elsewhere"))
    waiting = asyncio.ensure_future(wait(server, "query=is:read&timeout=60"))
    await asyncio.wait_for(looked.wait(), 60)
    with contextlib.closing(
        sqlite3.connect(tmp_path / "capture.db", isolation_level=None, timeout=60)
    ) as other:
        other.execute("UPDATE mail SET read = 1")

    assert [each["Subject"] for each in (await waiting)[1]["messages"]] == ["read elsewhere"]
