"""The audit log records who did what to which object, and nothing that must not be kept."""

import asyncio
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from mailpact.database.engine import open_database
from mailpact_producer.audit import OPERATOR, Act
from mailpact_producer.housekeeping import clean
from mailpact_producer.settings import parse_networks
from mailpact_producer.store import audit_log
from mailpact_producer.store.pages import WELCOME_PAGE
from mailpact_producer.web.audit import MOST_LISTED
from tests.command import run

ADA, BOB, NEW = "ada@example.org", "bob@example.org", "new@example.org"
PASSWORD, OTHER = "correct horse battery", "another long phrase"
PAGE = f"/page/{WELCOME_PAGE}"
NETWORK = "127.0.0.0/24"


def entries(data: Any) -> list[tuple[Any, ...]]:
    """Return the entries so far, and delete them."""
    found = data.rows("SELECT act, account, object, network FROM audit_log ORDER BY id")
    data.rows("DELETE FROM audit_log")
    assert {network for *_, network in found} <= {NETWORK}
    return [tuple(row) for *row, _ in found]


async def person(site: Any, data: Any, browser: Any, email: str) -> tuple[Any, int]:
    """Return the browser of a user who is logged in, and the id of the account."""
    opened = browser(site.url)
    await opened.confirmed(email, data)
    await opened.log_in(email)
    (id_,) = data.rows("SELECT id FROM users WHERE email = :email", email=email)[0]
    return opened, int(id_)


async def test_entries_are_deleted_after_a_year_and_no_sooner(site: Any, data: Any) -> None:
    day, now = 24 * 3600 * 1_000_000, time.time_ns() // 1000
    for age in (800, 366, 364, 0):
        data.rows(
            "INSERT INTO audit_log (at, act, object, network) VALUES (:at, 'logged-in', :age, '')",
            at=now - age * day,
            age=str(age),
        )

    async with open_database(data.url) as database:
        await clean(database)

    assert data.rows("SELECT object FROM audit_log ORDER BY id") == [("364",), ("0",)]


async def test_what_accounts_do(start_site: Any, data: Any, browser: Any) -> None:
    site = await start_site(mail_limit_mailbox=0)
    bob, id_ = await person(site, data, browser, BOB)
    me = f"reader/{id_}"
    assert entries(data) == [("logged-in", id_, me)]

    await bob.submit("/account", "/logout")
    await bob.log_in(BOB, "wrong password")
    await bob.log_in("nobody@example.org", "wrong password")
    await bob.log_in(BOB)
    assert entries(data) == [
        ("logged-out", id_, me),
        ("login-failed", None, me),
        ("login-failed", None, ""),
        ("logged-in", id_, me),
    ]

    await bob.submit("/account", "/account/password", **{"password-new": OTHER, "password-old": PASSWORD})
    await bob.submit("/account", "/account/address", **{"email": NEW, "password-for-address": OTHER})
    await bob.submit(data.mails()[-1].link, "/change-address")
    await bob.get("/account/export")
    await bob.submit("/forgot", "/forgot", email=NEW)
    await bob.submit(data.mails()[-1].link, "/reset", password=PASSWORD)
    assert entries(data) == [
        ("password-changed", id_, me),
        ("address-changed", id_, me),
        ("account-exported", id_, me),
        ("password-reset", id_, me),
    ]

    await bob.log_in(NEW)
    await bob.submit("/account", "/account/delete", **{"password-for-delete": PASSWORD})
    assert entries(data)[-1] == ("account-deleted", id_, me)


async def test_each_entry_is_a_log_record_too(start_site: Any, data: Any, browser: Any) -> None:
    site = await start_site(mail_limit_mailbox=0)
    bob, id_ = await person(site, data, browser, BOB)
    with capture_logs() as logged:
        await bob.submit("/account", "/logout")
        await bob.log_in("nobody@example.org", "wrong password")

    about = {"event": "audit entry", "log_level": "info", "network": NETWORK}
    assert [each for each in logged if each["event"] == "audit entry"] == [
        {**about, "act": "logged-out", "account": id_, "object": f"reader/{id_}"},
        {**about, "act": "login-failed", "account": None, "object": ""},
    ]


