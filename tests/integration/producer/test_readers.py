"""Administrators see readers and their mails, and send a mail again; other users do not find these pages."""

import asyncio
import json
from typing import Any

import pytest

from mailpact_producer.readers import MOST_LISTED

ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@example.org"
QUIET = {"mail_limit_mailbox": 0}


@pytest.fixture
async def admin(site: Any, data: Any, browser: Any) -> Any:
    """Return a browser of an administrator, Ada."""
    opened = browser(site.url)
    await opened.confirmed(ADA, data)
    data.rows("UPDATE users SET is_admin = 1")
    await opened.log_in(ADA)
    return opened


def id_of(data: Any, email: str) -> int:
    return int(data.rows("SELECT id FROM users WHERE email = :email", email=email)[0][0])


def mail_ids(data: Any, email: str) -> list[str]:
    query = "SELECT message_id FROM mails WHERE email = :email ORDER BY made_at"
    return [row[0] for row in data.rows(query, email=email)]


def tell(data: Any, message_id: str, state: str, **columns: Any) -> None:
    """Store the status of mails as the consumer's events would set it."""
    assignments = "".join(f", {name} = :{name}" for name in columns)
    data.rows(
        f"UPDATE mails SET state = :state{assignments} WHERE message_id = :id",
        state=state,
        id=message_id,
        **columns,
    )
    data.rows("UPDATE outbox SET state = 'published' WHERE message_id = :id", id=message_id)


def acts(data: Any) -> list[tuple[Any, ...]]:
    return data.rows("SELECT act, account, object FROM audit_log ORDER BY id")


async def again(admin: Any, user_id: int, message_id: str, **fields: str) -> Any:
    path = f"/readers/{user_id}"
    return await admin.submit(path, f"{path}/mails/{message_id}/again", **fields)


async def test_list_is_paged_and_search_finds_by_a_part_of_the_address(admin: Any, data: Any) -> None:
    columns = "(name, email, email_key, password_hash, created_at)"
    for number in range(MOST_LISTED + 5):
        email = f"reader{number:03}_x@Example.org"
        query = f"INSERT INTO users {columns} VALUES ('Reader', :email, :key, '-', 1)"
        data.rows(query, email=email, key=email.casefold())

    first = (await admin.get("/readers")).text
    oldest = min(id_ for (id_,) in data.rows("SELECT id FROM users ORDER BY id DESC LIMIT :n", n=MOST_LISTED))
    second = (await admin.get(f"/readers?before={oldest}")).text
    found = (await admin.submit("/readers", "/readers", address=" READER003_X@ex ")).text
    nothing = (await admin.submit("/readers", "/readers", address="reader00%")).text
    many = (await admin.submit("/readers", "/readers", address="reader")).text
    empty = await admin.submit("/readers", "/readers", address=" ")

    assert f"/readers?before={oldest}" in first
    assert [f"reader{n:03}_x" in first for n in (0, 4, 5, 54)] == [False, False, True, True]
    assert [f"reader{n:03}_x" in second for n in (0, 4, 5, 54)] == [True, True, False, False]
    assert (found.count('class="who"'), "reader003_x" in found) == (1, True)
    assert "No reader has such an address" in nothing
    assert "There are more" in many
    assert (empty.status, empty.headers["Location"]) == (303, "/readers")
    for odd in ("x", "-1", "9" * 30, "1'"):
        assert (await admin.get(f"/readers?before={odd}")).status == 200


async def test_reader_page_tells_each_state_and_the_reply(admin: Any, site: Any, data: Any) -> None:
    await site.register(BOB)
    page = f"/readers/{id_of(data, BOB)}"
    (message_id,) = mail_ids(data, BOB)
    waiting = (await admin.get(page)).text
    shown = {}
    for state in ("queued", "deferred", "uncertain", "failed", "expired", "sent"):
        tell(
            data, message_id, state, smtp_code=550, reply="5.1.1 <b>no</b> such user", attempt=3, error="x_y"
        )
        shown[state] = (await admin.get(page)).text

    assert "Waiting to leave the site" in waiting
    assert "/again" not in waiting
    for state, words in {
        "queued": "Queued",
        "deferred": "Put off, will be tried again (try 3)",
        "uncertain": "Uncertain, will be tried again",
        "failed": "Failed",
        "expired": "Expired",
        "sent": "Sent",
    }.items():
        assert f"· {words}" in shown[state]
        assert "/again" in shown[state]
        assert "<b>no</b>" not in shown[state]
        assert ("5.1.1 &lt;b&gt;no" in shown[state]) is (state != "sent")


