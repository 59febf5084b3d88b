"""The site's answers to browsers and to attackers."""

import asyncio
import base64
import re
from html import unescape
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine, event

from mailpact.web.security import DEFAULT_HEADERS
from mailpact_producer.errors import TooBusy
from mailpact_producer.passwords import PasswordHashing
from mailpact_producer.store.pages import WELCOME_PAGE
from mailpact_producer.store.prepared import Prepared

OTHER_PAGE = "0b8e6f0a-3c1d-4a55-8a43-2f6f0c1d9e77"
FORM = "application/x-www-form-urlencoded"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)//",
    "<svg/onload=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
]


@pytest.fixture
def second_page(site: Any, data: Any) -> str:
    """Return the path of a second page beside the welcome page."""
    del site  # the site has made the tables
    data.rows(
        "INSERT INTO pages (guid, slug, title, body, published_at)"
        " VALUES (:guid, 'second', 'Second', 'One.\n\nTwo.', 0)",
        guid=OTHER_PAGE,
    )
    return OTHER_PAGE


# Reading and registering


async def test_home_lists_the_pages_and_leads_to_them(site: Any, second_page: str) -> None:
    home = await site.get("/")

    assert home.status == 200
    assert re.findall(r'<a href="/pages/([^"]+)">', home.text) == ["welcome", "second"]
    assert '<p dir="auto">Two.</p>' in (await site.get(f"/page/{second_page.upper()}")).text


async def test_form_carries_the_page_that_it_was_opened_from(site: Any, second_page: str) -> None:
    answer = await site.register("ada@example.org", page=second_page)

    assert (answer.status, answer.headers["Location"]) == (303, f"/page/{second_page}")


@pytest.mark.parametrize(
    "page", ["", "nowhere", OTHER_PAGE, "https://elsewhere.example/", "//elsewhere.example", "../register"]
)
async def test_from_any_other_place_registering_leads_to_the_welcome_page(site: Any, page: str) -> None:
    hidden = await site.hidden_fields()
    form = hidden | {"name": "Ada", "email": "ada@example.org", "password": "correct horse", "page": page}

    answer = await site.post("/register", data=form)

    assert (answer.status, answer.headers["Location"]) == (303, f"/page/{WELCOME_PAGE}")


async def test_thanks_are_given_once_and_name_the_address_that_was_typed(site: Any) -> None:
    answer = await site.register("ada@example.org")

    thanked = (await site.get(answer.headers["Location"])).text
    again = (await site.get(answer.headers["Location"])).text

    assert '<strong dir="auto">ada@example.org</strong>' in thanked
    assert '<a href="/register">Wrong address?</a>' in thanked
    assert "Thank you" not in again


async def test_nobody_else_can_make_the_site_name_an_address(site: Any) -> None:
    forged = "registered." + base64.urlsafe_b64encode(b"ada@example.org" + b"0" * 32).decode()

    async with site.session.get(site.url, headers={"Cookie": f"mailpact_notice={forged}"}) as answer:
        assert "ada@example.org" not in await answer.text()


async def test_wrong_form_comes_back_with_a_sentence_beside_each_field_and_without_the_password(
    site: Any, second_page: str
) -> None:
    answer = await site.register("ada@", page=second_page, name="Ada L.", password="zzzz")

    assert answer.status == 422
    focused = re.findall(r'<input id="(\w+)"[^>]* autofocus', answer.text)
    assert focused == ["email"]
    for field in ("email", "password"):
        assert re.search(
            rf'id="{field}"[^>]* aria-invalid="true" aria-describedby="{field}-error', answer.text
        )
        assert f'<p class="error" id="{field}-error">' in answer.text
    assert 'value="Ada L."' in answer.text
    assert 'value="ada@"' in answer.text
    assert f'name="page" value="{second_page}"' in answer.text
    assert "zzzz" not in answer.text


async def test_form_that_came_back_can_be_mended_and_posted(site: Any, data: Any) -> None:
    answer = await site.register("ada@")
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', answer.text))

    mended = await site.post(
        "/register", data=hidden | {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}
    )

    assert mended.status == 303
    assert data.rows("SELECT email FROM users") == [("ada@example.org",)]


async def test_password_is_kept_as_its_hash_alone(site: Any, data: Any) -> None:
    await site.register("ada@example.org", password="correct horse battery")

    ((kept,),) = data.rows("SELECT password_hash FROM users")
    assert PasswordHasher().verify(kept, "correct horse battery")
    assert "correct horse" not in data.everything()


# Attacks


