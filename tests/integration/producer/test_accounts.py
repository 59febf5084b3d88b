"""Accounts: the mailbox's owner confirms, the password logs in, and nobody else sees the account."""

import asyncio
import json
import re
import time
from http.cookies import SimpleCookie
from typing import Any

import pytest
from argon2 import PasswordHasher
from yarl import URL

SECOND = 1_000_000
ADA = "ada@example.org"
PASSWORD = "correct horse battery"


def notice(text: str) -> str:
    found = re.search(r'class="notice[^"]*" role="(?:status|alert)">(.*?)</(?:p|div)>', text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", "", found[1]).split()) if found else ""


# Confirming


async def test_reader_confirms_by_the_button_on_the_linked_page_and_logs_in(site: Any, data: Any) -> None:
    await site.register(ADA)
    (mail,) = data.mails()

    opened = [await site.get(mail.link) for _ in range(2)]  # a mail program may request the link first
    before = data.rows("SELECT confirmed_at FROM users")
    confirmed = await site.submit(mail.link, "/confirm")
    account_before_login = await site.get("/account")
    logged_in = await site.log_in(ADA)
    account = await site.get("/account")

    assert [answer.status for answer in opened] == [200, 200]
    assert before == [(None,)]
    assert (confirmed.status, confirmed.headers["Location"]) == (303, "/login")
    assert account_before_login.headers["Location"] == "/login"  # confirming logs nobody in
    assert (logged_in.status, logged_in.headers["Location"]) == (303, "/account")
    assert ADA in account.text
    assert "Log out" in account.text
    assert "Log out" in (await site.get("/")).text


async def test_unconfirmed_reader_is_told_so_and_only_with_the_right_password(site: Any) -> None:
    await site.register(ADA)

    right, wrong = await site.log_in(ADA), await site.log_in(ADA, "wrong horse")

    assert "not confirmed" in notice(right.text)
    assert "not confirmed" not in notice(wrong.text)


async def test_link_works_once_and_then_offers_a_new_one_without_a_form_that_uses_it(
    site: Any, data: Any
) -> None:
    await site.register(ADA)
    (mail,) = data.mails()
    page = (await site.get(mail.link)).text
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))

    first = await site.post("/confirm", data=hidden)
    second = await site.post("/confirm", data=hidden)
    opened = await site.get(mail.link)

    assert (first.status, second.status, opened.status) == (303, 410, 410)
    assert "used already" in opened.text
    assert 'href="/confirm/again"' in opened.text
    assert 'name="token"' not in opened.text


async def test_link_ends_after_a_day(site: Any, data: Any) -> None:
    await site.register(ADA)
    (mail,) = data.mails()
    ((expires_at,),) = data.rows("SELECT expires_at FROM links")

    assert abs(expires_at / SECOND - time.time() - 24 * 3600) < 60
    data.rows("UPDATE links SET expires_at = :past", past=int(time.time() - 1) * SECOND)
    opened = await site.get(mail.link)

    assert opened.status == 410
    assert 'href="/confirm/again"' in opened.text


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "../..", "%00", "é"])
async def test_invented_link_leads_to_the_page_that_offers_a_new_one(site: Any, token: str) -> None:
    for path in ("/confirm", "/reset", "/change-address"):
        assert (await site.get(f"{path}?token={token}")).status == 410


async def test_link_is_good_for_its_own_purpose_only(site: Any, data: Any) -> None:
    await site.register(ADA)
    token = data.mails()[0].link.partition("?")[2]

    assert (await site.get(f"/reset?{token}")).status == 410
    assert (await site.get(f"/change-address?{token}")).status == 410


async def test_registering_again_replaces_password_and_link(site: Any, data: Any) -> None:
    await site.register(ADA, name="Mallory", password="mallorys own words")
    await site.register(ADA, name="Ada")
    first, second = data.mails()

    prepared = await site.get(first.link)
    await site.submit(second.link, "/confirm")

    assert prepared.status == 410
    assert "wrong" in notice((await site.log_in(ADA, "mallorys own words")).text)
    assert (await site.log_in(ADA)).status == 303
    assert data.rows("SELECT name FROM users") == [("Ada",)]


async def test_owner_of_the_mailbox_deletes_what_somebody_else_registered(site: Any, data: Any) -> None:
    await site.register(ADA)
    (mail,) = data.mails()

    answer = await site.submit(mail.link, "/confirm/not-me")

    assert answer.status == 303
    assert data.rows("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM links)") == [(0, 0)]


async def test_double_click_sends_one_mail(site: Any, data: Any) -> None:
    form = await site.hidden_fields() | {"name": "Ada", "email": ADA, "password": PASSWORD}

    answers = await asyncio.gather(*(site.post("/register", data=form) for _ in range(2)))

    assert [answer.status for answer in answers] == [303, 303]
    assert len(data.mails()) == 1


