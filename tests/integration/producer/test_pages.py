"""Pages: everybody reads them, administrators write them, and of two simultaneous changes none is lost silently."""

import asyncio
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

ADA, BOB = "ada@example.org", "bob@example.org"
ATOM = {"a": "http://www.w3.org/2005/Atom"}
HOSTILE = [
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "![x](https://elsewhere.example/pixel.png)",
    "<img src=x onerror=alert(1)>",
    '[x](https://x.example "\\" onmouseover=\\"alert(1)")',
    "<https://x.example/\" onclick=\"alert(1)>",
    "```\"><script>alert(1)</script>\nx\n```",
    "<svg/onload=alert(1)>",
]  # fmt: skip


ALLOWED = re.compile(
    "main|article|section|h[1-6]|p|a|time|aside|strong|em|ul|ol|li|blockquote|pre|code|span|nav"
)


class Elements(HTMLParser):
    """Collects the elements and attributes of a page as a browser reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


@pytest.fixture
async def admin(site: Any, data: Any, browser: Any) -> Any:
    """Return a browser in which an administrator is logged in."""
    opened = browser(site.url)
    await opened.confirmed(ADA, data)
    data.rows("UPDATE users SET is_admin = 1 WHERE email = :email", email=ADA)
    assert (await opened.log_in(ADA)).status == 303
    return opened


async def write(admin: Any, title: str = "One", body: str = "Text.", **fields: str) -> str:
    """Write and publish a page, and return its path."""
    form = {"title": title, "slug": "", "body": body, "published": "yes"} | fields
    answer = await admin.submit("/edit", "/edit", **form)
    assert answer.status == 303, answer.text
    return str(answer.headers["Location"])


async def edit_path(admin: Any, path: str) -> str:
    """Return the path of the form that changes a page."""
    found = re.search(r'href="(/edit/[0-9a-f-]{36})"', (await admin.get(path)).text)
    assert found
    return found[1]


async def test_administrator_makes_changes_and_deletes_a_page(site: Any, admin: Any) -> None:
    path = await write(admin, "Crème brûlée", "# How\n\n*Slowly*.")
    form = await edit_path(admin, path)
    read = await site.get(path)

    changed = await admin.submit(form, form, title="Custard", slug="custard", body="Fast.", published="yes")
    again = await site.get("/pages/custard")
    by_guid = await site.get(form.replace("/edit/", "/page/"))
    deleted = await admin.submit(f"{form}/delete", f"{form}/delete")

    assert path == "/pages/creme-brulee"
    assert '<h2 dir="auto">How</h2>' in read.text
    assert '<p dir="auto"><em>Slowly</em>.</p>' in read.text
    assert (changed.status, changed.headers["Location"]) == (303, "/pages/custard")
    assert (await site.get(path)).status == 404
    assert "Fast." in again.text
    assert '<link rel="canonical" href="http://127.0.0.1/pages/custard">' in by_guid.text
    assert deleted.status == 303
    assert (await site.get("/pages/custard")).status == 404


async def test_draft_is_for_administrators_only_until_it_is_published(
    site: Any, admin: Any, data: Any
) -> None:
    form = {"title": "Secret plan", "slug": "", "body": "Later."}
    path = (await admin.submit("/edit", "/edit", **form)).headers["Location"]
    data.rows("UPDATE pages SET published_at = 1 WHERE slug = 'secret-plan'")
    edit = await edit_path(admin, path)
    public = ("/", "/feed.atom", "/sitemap.xml", path, edit.replace("/edit/", "/page/"))

    hidden = [await site.get(each) for each in public]
    seen = await admin.get(path)
    await admin.submit(edit, edit, **form, published="yes")

    assert [answer.status for answer in hidden] == [200, 200, 200, 404, 404]
    assert all("ecret" not in answer.text for answer in hidden)
    assert "Draft" in seen.text
    assert (await site.get(path)).status == 200
    assert data.rows("SELECT 1 FROM pages WHERE slug = 'secret-plan' AND published_at > 1") == [(1,)]


async def test_of_two_editors_neither_text_is_lost(site: Any, admin: Any, data: Any) -> None:
    path = await write(admin, "Ours", "First text.")
    form = await edit_path(admin, path)
    opened = (await admin.get(form)).text
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', opened))
    await admin.submit(form, form, title="Ours", body="Text of the first editor.", slug="", published="yes")

    mine = {"title": "Mine", "slug": "", "body": "Text of the second editor.", "published": "yes"}
    conflict = await admin.post(form, data=hidden | mine)
    kept = (await site.get("/pages/ours")).text
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', conflict.text))
    saved = await admin.post(form, data=hidden | mine)

    assert conflict.status == 409
    assert "Text of the first editor." in conflict.text
    assert "Text of the second editor." in conflict.text
    assert "Text of the first editor." in kept
    assert saved.status == 303
    assert "Text of the second editor." in (await site.get("/pages/mine")).text


async def test_editor_of_a_page_that_was_deleted_keeps_the_text_and_makes_a_new_page(
    site: Any, admin: Any
) -> None:
    path = await write(admin)
    form = await edit_path(admin, path)
    opened = (await admin.get(form)).text
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', opened))
    await admin.submit(f"{form}/delete", f"{form}/delete")

    mine = {"title": "Mine", "slug": "mine", "body": "Long work.", "published": "yes"}
    conflict = await admin.post(form, data=hidden | mine)
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', conflict.text))
    saved = await admin.post("/edit", data=hidden | mine)

    assert conflict.status == 409
    assert "Long work." in conflict.text
    assert 'action="/edit"' in conflict.text
    assert (saved.status, saved.headers["Location"]) == (303, "/pages/mine")


async def test_page_that_was_changed_is_not_deleted_by_a_form_of_before(admin: Any, site: Any) -> None:
    path = await write(admin)
    form = await edit_path(admin, path)
    opened = (await admin.get(f"{form}/delete")).text
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', opened))
    await admin.submit(form, form, title="One", slug="one", body="New words.", published="yes")

    answer = await admin.post(f"{form}/delete", data=hidden)

    assert answer.status == 409
    assert (await site.get(path)).status == 200


async def test_form_of_a_new_page_that_is_posted_twice_makes_one_page(admin: Any, data: Any) -> None:
    hidden = await admin.hidden_fields("/edit")
    form = hidden | {"title": "Twice", "slug": "", "body": "x", "published": "yes"}

    answers = await asyncio.gather(*(admin.post("/edit", data=form) for _ in range(3)))

    assert {(answer.status, answer.headers.get("Location")) for answer in answers} == {(303, "/pages/twice")}
    assert data.rows("SELECT count(*) FROM pages WHERE title = 'Twice'") == [(1,)]


async def test_two_pages_of_one_title_get_two_addresses_and_a_chosen_one_is_never_shared(
    admin: Any,
) -> None:
    paths = [await write(admin, "日本語"), await write(admin, "日本語"), await write(admin, "Page")]

    taken = await admin.submit("/edit", "/edit", title="Other", slug="page-2", body="kept text")

    assert paths == ["/pages/page", "/pages/page-2", "/pages/page-3"]
    assert taken.status == 422
    assert 'id="slug-error"' in taken.text
    assert "kept text" in taken.text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"title": " "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "two\u2028lines"}, "title"),
        ({"slug": "Upper"}, "slug"),
        ({"slug": "../admin"}, "slug"),
        ({"slug": "a--b"}, "slug"),
        ({"slug": "x" * 101}, "slug"),
        ({"body": "\r\n "}, "body"),
        ({"body": "я" * 16_001}, "body"),
    ],
)
async def test_wrong_page_comes_back_with_a_sentence_beside_its_field(
    admin: Any, data: Any, fields: dict[str, str], field: str
) -> None:
    form = {"title": "Good title", "slug": "", "body": "Good text", "published": "yes"} | fields

    answer = await admin.submit("/edit", "/edit", **form)

    assert answer.status == 422
    assert re.findall(r'id="(\w+)-error"', answer.text) == [field]
    assert re.search(rf'id="{field}"[^>]* autofocus', answer.text)
    assert data.rows("SELECT count(*) FROM pages") == [(1,)]


async def test_longest_text_is_kept_to_the_last_character(site: Any, admin: Any, data: Any) -> None:
    body = "\U0001d518" * 15_999 + "!"

    path = await write(admin, "Long", body)

    assert body in (await site.get(path)).text
    assert data.rows("SELECT body FROM pages WHERE slug = 'long'") == [(body,)]


@pytest.mark.parametrize("text", HOSTILE)
async def test_nothing_that_is_written_runs(site: Any, admin: Any, text: str) -> None:
    path = await write(admin, text.partition("\n")[0], f"{text}\n\n> {text}\n\n- {text}")

    for page in (path, "/"):
        shown = (await site.get(page)).text
        found = Elements()
        found.feed(shown[shown.index("<main") : shown.index("</main>")])
        assert all(ALLOWED.fullmatch(name) for name in found.names), found.names
        for name, value in found.attributes:
            assert not name.startswith("on"), (name, value)
            assert not re.match(r"\s*(javascript|data):", value, re.IGNORECASE), (name, value)
    feed = (await site.get("/feed.atom")).text
    content = ET.fromstring(feed).findtext("a:entry/a:content", "", ATOM)
    assert "<script" not in content
    assert "<img" not in content


@pytest.mark.parametrize("method", ["get", "post"])
async def test_whoever_is_no_administrator_finds_no_forms(
    site: Any, admin: Any, data: Any, browser: Any, method: str
) -> None:
    form = await edit_path(admin, await write(admin))
    reader = browser(site.url)
    await reader.confirmed(BOB, data)
    await reader.log_in(BOB)
    hidden = await reader.hidden_fields("/account")
    fields = hidden | {"title": "Mine", "slug": "", "body": "now", "version": "1", "published": "yes"}
    options = {"data": fields} if method == "post" else {}

    for path in ("/edit", form, f"{form}/delete", "/edit/nowhere"):
        assert (await getattr(reader, method)(path, **options)).status == 404
        stranger = await getattr(site, method)(path, **options)
        assert stranger.status == 404 or stranger.headers["Location"] == "/login"
    assert data.rows("SELECT count(*) FROM pages") == [(2,)]
    assert "/edit" not in (await reader.get("/")).text


async def test_form_of_another_site_changes_no_page(admin: Any, data: Any) -> None:
    form = await edit_path(admin, await write(admin))
    fields = {"title": "Mine", "slug": "", "body": "now", "version": "1", "csrf": "x"}

    for path in ("/edit", form, f"{form}/delete"):
        answer = await admin.post(path, data=fields)
        assert answer.status == 403
    hidden = await admin.hidden_fields(form)
    elsewhere = await admin.post(
        form, data=hidden | fields | {"csrf": hidden["csrf"]}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert elsewhere.status == 403
    assert data.rows("SELECT count(*) FROM pages WHERE title IN ('One', 'Welcome')") == [(2,)]


async def test_list_is_shown_in_parts_of_ten(site: Any, data: Any) -> None:
    for number in range(20):
        data.rows(
            "INSERT INTO pages (guid, slug, title, body, published_at) VALUES (:guid, :slug, 'T', 'x', :at)",
            guid=f"00000000-0000-4000-8000-{number:012}", slug=f"page-{number}", at=number,
        )  # fmt: skip

    parts = [(await site.get(path)).text for path in ("/", "/?page=2", "/?page=3")]

    found = [re.findall(r'href="/pages/([^"]+)"', part) for part in parts]
    assert [len(part) for part in found] == [10, 10, 1]
    assert [slug for part in found for slug in part] == [
        "welcome",
        *(f"page-{number}" for number in reversed(range(20))),
    ]
    assert ['rel="next"' in part for part in parts] == [True, True, False]
    assert ['rel="prev"' in part for part in parts] == [False, True, True]
    for wrong in ("4", "0", "-1", "x", "1" * 5000, "٢"):
        assert (await site.get(f"/?page={wrong}")).status == 404


async def test_feed_and_sitemap_name_the_pages_under_the_site_s_own_address(
    start_site: Any, data: Any
) -> None:
    site = await start_site(base_url="https://cms.example", site_name="A & B <c>")

    feed, sitemap = await site.get("/feed.atom"), await site.get("/sitemap.xml")

    atom = ET.fromstring(feed.text)
    assert feed.headers["Content-Type"] == "application/atom+xml; charset=utf-8"
    assert atom.findtext("a:title", "", ATOM) == "A & B <c>"
    entry = atom.find("a:entry", ATOM)
    assert entry is not None
    assert entry.findtext("a:title", "", ATOM) == "Welcome"
    assert "https://cms.example/pages/welcome" in [link.get("href") for link in entry.findall("a:link", ATOM)]
    assert {found.text for found in ET.fromstring(sitemap.text).iter() if found.tag.endswith("loc")} == {
        "https://cms.example/",
        "https://cms.example/pages/welcome",
    }
    assert 'type="application/atom+xml"' in (await site.get("/")).text


async def test_feed_is_xml_whatever_a_text_refers_to_or_an_earlier_release_has_stored(
    site: Any, data: Any
) -> None:
    data.rows("UPDATE pages SET title = :title, body = '&#12;a &#x1; &#xfffe;'", title="a\x0b\uffffb")

    atom = ET.fromstring((await site.get("/feed.atom")).text)

    assert atom.findtext("a:entry/a:title", "", ATOM) == "ab"


async def test_site_without_a_page_says_so_and_still_registers_readers(site: Any, data: Any) -> None:
    data.rows("DELETE FROM pages")

    answer = await site.register("new@example.org")

    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert "There are no pages yet" in (await site.get("/")).text
    assert ET.fromstring((await site.get("/feed.atom")).text).find("a:entry", ATOM) is None