async def test_mail_sent_again_has_a_new_link_and_the_old_one_works_no_more(
    admin: Any, site: Any, data: Any
) -> None:
    await site.register(BOB)
    bob, (message_id,) = id_of(data, BOB), mail_ids(data, BOB)
    old = data.mails()[-1]
    tell(data, message_id, "failed", smtp_code=550, reply="no")

    answer = await again(admin, bob, message_id)
    new = data.mails()[-1]
    dead = await site.get(old.link)
    done = await site.submit(new.link, "/confirm")
    of_no_use = await admin.get(f"/readers/{bob}")

    assert (answer.status, answer.headers["Location"]) == (303, f"/readers/{bob}")
    assert (new.to, new.template) == (BOB, "confirm-address")
    assert new.message_id not in (old.message_id, "")
    assert (dead.status, done.status) == (410, 303)
    assert "/again" not in of_no_use.text
    assert acts(data)[-1] == ("mail-sent-again", id_of(data, ADA), f"reader/{bob}/mail/{new.message_id}")


async def test_form_posted_twice_sends_one_mail(admin: Any, site: Any, data: Any) -> None:
    await site.register(BOB)
    bob, (message_id,) = id_of(data, BOB), mail_ids(data, BOB)
    tell(data, message_id, "sent")
    path = f"/readers/{bob}"
    hidden = await admin.hidden_fields(path)

    answers = await asyncio.gather(
        *(admin.post(f"{path}/mails/{message_id}/again", data=hidden) for _ in range(2))
    )

    assert [answer.status for answer in answers] == [303, 303]
    assert len(mail_ids(data, BOB)) == 2
    assert [act for act, *_ in acts(data)].count("mail-sent-again") == 1


async def test_limit_of_the_mailbox_holds_until_the_administrator_overrides_it(
    admin: Any, site: Any, data: Any
) -> None:
    await site.register(BOB)
    bob, (message_id,) = id_of(data, BOB), mail_ids(data, BOB)
    tell(data, message_id, "failed", smtp_code=550, reply="no")

    path = f"/readers/{bob}/mails/{message_id}/again"
    within = [
        (await admin.post(path, data=await admin.hidden_fields(f"/readers/{bob}"))).status for _ in range(2)
    ]
    tell(data, mail_ids(data, BOB)[-1], "failed")
    path = f"/readers/{bob}/mails/{mail_ids(data, BOB)[-1]}/again"
    over = await admin.post(path, data=await admin.hidden_fields(f"/readers/{bob}"))
    count = len(mail_ids(data, BOB))
    hidden = await admin.hidden_fields(f"/readers/{bob}")
    overridden = await admin.post(path, data=hidden | {"override": "yes"})

    assert (within, over.status, count) == ([303, 303], 429, 3)
    assert "Send in spite of the limit" in over.text
    assert 'name="override" value="yes"' in over.text
    assert (overridden.status, len(mail_ids(data, BOB))) == (303, 4)
    assert [act for act, *_ in acts(data)][-2:] == ["mail-sent-again", "limit-overridden"]


async def test_change_of_address_that_was_given_up_is_not_sent_again(
    admin: Any, start_site: Any, browser: Any, data: Any
) -> None:
    reader = browser(admin.url)
    await reader.confirmed(BOB, data)
    await reader.log_in(BOB)
    change = {"email": EVE, "password-for-address": "correct horse battery"}
    await reader.submit("/account", "/account/address", **change)
    bob, (message_id,) = id_of(data, BOB), mail_ids(data, EVE)
    tell(data, message_id, "failed", smtp_code=550, reply="no")
    page = await admin.get(f"/readers/{bob}")

    assert (await again(admin, bob, message_id)).status == 303
    first, second = data.mails()[-2:]
    assert (first.to, second.to, second.template) == (EVE, EVE, "change-address")
    assert (await reader.get(first.link)).status == 410
    await reader.submit(second.link, "/change-address/not-me")
    hidden = await admin.hidden_fields("/readers")
    late = await admin.post(f"/readers/{bob}/mails/{message_id}/again", data=hidden)

    assert f"{message_id}/again" in page.text
    assert (late.status, len(mail_ids(data, EVE))) == (409, 2)
    assert f"{message_id}/again" not in (await admin.get(f"/readers/{bob}")).text


@pytest.mark.parametrize("template", ["reset-password", "password-changed"])
async def test_other_mails_are_sent_again(start_site: Any, browser: Any, data: Any, template: str) -> None:
    site = await start_site(**QUIET)
    admin = browser(site.url)
    await admin.confirmed(ADA, data)
    data.rows("UPDATE users SET is_admin = 1")
    await admin.log_in(ADA)
    reader = browser(site.url)
    await reader.confirmed(BOB, data)
    await reader.submit("/forgot", "/forgot", email=BOB)
    old = data.mails()[-1]
    await reader.submit(old.link, "/reset", password="another long phrase")
    mail = next(each for each in data.mails() if each.template == template)
    tell(data, mail.message_id, "failed", smtp_code=550, reply="no")

    answer = await again(admin, id_of(data, BOB), mail.message_id)

    new = data.mails()[-1]
    assert (answer.status, new.template, new.to) == (303, template, BOB)
    assert new.message_id != mail.message_id
    if template == "reset-password":
        assert (await reader.submit(new.link, "/reset", password="a third long phrase")).status == 303