async def test_notice_names_the_address_and_sends_the_mail_again(site: Any, data: Any) -> None:
    answer = await site.register(ADA)

    again = await site.submit(answer.headers["Location"], "/register/again")

    assert again.status == 303
    first, second = data.mails()
    assert (second.to, second.template) == (ADA, first.template)
    assert second.link != first.link


async def test_known_address_learns_by_mail_that_it_has_an_account(site: Any, data: Any) -> None:
    await site.confirmed(ADA, data)

    await site.register(ADA, name="Mallory", password="mallorys own words")

    assert data.mails()[-1].template == "account-exists"
    assert data.rows("SELECT name FROM users") == [("Ada",)]
    assert (await site.log_in(ADA)).status == 303


async def test_unconfirmed_account_ends_after_a_week_and_a_confirmed_one_never(site: Any, data: Any) -> None:
    await site.register("other@example.org")
    await site.confirmed(ADA, data)

    planned = dict(data.rows("SELECT email, delete_at FROM users"))

    assert planned[ADA] is None
    assert abs(planned["other@example.org"] / SECOND - time.time() - 7 * 24 * 3600) < 60


async def test_reader_of_the_first_release_can_ask_for_a_link_and_is_kept(site: Any, data: Any) -> None:
    await site.register(ADA)
    data.rows("UPDATE users SET delete_at = NULL")  # older accounts have this value after the migration
    data.rows("DELETE FROM links")

    answer = await site.submit("/confirm/again", "/confirm/again", email=ADA)
    await site.submit(data.mails()[-1].link, "/confirm")

    assert answer.status == 303
    assert (await site.log_in(ADA)).status == 303


# Logging in and out


async def test_session_begins_under_a_new_secret_whatever_the_browser_has_brought(
    site: Any, data: Any
) -> None:
    await site.confirmed(ADA, data)
    planted = SimpleCookie("mailpact_session=planted; Path=/")
    site.session.cookie_jar.update_cookies(planted, URL(site.url))

    await site.log_in(ADA)
    first = {cookie.value for cookie in site.session.cookie_jar if cookie.key == "mailpact_session"}
    stored = data.rows("SELECT id FROM sessions")

    assert len(stored) == 1
    assert first.isdisjoint({"planted", "", stored[0][0]})


async def test_logging_out_ends_the_session_on_the_server(site: Any, data: Any) -> None:
    await site.confirmed(ADA, data)
    await site.log_in(ADA)
    secret = next(cookie.value for cookie in site.session.cookie_jar if cookie.key == "mailpact_session")

    answer = await site.submit("/", "/logout")
    stolen = await site.session.get(
        site.url + "/account", headers={"Cookie": f"mailpact_session={secret}"}, allow_redirects=False
    )

    assert answer.status == 303
    assert data.rows("SELECT count(*) FROM sessions") == [(0,)]
    assert stolen.headers["Location"] == "/login"


@pytest.mark.parametrize(("column", "seconds"), [("seen_at", 30 * 60), ("created_at", 12 * 3600)])
async def test_session_ends_by_itself(site: Any, data: Any, column: str, seconds: int) -> None:
    await site.confirmed(ADA, data)
    await site.log_in(ADA)
    data.rows(f"UPDATE sessions SET {column} = {column} - :span", span=(seconds - 60) * SECOND)
    before = await site.get("/account")
    data.rows(f"UPDATE sessions SET {column} = created_at - :span", span=(seconds + 60) * SECOND)

    after = await site.get("/account")

    assert (before.status, after.status) == (200, 303)


async def test_form_of_another_session_is_refused(site: Any, browser: Any, data: Any) -> None:
    await site.confirmed(ADA, data)
    other = browser(site.url)
    await other.confirmed("eve@example.org", data)
    await site.log_in(ADA)
    await other.log_in("eve@example.org")
    page = (await other.get("/account")).text
    stolen = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))

    answer = await site.post("/account/delete", data=stolen | {"password-for-delete": PASSWORD})

    assert answer.status == 403
    assert len(data.rows("SELECT id FROM users")) == 2


async def test_session_that_has_ended_is_in_nobody_s_way(site: Any, data: Any) -> None:
    await site.confirmed(ADA, data)
    await site.log_in(ADA)
    data.rows("DELETE FROM sessions")

    assert (await site.log_in(ADA)).status == 303
    assert (await site.get("/account")).status == 200


async def test_wrong_address_and_wrong_password_are_answered_alike(site: Any, data: Any) -> None:
    await site.confirmed(ADA, data)

    unknown, wrong = await site.log_in("nobody@example.org"), await site.log_in(ADA, "wrong horse")

    assert unknown.status == wrong.status == 422
    same = re.compile(r'value="[^"]*"')
    assert same.sub("", unknown.text) == same.sub("", wrong.text)


