"""Each mail of the site is one message of email/2, which ends with its link and names its trace."""

import asyncio
import json
import re
from datetime import datetime
from typing import Any

import pytest

from mailpact.settings import SettingsError

SECOND = 1_000_000
ADA = "ada@example.org"
PASSWORD = "correct horse battery"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


async def test_message_with_a_link_expires_when_the_link_does(site: Any, data: Any) -> None:
    await site.confirmed(ADA, data)
    await site.submit("/forgot", "/forgot", email=ADA)
    await site.log_in(ADA)
    await site.submit(
        "/account", "/account/address", email="new@example.org", **{"password-for-address": PASSWORD}
    )

    mails = data.mails()

    assert [mail.template for mail in mails] == ["confirm-address", "reset-password", "change-address"]
    ends = sorted(datetime.fromisoformat(mail.expires_at).timestamp() for mail in mails)
    assert ends == sorted(float(end // SECOND) for (end,) in data.rows("SELECT expires_at FROM links"))


async def test_message_goes_on_with_the_trace_of_its_request(site: Any, data: Any) -> None:
    form = await site.hidden_fields() | {"name": "Ada", "email": ADA, "password": PASSWORD}

    await site.post("/register", data=form, headers={"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"})
    await site.register("bob@example.org")

    first, second = [
        re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", mail.traceparent) for mail in data.mails()
    ]
    assert first
    assert first[1] == TRACE_ID
    assert first[2] != "b7ad6b7169203331"
    assert second
    assert second[1] != TRACE_ID


@pytest.mark.parametrize(
    ("action", "fields", "template"),
    [
        ("/account/password", {"password-old": PASSWORD, "password-new": "quite another password"}, "password-changed"),
        ("/account/address", {"email": "new@example.org", "password-for-address": PASSWORD}, "change-address"),
        ("/account/delete", {"password-for-delete": PASSWORD}, "account-deleted"),
    ],
)  # fmt: skip
async def test_form_of_the_account_that_is_posted_twice_sends_one_mail(
    site: Any, data: Any, action: str, fields: dict[str, str], template: str
) -> None:
    await site.confirmed(ADA, data)
    await site.log_in(ADA)
    hidden = await site.hidden_fields("/account")

    answers = await asyncio.gather(*(site.post(action, data=hidden | fields) for _ in range(5)))

    assert 303 in [answer.status for answer in answers]
    assert [mail.template for mail in data.mails()].count(template) == 1


async def test_link_of_a_message_that_its_contract_refuses_is_in_no_log(
    site: Any, start_site: Any, broker: Any, data: Any, eventually: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    await site.register(ADA)
    (mail,) = data.mails()
    ((body,),) = data.rows("SELECT body FROM outbox")
    members = json.loads(body)
    members["template"]["data"] |= {"valid_minutes": 0, mail.link: mail.link}
    data.rows("UPDATE outbox SET body = :body", body=json.dumps(members).encode())

    async with broker.running():
        await start_site()
        await eventually("it is dead", lambda: data.rows("SELECT 1 FROM outbox WHERE state = 'dead'"))

    ((reason,),) = data.rows("SELECT reason FROM outbox")
    secret = mail.link.partition("token=")[2]
    assert secret not in reason
    assert secret not in "".join(capfd.readouterr())


@pytest.mark.parametrize("base_url", ["http://[::1]:8080", "http://my_host", "http://bücher.example"])
async def test_base_url_that_may_not_stand_in_a_mail_is_refused_at_the_start(
    serve: Any, base_url: str
) -> None:
    with pytest.raises(SettingsError, match="is not allowed in a mail"):
        async with serve(base_url=base_url):
            pass


async def test_base_url_of_an_ipv4_address_or_a_name_is_fine(serve: Any) -> None:
    for base_url in ("http://127.0.0.1:8080", "https://cms.example", "http://localhost"):
        async with serve(base_url=base_url) as site:
            assert (await site.get("/")).status == 200