async def test_known_address_costs_the_same_work(start_site: Any, data: Any, monkeypatch: Any) -> None:
    work: list[str] = []
    hash_password = PasswordHasher.hash
    monkeypatch.setattr(
        PasswordHasher, "hash", lambda self, password: work.append("hash") or hash_password(self, password)
    )
    write = Prepared.write  # this method does not fire SQLAlchemy's events

    def noted(self: Prepared, connection: Any, values: Any) -> int:
        work.append(self._bound(connection, values)[0])
        return write(self, connection, values)

    monkeypatch.setattr(Prepared, "write", noted)
    monkeypatch.setattr("mailpact_producer.housekeeping.FIRST_SECONDS", 3600.0)
    site = await start_site()

    async def work_of_registering() -> list[str]:
        work.clear()
        assert (await site.register("ada@example.org")).status == 303
        return list(work)

    watched = {
        "before_cursor_execute": lambda *arguments: work.append(arguments[2]),
        "commit": lambda _: work.append("COMMIT"),
        "rollback": lambda _: work.append("ROLLBACK"),
    }
    for name, note in watched.items():
        event.listen(Engine, name, note)
    try:
        unknown = await work_of_registering()
        unconfirmed = await work_of_registering()
        data.rows("UPDATE users SET confirmed_at = 1, delete_at = NULL")
        work.clear()
        confirmed = await work_of_registering()
    finally:
        for name, note in watched.items():
            event.remove(Engine, name, note)

    assert unknown == unconfirmed == confirmed
    assert unknown.count("hash") == 1
    assert (
        unknown.count("COMMIT") == 2
    )  # one COMMIT for the registration, one for the request of the next page
    assert sum("INSERT INTO outbox" in statement for statement in unknown) == 1


@pytest.mark.parametrize("forged", ["", "x", "AAAA", "é", None])
async def test_form_with_a_forged_token_is_refused_with_a_way_back(
    site: Any, data: Any, forged: str | None
) -> None:
    hidden = await site.hidden_fields() | ({} if forged is None else {"csrf": forged})
    if forged is None:
        del hidden["csrf"]
    form = hidden | {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}

    answer = await site.post("/register", data=form)

    assert answer.status == 403
    assert 'value="ada@example.org"' in answer.text
    assert "did not come from this site" in answer.text
    assert data.rows("SELECT count(*) FROM users") == [(0,)]


async def test_token_of_somebody_else_is_refused_without_their_cookie(
    site: Any, browser: Any, data: Any
) -> None:
    stolen = await browser(site.url).hidden_fields()
    await site.hidden_fields()
    form = stolen | {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}

    answers = [
        await site.post("/register", data=form),
        await browser(site.url).post("/register", data=form),  # a browser without any cookie
    ]

    assert [answer.status for answer in answers] == [403, 403]


async def test_planted_cookie_is_refused_because_we_did_not_sign_it(site: Any, browser: Any) -> None:
    form = {"csrf": "planted", "name": "Ada", "email": "ada@example.org", "password": "correct horse"}

    answer = await browser(site.url).post("/register", data=form, headers={"Cookie": "mailpact_csrf=planted"})

    assert answer.status == 403


async def test_opening_the_form_again_does_not_spoil_the_one_that_is_open(site: Any) -> None:
    first_tab = await site.hidden_fields()
    await site.hidden_fields()
    form = first_tab | {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}

    answer = await site.post("/register", data=form)

    assert answer.status == 303


async def test_form_of_one_process_of_the_site_is_good_on_another(start_site: Any) -> None:
    first, second = await start_site(), await start_site()
    hidden = await first.hidden_fields()
    form = hidden | {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}

    answer = await second.post("/register", data=form, headers={"Cookie": f"mailpact_csrf={hidden['csrf']}"})

    assert answer.status == 303


