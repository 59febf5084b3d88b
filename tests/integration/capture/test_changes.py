"""Mails are deleted, marked and tagged as in Mailpit, and a body that cannot be read changes nothing."""

import base64
import functools
import io
import json
from typing import Any

import pytest

MAIL = b"Subject: %s\r\nTo: ada@x.org\r\n\r\nhello\r\n"


async def ids(server: Any, query: str = "") -> list[str]:
    path = f"/api/v1/search?query={query}" if query else "/api/v1/messages"
    return [mail["ID"] for mail in (await server.json(path))["messages"]]


async def ask(server: Any, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    given = (
        {"data": body} if isinstance(body, bytes | io.BytesIO) else {"json": body} if body is not None else {}
    )
    async with server.web.request(method, server.url + path, headers=headers, **given) as answer:
        return answer.status, await answer.text()


async def test_one_found_and_all_mails_are_deleted(server: Any) -> None:
    for subject in (b"one", b"two", b"three", b"four"):
        await server.send(MAIL % subject)
    newest = (await ids(server))[0]

    one = await ask(server, "DELETE", "/api/v1/messages", {"IDs": [newest]})
    found = await ask(server, "DELETE", "/api/v1/search?query=subject:two")
    left = len(await ids(server))
    everything = await ask(server, "DELETE", "/api/v1/messages")

    assert [one, found, everything] == [(200, "ok")] * 3
    assert (left, await ids(server)) == (2, [])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/api/v1/messages", b"IDs=abc"),
        ("DELETE", "/api/v1/messages", b"[1]"),
        ("DELETE", "/api/v1/messages", b'{"IDs": "abc"}'),
        ("DELETE", "/api/v1/messages", b"[" * 100_000),
        ("DELETE", "/api/v1/messages", b"ids%5B%5D=abc"),
        ("DELETE", "/api/v1/messages", b"--b\r\n\r\nx\r\n--b--"),
        ("DELETE", "/api/v1/messages", b"null"),
        ("DELETE", "/api/v1/messages", b" "),
        ("DELETE", "/api/v1/messages", b'{"ID": ["abc"]}'),
        ("DELETE", "/api/v1/messages", b'{"Search": "x"}'),
        ("DELETE", "/api/v1/messages", b'{"IDs": ["abc"]} more'),
        ("DELETE", "/api/v1/messages", b'{"IDs": ["abc"], "IDs": []}'),
        ("DELETE", "/api/v1/messages", b'{"IDs": ["abc"], "ids": []}'),
        ("DELETE", "/api/v1/messages", b'{"IDs": [null]}'),
        ("DELETE", "/api/v1/messages", b"\xff\xfe{"),
        ("DELETE", "/api/v1/messages?IDs=abc", None),
        ("DELETE", "/api/v1/messages?query=subject:x", None),
        ("DELETE", "/api/v1/search?query=%22%22", None),
        ("DELETE", "/api/v1/search?query=-", None),
        ("DELETE", "/api/v1/search?query=subject:", None),
        ("PUT", "/api/v1/messages", None),
        ("PUT", "/api/v1/messages", b'{"Read": true, "Query": "x"}'),
        ("PUT", "/api/v1/messages", b'{"Read": true, "Search": "-"}'),
        ("DELETE", "/api/v1/search?query=", None),
        ("DELETE", "/api/v1/search?query=foo:bar", None),
        ("PUT", "/api/v1/messages", b"Read=true"),
        ("PUT", "/api/v1/messages", b'{"Read": true, "IDs": ["x"], "Search": "y"}'),
        ("DELETE", "/api/v1/messages", b'{"IDs": ' + b"[" * 500 + b"]" * 500 + b"}"),
        ("PUT", "/api/v1/chaos", b'{"Sender": ' * 900 + b"1" + b"}" * 900),
        ("PUT", "/api/v1/messages", b'{"Read": true, "Search": "\\ud800"}'),
        ("PUT", "/api/v1/messages", b'{"Read": true, "Search": "\xed\xa0\x80"}'),
        ("DELETE", "/api/v1/search?query=subject:kept&befor=2020-01-01", None),
        ("DELETE", "/api/v1/search?query=subject:kept&query=from:me", None),
        ("PUT", "/api/v1/tags", b'{"Tags": ["\\u0000"], "IDs": ["x"]}'),
        ("PUT", "/api/v1/tags/absent", b'{"Name": "x"}'),
        ("PUT", "/api/v1/tags/absent", b'{"Name": "x", "Colour": "red"}'),
        ("DELETE", "/api/v1/tags/absent", None),
    ],
)
async def test_what_cannot_be_read_changes_nothing(
    server: Any, method: str, path: str, body: bytes | None
) -> None:
    await server.send(MAIL % b"kept")

    status, text = await ask(server, method, path, body)

    assert (status, text.startswith("Error: ")) == (400, True)
    assert (await server.json("/api/v1/messages"))["unread"] == 1