async def test_hash_of_an_earlier_release_is_made_anew_at_the_next_login(site: Any, data: Any) -> None:
    await site.confirmed(ADA, data)
    weaker = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(PASSWORD)
    data.rows("UPDATE users SET password_hash = :hash", hash=weaker)

    await site.log_in(ADA)

    ((stored,),) = data.rows("SELECT password_hash FROM users")
    assert "$m=19456,t=2,p=1$" in stored
    assert PasswordHasher().verify(stored, PASSWORD)


async def test_failures_delay_the_next_attempt_longer_and_longer_and_lock_nobody_out(
    site: Any, data: Any
) -> None:
    await site.confirmed(ADA, data)
    seconds = []
    for _ in range(5):
        began = time.monotonic()
        await site.log_in(ADA, "wrong horse")
        seconds.append(time.monotonic() - began)

    answer = await site.log_in(ADA)

    assert answer.status == 303
    assert seconds[3] >= 0.5
    assert seconds[4] >= 1.0
    assert data.rows("SELECT count(*) FROM login_delays") == [(0,)]


async def test_attempts_at_once_wait_one_after_the_other_and_too_many_are_refused(
    site: Any, data: Any
) -> None:
    await site.confirmed(ADA, data)
    hidden = await site.hidden_fields("/login")

    answers = await asyncio.gather(
        *(site.post("/login", data=hidden | {"email": ADA, "password": "wrong horse"}) for _ in range(12))
    )

    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) >= 3
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)


# A forgotten password


async def test_forgotten_password_is_replaced_all_sessions_end_and_the_owner_is_told(
    site: Any, browser: Any, data: Any
) -> None:
    await site.confirmed(ADA, data)
    await site.log_in(ADA)
    other = browser(site.url)

    asked = await other.submit("/forgot", "/forgot", email=ADA)
    link = data.mails()[-1].link
    told = notice((await other.get("/")).text)
    chosen = await other.submit(link, "/reset", password="quite another password")

    assert (asked.status, chosen.status) == (303, 303)
    assert f"If {ADA} has an account" in told
    assert data.rows("SELECT count(*) FROM sessions") == [(0,)]
    assert data.mails()[-1].template == "password-changed"
    assert (await site.get("/account")).headers["Location"] == "/login"
    assert (await other.log_in(ADA, "quite another password")).status == 303
    assert (await other.get(link)).status == 410


async def test_reset_link_ends_after_half_an_hour_and_a_newer_one_ends_it(site: Any, data: Any) -> None:
    await site.confirmed(ADA, data)
    await site.submit("/forgot", "/forgot", email=ADA)
    ((expires_at,),) = data.rows("SELECT expires_at FROM links WHERE purpose = 'reset'")
    first = data.mails()[-1].link

    await site.submit("/forgot", "/forgot", email=ADA)

    assert abs(expires_at / SECOND - time.time() - 30 * 60) < 60
    assert (await site.get(first)).status == 410


async def test_nobody_learns_whether_an_address_is_registered(site: Any, data: Any) -> None:
    await site.confirmed(ADA, data)
    count = len(data.mails())

    for path in ("/forgot", "/confirm/again"):
        unknown = await site.submit(path, path, email="bob@example.org")
        seconds = []
        answers = [unknown]
        for email in ("eve@example.org", ADA):
            began = time.monotonic()
            answers.append(await site.submit(path, path, email=email))
            seconds.append(time.monotonic() - began)

        assert {answer.status for answer in answers} == {303}
        assert len({answer.headers["Location"] for answer in answers}) == 1
        assert min(seconds) >= 0.2
    assert len(data.mails()) == count + 2


# The account


async def test_new_address_is_confirmed_and_the_old_one_is_told(site: Any, data: Any) -> None:
    await site.confirmed(ADA, data)
    await site.log_in(ADA)

    asked = await site.submit(
        "/account", "/account/address", email="new@example.org", **{"password-for-address": PASSWORD}
    )
    before = data.rows("SELECT email FROM users")
    link = data.mails()[-1]
    changed = await site.submit(link.link, "/change-address")

    assert (asked.status, changed.status) == (303, 303)
    assert link.to == "new@example.org"
    assert before == [(ADA,)]
    assert data.rows("SELECT email, email_key FROM users") == [("new@example.org", "new@example.org")]
    assert (data.mails()[-1].to, data.mails()[-1].template) == (ADA, "address-changed")
    assert (await site.get(link.link)).status == 410