async def test_nobody_but_administrators_finds_the_pages(
    admin: Any, site: Any, data: Any, browser: Any
) -> None:
    reader = browser(site.url)
    await reader.confirmed(BOB, data)
    await reader.log_in(BOB)
    bob, (message_id, *_) = id_of(data, BOB), mail_ids(data, BOB)
    posts = ("/readers", f"/readers/{bob}/mails/{message_id}/again")
    hidden = await reader.hidden_fields("/account")

    for path in (
        "/readers",
        f"/readers/{bob}",
        f"/readers/{id_of(data, ADA)}",
        "/audit",
        "/audit?kind=logged-in",
    ):
        stranger = await site.get(path)
        assert (stranger.status, stranger.headers["Location"]) == (303, "/login")
        assert (await reader.get(path)).status == 404
    for path in posts:
        assert (await site.post(path, data=await site.hidden_fields("/login"))).status == 404
        assert (await reader.post(path, data=hidden | {"address": "ada"})).status == 404
    assert "/readers" not in (await reader.get("/")).text
    assert len(data.mails()) == 2


async def test_mail_of_another_reader_is_not_sent_again(admin: Any, site: Any, data: Any) -> None:
    for email in (BOB, EVE):
        await site.register(email)
    bob, (of_bob,), (of_eve,) = id_of(data, BOB), mail_ids(data, BOB), mail_ids(data, EVE)
    hidden = await admin.hidden_fields("/readers")
    count = len(data.mails())

    for path in (
        f"/readers/{bob}/mails/{of_eve}/again",
        f"/readers/{bob + 99}/mails/{of_bob}/again",
        f"/readers/{bob}/mails/none/again",
        f"/readers/{'9' * 30}/mails/{of_bob}/again",
    ):
        assert (await admin.post(path, data=hidden)).status == 404
    for path in ("/readers/0", "/readers/x", f"/readers/{'9' * 30}", "/readers/1%00"):
        assert (await admin.get(path)).status == 404
    assert len(data.mails()) == count


@pytest.mark.parametrize("fields", [{}, {"csrf": "x"}])
async def test_form_that_is_not_ours_sends_nothing(
    admin: Any, site: Any, data: Any, fields: dict[str, str]
) -> None:
    await site.register(BOB)
    bob, (message_id,) = id_of(data, BOB), mail_ids(data, BOB)

    sent = await admin.post(f"/readers/{bob}/mails/{message_id}/again", data=fields)
    searched = await admin.post("/readers", data=fields | {"address": "bob"})

    assert (sent.status, searched.status) == (403, 403)
    assert len(mail_ids(data, BOB)) == 1


async def test_banner_says_when_mail_does_not_flow(admin: Any, site: Any, data: Any) -> None:
    await site.register(BOB)
    in_time = (await admin.get("/")).text
    data.rows("UPDATE outbox SET made_at_seconds = made_at_seconds - 300")
    late, stranger = (await admin.get("/")).text, (await site.get("/")).text
    data.rows("UPDATE outbox SET state = 'published'")
    after = (await admin.get("/account")).text

    words = "Mail does not flow."
    assert [words in text for text in (in_time, late, stranger, after)] == [False, True, False, False]
    assert "a message has waited in the outbox for 30" in late


async def test_searched_address_stands_in_no_log(
    admin: Any, data: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    await admin.submit("/readers", "/readers", address="someone.secret@example.org")

    said = capfd.readouterr()
    assert "someone.secret" not in caplog.text + said.out + said.err


async def test_export_holds_the_mails_and_never_tells_of_another_account(
    start_site: Any, browser: Any, data: Any
) -> None:
    """A reader who asks for an address of another account must not learn from the export that the account exists."""
    site = await start_site(**QUIET)
    reader, owner = browser(site.url), browser(site.url)
    await owner.confirmed(EVE, data)
    await reader.confirmed(BOB, data)
    await reader.log_in(BOB)
    files = []
    for wanted in (EVE, "free@example.org"):
        change = {"email": wanted, "password-for-address": "correct horse battery"}
        await reader.submit("/account", "/account/address", **change)
        files.append(json.loads((await reader.get("/account/export")).text))

    assert files[0] == files[1]
    assert [mail["mail"] for mail in files[0]["mails"]] == ["confirm-address"]
    assert mail_ids(data, EVE) == [each.message_id for each in data.mails() if each.to == EVE]