async def test_mails_are_marked_read_and_unread(server: Any) -> None:
    await server.send(MAIL % b"one")
    await server.send(MAIL % b"two")

    await ask(server, "PUT", "/api/v1/messages", {"Read": True})
    await ask(server, "PUT", "/api/v1/messages", {"read": False, "search": "subject:two"})

    assert len(await ids(server, "is:unread")) == 1
    assert await ids(server, "is:unread") == await ids(server, "subject:two")


async def test_tags_are_set_renamed_found_and_deleted(server: Any) -> None:
    await server.send(b"X-Tags: from mail\r\nSubject: a\r\n\r\nx\r\n")
    (mail,) = await ids(server)
    before = await server.json("/api/v1/tags")

    await ask(server, "PUT", "/api/v1/tags", {"Tags": ["Blue sky", "red"], "IDs": [mail]})
    await ask(server, "PUT", "/api/v1/tags/red", {"Name": "green"})
    found = await ids(server, "tag:%22blue%20sky%22%20tag:GREEN")
    await ask(server, "DELETE", "/api/v1/tags/green")

    assert (before, found) == (["from mail"], [mail])
    assert await server.json("/api/v1/tags") == ["Blue sky"]
    assert (await server.json(f"/api/v1/message/{mail}"))["Tags"] == ["Blue sky"]


async def test_tags_of_a_mail_are_read_as_they_are_set(server: Any) -> None:
    too_long = b"t" * 101
    field = b"X-Tags: =?utf-8?q?gr=C3=BCn?=, two  words, GR\xc3\x9cN, , " + too_long
    await server.send(field + b"\r\nSubject: a\r\n\r\nx\r\n")
    (mail,) = await ids(server)
    read = (await server.json(f"/api/v1/message/{mail}"))["Tags"]

    await ask(server, "PUT", "/api/v1/tags", {"Tags": ["a", "A", "b"], "IDs": [mail]})

    assert read == ["grün", "two words"]
    assert (await server.json(f"/api/v1/message/{mail}"))["Tags"] == ["a", "b"]