async def test_cookies_are_for_the_site_alone(start_site: Any) -> None:
    http, https = await start_site(), await start_site(base_url="https://cms.example")

    plain = (await http.get("/register")).headers["Set-Cookie"]
    secure = (await https.get("/register")).headers["Set-Cookie"]

    assert plain.startswith("mailpact_csrf=")
    assert "Secure" not in plain
    assert secure.startswith("__Host-mailpact_csrf=")
    assert "Secure" in secure
    for cookie in (plain, secure):
        assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_comes_back_as_text(site: Any, text: str) -> None:
    answer = await site.register(text[:250], name=text, password="short")

    assert answer.status == 422
    values = re.findall(r'<input id="(?:name|email)"[^>]* value="([^"]*)"', answer.text)
    assert [unescape(value) for value in values] == [text, text]
    assert [re.search("[<>\"']", value) for value in values] == [None, None]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_page_is_shown_as_text(site: Any, data: Any, text: str) -> None:
    data.rows(
        "INSERT INTO pages (guid, slug, title, body, published_at) VALUES (:guid, 'other', :text, :text, 0)",
        guid=OTHER_PAGE, text=text,
    )  # fmt: skip

    for path in ("/", f"/page/{OTHER_PAGE}"):
        answer = await site.get(path)

        tags = set(re.findall(r"<(\w+)", answer.text))
        assert tags.isdisjoint({"script", "svg"})
        assert "onerror=alert(1)>" not in answer.text
        assert text in unescape(answer.text)


async def test_every_answer_carries_the_security_headers(site: Any, data: Any) -> None:
    answers = [
        await site.get("/"),
        await site.get("/nowhere"),
        await site.post("/"),
        await site.post("/register", data={}),
        await site.register("ada@"),
        await site.register("ada@example.org"),
        await site.post("/register", data=b"x" * 70_000, headers={"Content-Type": FORM}),
    ]
    data.rows(
        "UPDATE pages SET published_at = 9000000000000000000"
    )  # an impossible value: no calendar goes so far
    answers.append(await site.get("/"))

    assert [answer.status for answer in answers] == [200, 404, 405, 403, 422, 303, 413, 500]
    for answer in answers:
        expected = DEFAULT_HEADERS | {"Cache-Control": "no-cache" if answer is answers[0] else "no-store"}
        assert {name: answer.headers[name] for name in DEFAULT_HEADERS} == expected
        assert "Server" not in answer.headers


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"--x--", "multipart/form-data; boundary=x", 415),
        (b"name=%ff", FORM, 400),
        ("name=é".encode(), FORM, 400),
        (b"&".join(b"field%d=1" % number for number in range(21)), FORM, 400),
        (b"name=Ada", f"{FORM}; charset=nonsense", 403),
        (b"name=" + b"x" * (64 * 1024), FORM, 413),
    ],
)
async def test_what_is_no_form_of_ours_is_refused_with_a_page(
    site: Any, body: bytes, content_type: str, status: int
) -> None:
    answer = await site.post("/register", data=body, headers={"Content-Type": content_type})

    assert answer.status == status
    assert "<h1>" in answer.text


@pytest.mark.parametrize("path", ["/page/nowhere", f"/page/{OTHER_PAGE}", "/page/%00", "/page/%ff", "/x"])
async def test_unknown_page_is_not_found(site: Any, path: str) -> None:
    answer = await site.get(path)

    assert answer.status == 404
    assert '<a class="button" href="/">' in answer.text


# When a service is missing


async def test_hundred_registrations_at_once_are_all_taken(site: Any, data: Any) -> None:
    hidden = await site.hidden_fields()

    async def register(number: int) -> Any:
        form = {"name": "Ada", "email": f"reader-{number}@example.org", "password": "correct horse"}
        return await site.post("/register", data=hidden | form)

    answers = await asyncio.gather(*(register(number) for number in range(100)))

    assert {answer.status for answer in answers} == {303}
    assert data.rows("SELECT count(*) FROM users") == [(100,)]


async def test_over_capacity_the_form_comes_back_filled_in_and_the_log_stays_short(
    site: Any, data: Any, monkeypatch: Any, capfd: Any
) -> None:
    async def too_busy(*_: str) -> str:
        raise TooBusy("all threads hash")

    monkeypatch.setattr(PasswordHashing, "hash", too_busy)

    answers = [await site.register(f"ada+{number}@example.org") for number in range(3)]

    assert [(answer.status, answer.headers["Retry-After"]) for answer in answers] == [(503, "5")] * 3
    assert 'value="ada+2@example.org"' in answers[2].text
    assert 'value="Ada"' in answers[2].text
    assert "correct horse" not in answers[2].text
    assert data.rows("SELECT count(*) FROM users") == [(0,)]
    assert "".join(capfd.readouterr()).count("cannot be served now") == 1


@pytest.mark.parametrize("table", ["users", "outbox"])
async def test_without_its_database_the_site_says_so_and_stores_nothing(
    site: Any, data: Any, table: str
) -> None:
    data.rows(f"ALTER TABLE {table} RENAME TO away")

    answer = await site.register("ada@example.org")

    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    data.rows(f"ALTER TABLE away RENAME TO {table}")
    assert data.rows("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM outbox)") == [(0, 0)]
