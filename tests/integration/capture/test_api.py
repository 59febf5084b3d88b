"""The API is Mailpit's, and only this machine's programs may read it."""

from typing import Any

import pytest

NOT_FOUND = b"404 page not found"


async def test_list_has_mailpits_names_and_no_nulls(server: Any) -> None:
    await server.send(
        b"From: A <a@x.org>\r\nTo: b@x.org\r\nSubject: Hi\r\nMessage-ID: <m@x>\r\n\r\nhello\r\n"
    )

    status, _, headers = await server.get("/api/v1/messages")
    listed = await server.json("/api/v1/messages")

    assert (status, headers["X-Mailpact-Cursor"]) == (200, "1")
    assert {name: listed[name] for name in listed if name != "messages"} == {
        "total": 1, "unread": 1, "count": 1, "messages_count": 1, "messages_unread": 1, "start": 0, "tags": [],
    }  # fmt: skip
    (mail,) = listed["messages"]
    assert mail["From"] == {"Name": "A", "Address": "a@x.org"}
    assert mail["To"] == [{"Name": "", "Address": "b@x.org"}]
    assert (mail["Cc"], mail["ReplyTo"], mail["Tags"]) == ([], [], [])
    assert (mail["MessageID"], mail["Subject"], mail["Snippet"], mail["Read"]) == (
        "m@x",
        "Hi",
        "hello",
        False,
    )
    assert len(mail["ID"]) == 22


async def test_reading_a_mail_marks_it_read_and_its_source_does_not(server: Any) -> None:
    await server.send(b"Subject: x\r\n\r\nx\r\n")

    await server.get("/api/v1/message/latest/raw")
    await server.get("/api/v1/message/latest/headers")
    unread_before = (await server.json("/api/v1/messages"))["unread"]
    await server.get("/api/v1/message/latest")

    assert (unread_before, (await server.json("/api/v1/messages"))["unread"]) == (1, 0)


async def test_pages_of_the_list_follow_each_other(server: Any) -> None:
    for number in range(5):
        await server.send(b"Subject: %d\r\n\r\nx\r\n" % number)

    pages = [await server.json(f"/api/v1/messages?start={start}&limit=2") for start in (0, 2, 4)]

    assert [[mail["Subject"] for mail in page["messages"]] for page in pages] == [
        ["4", "3"],
        ["2", "1"],
        ["0"],
    ]
    assert {(page["total"], page["messages_count"]) for page in pages} == {(5, 5)}


async def test_search_counts_what_it_finds_beside_all(server: Any) -> None:
    await server.send(b"Subject: invoice\r\n\r\nx\r\n")
    await server.send(b"Subject: greeting\r\n\r\nx\r\n")

    found = await server.json("/api/v1/search?query=subject:invoice")

    assert ([mail["Subject"] for mail in found["messages"]], found["messages_count"], found["total"]) == (
        ["invoice"], 1, 2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/api/v1/search", 400, b"no search query"),
        ("/api/v1/search?query=" + "x" * 1001, 400, b"longer"),
        ("/api/v1/messages?start=-1", 400, b"start"),
        ("/api/v1/messages?limit=x", 400, b"limit"),
        ("/api/v1/message/latest", 404, NOT_FOUND),
        ("/api/v1/message/..%2f..%2fetc", 404, b""),
        ("/api/v1/message/0123456789012345678901", 404, NOT_FOUND),
    ],
)
async def test_what_is_not_there_or_cannot_be_meant_is_said_in_plain_text(
    server: Any, path: str, status: int, text: bytes
) -> None:
    answer, body, headers = await server.get(path)

    assert answer == status
    assert text in body
    assert headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8025"}, 200),
        ({"Host": "[::1]:8025"}, 200),
        ({"Host": "evil.test"}, 421),
        ({"Host": "evil.test:8025", "Origin": "http://evil.test:8025"}, 421),
        ({"Host": "127.0.0.1.evil.test"}, 421),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/v1/messages"])
async def test_no_foreign_page_can_read_the_mails(
    server: Any, path: str, headers: dict[str, str], status: int
) -> None:
    answer, _, _ = await server.get(path, **headers)

    assert answer == status


async def test_page_shows_the_beginning_of_an_endless_text_and_says_so(server: Any) -> None:
    await server.send(b"Subject: links\r\n\r\n" + b"http://x.org/ http://x.org/\r\n" * 100_000)

    status, page, _ = await server.get("/mail/latest")

    assert status == 200
    assert b"Only the beginning is shown" in page
    assert len(page) < 4 * 1024 * 1024


async def test_health_says_that_the_store_can_be_read(server: Any) -> None:
    assert [(await server.get(path))[0] for path in ("/livez", "/readyz")] == [200, 200]