async def test_entry_that_was_undone_is_not_logged(site: Any, data: Any) -> None:
    class Undone(Exception):
        pass

    def work(connection: Any) -> None:
        audit_log.add(connection, OPERATOR, Act.ADMIN_CREATED)
        raise Undone

    with capture_logs() as logged:
        async with open_database(data.url) as database:
            with pytest.raises(Undone):
                await database.transact(work)
            await database.transact(lambda connection: audit_log.add(connection, OPERATOR, Act.PAGE_EDITED))

    assert [each["act"] for each in logged if each["event"] == "audit entry"] == ["page-edited"]


async def test_what_readers_and_administrators_do_with_comments_and_pages(
    start_site: Any, data: Any, browser: Any
) -> None:
    site = await start_site(mail_limit_mailbox=0)
    ada, admin_id = await person(site, data, browser, ADA)
    bob, bob_id = await person(site, data, browser, BOB)
    data.rows("UPDATE users SET is_admin = 1 WHERE email = :email", email=ADA)
    entries(data)

    def last() -> int:
        return int(data.rows("SELECT max(id) FROM comments")[0][0])

    await bob.submit(PAGE, f"{PAGE}/comments", comment="Secret words")
    first = last()
    await ada.submit("/moderation", f"/moderation/comments/{first}/approve")
    await bob.submit(f"/comments/{first}", f"/comments/{first}", comment="Other words")
    hidden = await ada.hidden_fields("/account")
    for _ in range(2):
        await ada.post(f"/comments/{first}/report", data=hidden)
    await bob.submit(f"/comments/{first}", f"/comments/{first}/delete")
    await bob.submit(PAGE, f"{PAGE}/comments", comment="More words")
    second = last()
    await ada.submit("/moderation", f"/moderation/comments/{second}/delete")
    await bob.submit(PAGE, f"{PAGE}/comments", comment="Last words")
    third = last()
    await ada.submit("/moderation", f"/moderation/comments/{third}/block")
    await ada.submit("/moderation", f"/moderation/readers/{bob_id}/unblock")
    assert entries(data) == [
        ("comment-created", bob_id, f"comment/{first}"),
        ("comment-approved", admin_id, f"comment/{first}"),
        ("comment-edited", bob_id, f"comment/{first}"),
        ("comment-reported", admin_id, f"comment/{first}"),
        ("comment-deleted", bob_id, f"comment/{first}"),
        ("comment-created", bob_id, f"comment/{second}"),
        ("comment-removed", admin_id, f"comment/{second}"),
        ("comment-created", bob_id, f"comment/{third}"),
        ("reader-blocked", admin_id, f"reader/{bob_id}"),
        ("comment-removed", admin_id, f"comment/{third}"),
        ("reader-unblocked", admin_id, f"reader/{bob_id}"),
    ]

    draft = await ada.submit("/edit", "/edit", title="Title", text="Words", body="Words")
    (guid,) = data.rows("SELECT guid FROM pages WHERE title = 'Title'")[0]
    page = f"/edit/{guid}"
    await ada.submit(page, page, title="Title", body="Words", published="yes")
    await ada.submit(page, page, title="Title", body="Better words", published="yes")
    await ada.submit(f"{page}/delete", f"{page}/delete")
    await ada.submit("/edit", "/edit", title="Other", body="Words", published="yes")
    assert draft.status == 303
    found = entries(data)
    assert found[:5] == [
        ("page-created", admin_id, f"page/{guid}"),
        ("page-edited", admin_id, f"page/{guid}"),
        ("page-published", admin_id, f"page/{guid}"),
        ("page-edited", admin_id, f"page/{guid}"),
        ("page-deleted", admin_id, f"page/{guid}"),
    ]
    assert [act for act, *_ in found[5:]] == ["page-created", "page-published"]


