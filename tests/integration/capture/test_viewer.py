"""The pages show mail safely, keep the reader's place and work without the script."""

import asyncio
import re
from email.message import EmailMessage
from typing import Any

import pytest

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(32)


def rich(subject: str = "Rich") -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ada <ada@x.org>", "reader@x.org", subject
    message.set_content("Your code is 123456.\n")
    message.add_alternative(
        '<head></head><p>Hello <img src="cid:pic"><img src="http://t.test/x.png"></p>', subtype="html"
    )
    message.add_attachment(PICTURE, "image", "png", filename="a.png", cid="<pic>")
    message.add_attachment(b"<svg onload=alert(1)>", "image", "svg+xml", filename="<b>.svg")
    return message.as_bytes()


async def test_html_is_served_in_a_sandbox_with_its_own_pictures_only(server: Any) -> None:
    await server.send(rich())

    status, page, headers = await server.get("/view/latest.html")
    policy = headers["Content-Security-Policy"]

    assert status == 200
    assert policy == (
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
        "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
    )
    assert b'src="data:image/png;base64,' in page
    assert (headers["X-Frame-Options"], headers["Referrer-Policy"]) == ("SAMEORIGIN", "no-referrer")
    assert (await server.get("/mail/latest"))[2]["Referrer-Policy"] == "same-origin"
    remote = (await server.get("/view/latest.html?remote=1"))[2]["Content-Security-Policy"]
    assert "img-src data: https:;" in remote


async def test_link_on_another_site_cannot_make_remote_pictures_load(server: Any) -> None:
    await server.send(rich())
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    status, _, headers = await server.get("/view/latest.html?remote=1", **link)

    assert (status, "https:" in headers["Content-Security-Policy"]) == (200, False)


@pytest.mark.parametrize("base", ["", "/ns/view"])
async def test_mailpits_address_of_a_mail_leads_to_its_page(server: Any, base: str) -> None:
    await server.send(rich(), to=("ada+ns-view@example.org",))
    identifier = (await server.json("/api/v1/messages"))["messages"][0]["ID"]

    for name in (identifier, "latest", "latest?query=subject:rich"):
        async with server.web.get(f"{server.url}{base}/view/{name}", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, f"{base}/mail/{identifier}")
    for name in ("x" * 22, "latest?query=absent", "..%2Fmail"):
        assert (await server.get(f"{base}/view/{name}"))[0] == 404


async def test_list_behind_its_end_shows_its_last_page(server: Any) -> None:
    for number in range(51):
        await server.send(f"Subject: mail {number}\r\n\r\nx".encode())

    last, behind = (await server.get("/?start=50"))[1], (await server.get("/?start=5000"))[1]
    searched = (await server.get("/?query=subject:mail&start=51"))[1]

    assert b"mail 0" in last
    assert b"51\xe2\x80\x9351 of 51" in behind
    assert b"51\xe2\x80\x9351 of 51" in searched


async def test_attachments_that_are_not_listed_are_counted(server: Any) -> None:
    part = b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n"
    await server.send(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * 130 + b"--b--\r\n")

    assert b"30 more are in the" in (await server.get("/mail/latest"))[1]


async def test_page_names_the_event_after_which_it_was_made(server: Any) -> None:
    await server.send(rich())
    for path in ("/", "/mail/latest", "/?query=subject:rich"):
        (last,) = re.findall(rb'data-last="([0-9a-f]+\.\d+)"', (await server.get(path))[1])
        await server.send(b"Subject: in between\r\n\r\nx\r\n")
        async with server.web.get(f"{server.url}/api/mailpact/v1/events?last={last.decode()}") as events:
            read = b""
            while b"in between" not in read:
                read += await asyncio.wait_for(events.content.readline(), 30)

        assert b"event: new\n" in read
        assert b"reset" not in read


async def test_page_has_frame_codes_and_attachments(server: Any) -> None:
    await server.send(rich())

    _, page, headers = await server.get("/mail/latest")

    assert b'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    assert b'<span class="code">123456</span>' in page
    assert b"&lt;b&gt;.svg" in page
    assert b"Pictures from elsewhere are not loaded" in page
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]


async def test_back_leads_to_the_search_and_page_one_came_from(server: Any) -> None:
    await server.send(rich())
    identifier = (await server.json("/api/v1/messages"))["messages"][0]["ID"]

    _, listed, _ = await server.get("/?query=subject:rich")
    _, page, _ = await server.get(f"/mail/{identifier}?query=subject:rich&start=0")

    assert f"/mail/{identifier}?query=subject%3Arich&amp;start=0".encode() in listed
    assert b'href="/?query=subject%3Arich&amp;start=0"' in page


async def test_envelope_stands_beside_the_header(server: Any) -> None:
    await server.send(rich(), to=("reader@x.org", "hidden@x.org"))

    _, page, _ = await server.get("/mail/latest?view=envelope")

    assert b"hidden@x.org" in page
    assert b"nowhere: a blind copy (Bcc)" in page


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/mail/latest", 404, b"There is no such mail"),
        ("/mail/latest?view=none", 404, b"There is no such mail"),
        ("/?query=foo:bar", 400, b"is not a key of the search"),
        ("/?start=x", 400, b"start is not a whole number"),
        ("/?query=nothing", 200, b"Nothing found"),
        ("/ns/one/", 200, b"No mail yet"),
        ("/nothing", 404, b"There is no such page"),
        ("/mail/", 404, b"There is no such page"),
        ("/ns/one", 404, b"There is no such page"),
        ("/ns/a%20b/", 404, b"There is no such mail"),
    ],
)
async def test_what_is_not_there_has_a_page(server: Any, path: str, status: int, text: bytes) -> None:
    answer, page, headers = await server.get(path)

    assert (answer, headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert text in page


async def test_mail_is_marked_unread_and_deleted_by_forms(server: Any) -> None:
    await server.send(rich())
    await server.get("/mail/latest")
    identifier = (await server.json("/api/v1/messages"))["messages"][0]["ID"]
    own = {"Origin": server.url}

    async with server.web.post(server.url + f"/mail/{identifier}?action=unread", headers=own) as answer:
        unread = (answer.status, (await server.json("/api/v1/messages"))["unread"])
    async with server.web.post(
        server.url + f"/mail/{identifier}?action=delete", headers={"Origin": "null"}
    ) as answer:
        foreign = (answer.status, (await server.json("/api/v1/messages"))["total"])
    async with server.web.post(server.url + f"/mail/{identifier}?action=delete", headers=own) as answer:
        deleted = (answer.status, (await server.json("/api/v1/messages"))["total"])

    assert (unread, foreign, deleted) == ((200, 1), (403, 1), (200, 0))


async def test_thirty_recipients_are_folded(server: Any) -> None:
    recipients = ", ".join(f"r{number}@x.org" for number in range(30))
    await server.send(f"To: {recipients}\r\nSubject: many\r\n\r\nx\r\n".encode())

    _, page, _ = await server.get("/mail/latest")

    assert b"25 more" in page
