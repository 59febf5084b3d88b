"""`mailpact create-admin`: only the owner of the mailbox becomes an administrator."""

import asyncio
import subprocess
from typing import Any

import pytest

from tests.command import run

BOSS, PASSWORD = "boss@example.org", "another long phrase"


async def create_admin(data: Any, email: str = BOSS, **options: str) -> "subprocess.CompletedProcess[str]":
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    return await asyncio.to_thread(run, "create-admin", email, "--database-url", data.url.url, *words)


async def choose_password(site: Any, data: Any) -> None:
    mail = next(each for each in reversed(data.mails()) if each.template == "reset-password")
    assert mail.to == BOSS
    assert (await site.submit(mail.link, "/reset", password=PASSWORD)).status == 303


async def test_new_administrator_chooses_a_password_by_the_mailed_link(site: Any, data: Any) -> None:
    done = await create_admin(data)

    assert (done.returncode, done.stderr) == (0, "")
    assert "boss@example.org is an administrator" in done.stdout
    await choose_password(site, data)
    await site.log_in(BOSS, PASSWORD)
    assert (await site.get("/edit")).status == 200


async def test_link_leads_to_the_site_that_was_given(site: Any, data: Any) -> None:
    await create_admin(data, base_url="https://cms.example", site_name="The Daily")

    mail = data.mails()[-1]
    assert mail.data["reset_url"].startswith("https://cms.example/reset?token=")
    assert mail.data["site_name"] == "The Daily"
    assert mail.expires_at is not None


async def test_account_that_somebody_prepared_is_of_no_use_to_them(site: Any, data: Any) -> None:
    await site.register(BOSS)
    await site.log_in(BOSS)

    assert (await create_admin(data)).returncode == 0

    assert (await site.log_in(BOSS)).status == 422
    assert (await site.get("/edit")).headers["Location"] == "/login"
    await choose_password(site, data)
    assert (await site.log_in(BOSS, PASSWORD)).status == 303


async def test_reader_who_becomes_an_administrator_keeps_the_password(site: Any, data: Any) -> None:
    await site.confirmed(BOSS, data)

    assert (await create_admin(data, email="BOSS@example.org")).returncode == 0

    await site.log_in(BOSS)
    assert (await site.get("/edit")).status == 200
    assert data.rows("SELECT count(*) FROM users") == [(1,)]


@pytest.mark.parametrize("email", ["boss", "b\u00f6ss@example.org"])
async def test_address_that_no_mail_reaches_makes_no_administrator(site: Any, data: Any, email: str) -> None:
    done = await create_admin(data, email=email)

    assert (done.returncode, done.stdout) == (2, "")
    assert data.rows("SELECT count(*) FROM users") == [(0,)]


def test_database_that_is_not_there_is_named() -> None:
    done = run("create-admin", BOSS, "--database-url", "sqlite:///no-such-folder/cms.db")

    assert done.returncode == 2
    assert "no-such-folder/cms.db does not exist" in done.stderr