async def test_mail_that_is_stored_by_http_in_a_namespace_is_there_and_nowhere_else(server: Any) -> None:
    body = {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Tags": ["mine"]}

    sent = json.loads((await ask(server, "POST", "/ns/one/api/v1/send", body))[1])["ID"]
    imported = json.loads(
        (await ask(server, "POST", "/ns/one/api/mailpact/v1/import", b"To: b@x.org\n\nx"))[1]
    )["ID"]

    one, two = await server.json("/ns/one/api/v1/messages"), await server.json("/ns/two/api/v1/messages")
    assert {mail["ID"] for mail in one["messages"]} == {sent, imported}
    assert (one["tags"], two["tags"], two["total"]) == (["mine"], [], 0)
    assert await server.json("/ns/two/api/v1/tags") == []
    assert (await server.json("/ns/one/api/v1/info"))["Messages"] == 2
    assert (await server.json("/ns/two/api/v1/info"))["Tags"] == {}


async def test_mail_to_an_address_beyond_ascii_is_sent_by_http(server: Any) -> None:
    body = {
        "From": {"Email": "a@x.org"},
        "To": [{"Email": "jürgen@bücher.example", "Name": "Jü"}, {"Email": "ü@x.org"}],
    }

    assert (await ask(server, "POST", "/api/v1/send", body))[0] == 200
    mail = await server.json("/api/v1/message/latest")
    assert [address["Address"] for address in mail["To"]] == ["jürgen@bücher.example", "ü@x.org"]
    assert (mail["To"][0]["Name"], mail["Bcc"]) == ("Jü", [])


async def test_mail_is_sent_by_http_with_keys_in_any_case(server: Any) -> None:
    content = base64.b64encode(b"<b>hi</b>").decode()
    body = {
        "from": {"Email": "a@x.org", "NAME": "Ä"}, "To": [{"Email": "b@x.org"}], "Bcc": ["c@x.org"], "Subject": "Grüße",
        "Text": "text", "HTML": "<p>html</p>", "Headers": {"X-One": "1"},
        "Attachments": [{"Content": content, "FileName": "ü.html", "ContentType": "text/html"}],
    }  # fmt: skip

    status, text = await ask(server, "POST", "/api/v1/send", body)

    assert status == 200, text
    mail = await server.json("/api/v1/message/latest")
    assert (mail["From"], mail["Subject"]) == ({"Name": "Ä", "Address": "a@x.org"}, "Grüße")
    assert [address["Address"] for address in mail["Bcc"]] == ["c@x.org"]
    (attachment,) = mail["Attachments"]
    assert (attachment["FileName"], attachment["Size"]) == ("ü.html", 9)
    status, part, headers = await server.get(f"/api/v1/message/{mail['ID']}/part/{attachment['PartID']}")
    assert (status, part) == (200, b"<b>hi</b>")
    assert headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"From": {"Email": "a@x.org"}},
        {"From": {"Email": "a@x.org\r\nX: y"}, "To": [{"Email": "b@x.org"}]},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Headers": {"Subject": "x"}},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Headers": {"X-A": "b\r\nBcc: c"}},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Attachments": [{"Content": "%"}]},
        {"From": "a", "To": "b"},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Subject": 5},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Text": ["x"]},
        {"From": {"Email": "a@x.org"}, "To": {"Email": "b@x.org"}},
        {"From": {"Email": "a@x.org"}, "To": [{"Name": "b"}]},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Headers": {"X-A": 1}},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Attachments": [{"Content": 1}]},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Text": "\ud800"},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Tags": ["\ud800"]},
        {"From": functools.reduce(lambda inner, _: {"Name": inner}, range(400), "a")},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Tags": ["t" * 101]},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Headers": {"X A": "1"}},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Headers": {"": "1"}},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Headers": {"X:A": "1"}},
        {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Attachments": [{"Filename": "a"}]},
        {
            "From": {"Email": "a@x.org"},
            "To": [{"Email": "b@x.org"}],
            "Attachments": [{"Content": "", "ContentType": "a\r\nb/c"}],
        },
    ],
)
async def test_mail_that_cannot_be_made_is_an_error_in_json(server: Any, body: Any) -> None:
    async with server.web.post(server.url + "/api/v1/send", json=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["Error"]


async def test_eml_file_is_imported_byte_for_byte(server: Any) -> None:
    raw = b"From: a@x.org\nTo: b@x.org\nSubject: \xff\n\nx"

    status, _ = await ask(server, "POST", "/api/mailpact/v1/import", raw)

    assert status == 200
    assert (await server.get("/api/v1/message/latest/raw"))[1] == raw


async def test_latest_is_the_newest_that_the_query_finds(server: Any) -> None:
    await server.send(MAIL % b"wanted")
    await server.send(MAIL % b"other")

    mail = await server.json("/api/v1/message/latest?query=subject:wanted")

    assert mail["Subject"] == "wanted"
    assert (await server.get("/api/v1/message/latest?query=foo:x"))[0] == 400
    assert (await server.get("/api/v1/message/latest?query=absent"))[0] == 404