async def test_address_of_another_reader_cannot_be_taken_and_its_owner_is_told(site: Any, data: Any) -> None:
    await site.confirmed("bob@example.org", data)
    await site.confirmed(ADA, data)
    await site.log_in(ADA)

    answer = await site.submit(
        "/account", "/account/address", email="bob@example.org", **{"password-for-address": PASSWORD}
    )

    assert answer.status == 303
    assert (data.mails()[-1].to, data.mails()[-1].template) == (
        "bob@example.org",
        "account-exists",
    )
    assert sorted(data.rows("SELECT email FROM users")) == [(ADA,), ("bob@example.org",)]


@pytest.mark.parametrize(
    ("action", "field"),
    [
        ("/account/address", "password-for-address"),
        ("/account/password", "password-old"),
        ("/account/delete", "password-for-delete"),
    ],
)
async def test_every_change_asks_for_the_password(site: Any, data: Any, action: str, field: str) -> None:
    await site.confirmed(ADA, data)
    await site.log_in(ADA)
    stored = data.rows("SELECT * FROM users")

    fields = {"email": "new@example.org", "password-new": "quite another password", field: "wrong horse"}
    answer = await site.submit("/account", action, **fields)

    assert answer.status == 403
    assert f'id="{field}-error"' in answer.text
    assert "quite another password" not in answer.text
    assert data.rows("SELECT * FROM users") == stored


async def test_new_password_ends_all_other_sessions(site: Any, browser: Any, data: Any) -> None:
    await site.confirmed(ADA, data)
    other = browser(site.url)
    await other.log_in(ADA)
    await site.log_in(ADA)

    fields = {"password-new": "quite another password", "password-old": PASSWORD}
    answer = await site.submit("/account", "/account/password", **fields)

    assert answer.status == 303
    assert (await site.get("/account")).status == 200
    assert (await other.get("/account")).status == 303
    assert data.mails()[-1].template == "password-changed"


async def test_deleted_account_leaves_nothing_but_the_mail_that_says_so(site: Any, data: Any) -> None:
    await site.confirmed(ADA, data)
    await site.log_in(ADA)

    answer = await site.submit("/account", "/account/delete", **{"password-for-delete": PASSWORD})

    assert answer.status == 303
    tables = "(SELECT count(*) FROM users), (SELECT count(*) FROM sessions), (SELECT count(*) FROM links)"
    assert data.rows(f"SELECT {tables}") == [(0, 0, 0)]
    assert data.mails()[-1].template == "account-deleted"
    assert "wrong" in notice((await site.log_in(ADA)).text)


async def test_reader_takes_a_copy_of_all_that_is_stored(site: Any, data: Any) -> None:
    await site.confirmed(ADA, data)
    await site.log_in(ADA)

    answer = await site.get("/account/export")

    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Cache-Control"] == "no-store"
    exported = json.loads(answer.text)
    assert (exported["name"], exported["email"]) == ("Ada", ADA)
    assert "password" not in answer.text


@pytest.mark.parametrize("path", ["/account/address", "/account/password", "/account/delete"])
async def test_whoever_is_not_logged_in_changes_nothing(site: Any, path: str) -> None:
    hidden = await site.hidden_fields()

    assert (await site.post(path, data=hidden)).status == 403
    assert (await site.get("/account/export")).headers["Location"] == "/login"


# Secrets


async def test_secrets_of_links_and_sessions_are_stored_as_hashes_and_logged_nowhere(
    site: Any, data: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    await site.confirmed(ADA, data)
    await site.log_in(ADA)
    await site.submit("/forgot", "/forgot", email=ADA)
    secrets = [data.mails()[0].link.partition("token=")[2], data.mails()[-1].link.partition("token=")[2]]
    secrets += [cookie.value for cookie in site.session.cookie_jar if cookie.key == "mailpact_session"]

    data.rows("UPDATE outbox SET body = NULL")
    stored, said = data.everything(), "".join(capfd.readouterr())

    assert len(secrets) == 3
    for secret in secrets:
        assert len(secret) >= 43
        assert secret not in stored
        assert secret not in said
    assert ADA not in said


async def test_links_are_built_from_the_configured_address_whatever_host_is_asked_for(
    start_site: Any, data: Any
) -> None:
    site = await start_site(base_url="https://cms.example")
    async with site.session.get(site.url + "/register", headers={"Host": "evil.example"}) as answer:
        page = await answer.text()
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))

    answer = await site.post(
        "/register",
        data=hidden | {"name": "Ada", "email": ADA, "password": PASSWORD},
        headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Cookie": cookie},
    )

    assert answer.status == 303
    assert answer.headers["Location"].startswith("/page/")
    (mail,) = data.mails()
    assert mail.data["confirm_url"].startswith("https://cms.example/confirm?token=")
    assert "evil" not in str(mail.data)