async def test_what_did_not_happen_is_not_in_the_log(site: Any, data: Any, browser: Any) -> None:
    ada, _ = await person(site, data, browser, ADA)
    data.rows("UPDATE users SET is_admin = 1")
    entries(data)
    hidden = await ada.hidden_fields("/account")

    for path in (
        "/moderation/comments/99/approve",
        "/moderation/comments/99/delete",
        "/moderation/comments/99/block",
        "/moderation/readers/99/unblock",
    ):
        assert (await ada.post(path, data=hidden)).status == 303
    stale = hidden | {"version": "9", "title": "Title", "body": "Words"}
    assert (await ada.post(f"/edit/{WELCOME_PAGE}", data=stale)).status == 409
    assert (await ada.post("/account/password", data=hidden | {"password-new": OTHER})).status == 403

    assert entries(data) == []


async def test_operator_who_makes_an_administrator_is_named(site: Any, data: Any) -> None:
    done = await asyncio.to_thread(run, "create-admin", ADA, "--database-url", data.url.url)

    assert done.returncode == 0
    query = "SELECT act, account, object, network FROM audit_log"
    (id_,) = data.rows("SELECT id FROM users")[0]
    assert data.rows(query) == [("admin-created", None, f"reader/{id_}", "command line")]


async def test_page_is_filtered_by_kind_and_paged(site: Any, data: Any, browser: Any) -> None:
    ada, id_ = await person(site, data, browser, ADA)
    data.rows("UPDATE users SET is_admin = 1, name = '<b>Ada</b>'")
    columns = "(at, act, account, object, network)"
    for number in range(MOST_LISTED + 5):
        data.rows(
            f"INSERT INTO audit_log {columns} VALUES (1, 'page-edited', 77, :on, '::/64')",
            on=f"page/p{number:02}",
        )

    first = (await ada.get("/audit")).text
    older = first.rpartition('href="/audit?before=')[2].partition('"')[0]
    second = (await ada.get(f"/audit?before={older}")).text
    logins = (await ada.get("/audit?kind=logged-in")).text
    edits = (await ada.get("/audit?kind=page-edited")).text
    none = (await ada.get("/audit?kind=account-deleted")).text
    odd = await ada.get("/audit?kind=%3Cb%3E&before=x")

    assert [f"page/p{n:02}" in first for n in (4, 5, 54)] == [False, True, True]
    assert [f"page/p{n:02}" in second for n in (4, 5, 54)] == [True, False, False]
    assert (logins.count(f"/readers/{id_}"), "page/p54" in logins) == (2, False)
    assert "&amp;kind=page-edited" in edits
    assert "There is no entry of this kind" in none
    assert (odd.status, "<b>" in odd.text) == (200, False)
    assert "Account 77, deleted" in first
    assert "&lt;b&gt;Ada" in second
    assert all(act.value in first for act in Act)


@pytest.mark.parametrize("forwarded", ["203.0.113.77", "2001:db8:1:2:3:4:5:6"])
async def test_network_is_folded(start_site: Any, data: Any, browser: Any, forwarded: str) -> None:
    site = await start_site(trusted_proxies=parse_networks("127.0.0.1"))
    bob = browser(site.url)
    bob.session.headers["X-Forwarded-For"] = forwarded
    await bob.log_in(BOB)

    networks = {"203.0.113.77": "203.0.113.0/24", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64"}
    assert data.rows("SELECT network FROM audit_log") == [(networks[forwarded],)]


async def test_no_password_token_address_or_text_is_in_the_log(site: Any, data: Any, browser: Any) -> None:
    bob, _ = await person(site, data, browser, BOB)
    await bob.submit(PAGE, f"{PAGE}/comments", comment="Secret words")
    await site.log_in("typed.wrong@example.org", PASSWORD)
    await site.log_in(BOB, "my other password")

    stored = repr(data.rows("SELECT * FROM audit_log"))
    for secret in (PASSWORD, "my other", "example.org", "Secret", data.mails()[-1].link.partition("=")[2]):
        assert secret not in stored
