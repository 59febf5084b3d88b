"""Attacks: other readers' ids, links used twice, scripts in each field, other hosts, redirects to other sites."""

import asyncio
import json
import re
from html.parser import HTMLParser
from typing import Any
from unittest.mock import MagicMock

from mailpact_producer.store.pages import WELCOME_PAGE
from mailpact_producer.web.application import _routes
from mailpact_producer.web.readers import ReaderPages
from tests.integration.producer.conftest import ADA, BOB, EVE

DRAFT = "00000000-0000-4000-8000-000000000001"
PAGE = f"/page/{WELCOME_PAGE}"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus=alert(1) '",
    "</title><svg onload=alert(1)>",
    "{{ 77773 * 77773 }}",
]
SQL = [
    "Ada'); DROP TABLE users; --",
    "' OR '1'='1",
    "\\' OR 1=1 #",
    "%s %(name)s :name ? %%",
    "100 % \U0001f4b0",
]


class Elements(HTMLParser):
    """Collects the scripts and event handlers of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.dangers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "svg", "iframe", "object", "embed", "base"):
            self.dangers.append(tag)
        for name, value in attrs:
            is_script = re.match(r"\s*(javascript|data|vbscript):", value or "", re.IGNORECASE)
            if name.startswith("on") or is_script or (tag == "img" and name == "src" and value == "x"):
                self.dangers.append(f"{tag} {name}={value}")


def stored(data: Any) -> Any:
    """Return all stored data that a reader could change for others."""
    readers = "SELECT id, email, name, password_hash, is_admin, is_blocked FROM users ORDER BY id"
    tables = "pages", "comments", "reports", "links"
    return [data.rows(readers), *(sorted(data.rows(f"SELECT * FROM {table}"), key=repr) for table in tables)]


async def test_no_id_opens_what_belongs_to_somebody_else(
    site: Any, people: dict[str, Any], data: Any
) -> None:
    data.rows(
        "INSERT INTO pages (guid, slug, title, body, is_published, published_at)"
        " VALUES (:guid, 'draft', 'Secret', 'Secret', 0, 1)",
        guid=DRAFT,
    )
    await people[BOB].submit(PAGE, f"{PAGE}/comments", comment="Bob's, and waits")
    ((comment, bob),) = data.rows("SELECT id, user_id FROM comments")
    before = stored(data)
    everywhere = [*_routes(MagicMock()), *ReaderPages(MagicMock(), MagicMock()).routes()]
    routes = [(route.method, route.path) for route in everywhere if "{" in route.path]
    message = data.rows("SELECT message_id FROM mails WHERE email = :email", email=BOB)[0][0]
    fields = {"comment": "Taken", "title": "Taken", "body": "Taken", "version": "1", "slug": ""}

    for method, path in routes:
        number = bob if "readers/" in path else comment
        url = path.replace("{guid}", DRAFT).replace("{slug}", "draft").replace("{id}", str(number))
        url = url.replace("{message_id}", message)
        for person, form in ((people[EVE], "/account"), (site, "/register")):
            options = {"data": await person.hidden_fields(form) | fields} if method == "POST" else {}
            answer = await getattr(person, method.lower())(url, **options)
            assert answer.status in (403, 404) or answer.headers.get("Location") == "/login", (method, url)
            assert "Secret" not in answer.text
            assert "Bob" not in answer.text

    assert len(routes) > 12
    assert stored(data) == before


async def test_link_that_is_used_many_times_at_once_works_once(
    site: Any, people: dict[str, Any], data: Any
) -> None:
    await site.register("new@example.org")
    links = {"/confirm": data.mails()[-1].link}
    await site.submit("/forgot", "/forgot", email=BOB)
    links["/reset"] = data.mails()[-1].link
    change = {"email": "newer@example.org", "password-for-address": "correct horse battery"}
    await people[EVE].submit("/account", "/account/address", **change)
    links["/change-address"] = data.mails()[-1].link

    for path, link in links.items():
        token = link.rpartition("token=")[2]
        assert link == f"{path}?token={token}"
        hidden = await site.hidden_fields(link)
        for other in links:
            assert (await site.get(f"{other}?token={token}")).status == (200 if other == path else 410)
        form = hidden | {"token": token, "password": "another horse battery"}
        answers = await asyncio.gather(*(site.post(link, data=form) for _ in range(5)))
        again = await site.post(link, data=form)

        assert sorted(answer.status for answer in answers) == [303, 410, 410, 410, 410], path
        assert again.status == 410
        assert (await site.get(link)).status == 410


async def test_no_field_of_a_reader_or_a_page_runs_on_any_page(
    site: Any, people: dict[str, Any], data: Any, browser: Any
) -> None:
    for number, text in enumerate(HOSTILE):
        await assert_nothing_runs(site, people[ADA], browser(site.url), data, text, f"m{number}@example.org")


async def assert_nothing_runs(site: Any, admin: Any, mallory: Any, data: Any, text: str, email: str) -> None:
    assert (await mallory.register(email, name=text)).status == 303
    link = data.mails()[-1].link
    pages = [await mallory.get(link)]
    await mallory.submit(link, "/confirm")
    await mallory.log_in(email)
    form = {"title": text, "slug": "", "body": f"{text}\n\n# {text}\n\n- [{text}](/)", "published": "yes"}
    path = (await admin.submit("/edit", "/edit", **form)).headers["Location"]
    guid = data.rows("SELECT guid FROM pages WHERE slug = :slug", slug=path.removeprefix("/pages/"))[0][0]
    await mallory.submit(path, f"/page/{guid}/comments", comment=text)
    pages += [await admin.get("/moderation")]
    data.rows("UPDATE comments SET state = 'shown'")
    data.rows("UPDATE users SET is_blocked = 1 WHERE email = :email", email=email)
    pages += [await mallory.get(each) for each in ("/account", path, "/")]
    pages += [
        await admin.get(each) for each in (f"/edit/{guid}", f"/edit/{guid}/delete", "/moderation", path)
    ]
    pages += [await site.get(each) for each in ("/", path, f"/page/{guid}", "/nowhere?" + text)]

    for page in pages:
        assert page.status in (200, 404)
        assert Elements(page.text).dangers == []
        assert str(77773 * 77773) not in page.text
    export = await mallory.get("/account/export")
    api = [await site.get(f"/api{path}"), await site.get(f"/api{path}/comments")]
    for answer in (*api, export):
        assert answer.headers["Content-Type"].partition(";")[0] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert json.loads(api[1].text)["comments"][0]["author"] == text
    assert Elements(json.loads(api[0].text)["html"]).dangers == []


async def test_host_of_a_request_is_in_no_answer(site: Any) -> None:
    paths = ["/", "/pages/welcome", PAGE, "/feed.atom", "/sitemap.xml", "/register", "/nowhere", "/api/pages",
             "/api/pages/welcome", "/api/pages/none"]  # fmt: skip
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}

    for path in paths:
        async with site.session.get(site.url + path, headers=headers, allow_redirects=False) as answer:
            said = await answer.text() + str(answer.headers)
            assert "evil" not in said, path


async def test_no_answer_leads_to_another_site_or_has_a_header_of_the_client_s(
    site: Any, people: dict[str, Any]
) -> None:
    asked = [
        "//evil.example",
        "/%2fevil.example",
        "/\\evil.example",
        "//evil.example/%2e%2e",
        "/login?next=//evil.example",
        "/account?next=https://evil.example",
        "/confirm?token=x%0d%0aSet-Cookie:%20evil=1",
        "/moderation/../..//evil.example",
        "/pages/x%0d%0aLocation:%20https://evil.example",
        "/register?page=//evil.example",
    ]
    for path in asked:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(30):
            head = (await reader.read()).partition(b"\r\n\r\n")[0].decode().lower()
        writer.close()
        assert "evil" not in head, head

    places = {"next": "https://evil.example", "page": "//evil.example", "return": "//evil.example"}
    answers = [
        await people[BOB].submit("/account", "/logout", **places),
        await people[BOB].submit("/login", "/login", email=BOB, password="correct horse battery", **places),
        await people[BOB].submit(PAGE, f"{PAGE}/comments", comment="Words", **places),
        await site.submit("/forgot", "/forgot", email=BOB, **places),
    ]
    for answer in answers:
        assert answer.status == 303
        assert re.match(r"/[a-z]*(?:$|[/#])", answer.headers["Location"]), answer.headers["Location"]


async def test_text_that_reads_like_sql_is_stored_and_searched_as_text(
    site: Any, people: dict[str, Any], data: Any
) -> None:
    emails = [f"reader-{number}@example.org" for number in range(len(SQL))]

    for email, text in zip(emails, SQL, strict=True):
        assert (await site.register(email, name=text)).status == 303
        assert BOB not in (await people[ADA].submit("/readers", "/readers", address=text)).text
        assert (await site.log_in(email, text)).status == 422

    stored_names = data.rows("SELECT name FROM users WHERE email LIKE 'reader-%' ORDER BY id")
    assert [name for (name,) in stored_names] == SQL
    mails = [mail for mail in data.mails() if mail.to in emails]
    assert [mail.data["name"] for mail in mails] == SQL
