"""Mail goes through Postfix: as a submission server with TLS and a login, and as a relay on this machine."""

from collections.abc import Callable
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any, cast

from structlog.testing import capture_logs

from mailpact_consumer.mailbox import Mailbox
from mailpact_consumer.settings import SmtpTls
from mailpact_consumer.smtp_url import SmtpUrl
from tests.servers import postfix as submission
from tests.servers.postfix import Postfix

SHOP = Mailbox("shop@example.org", "Grüße vom Shop")


def login(postfix: Postfix, password: str = submission.PASSWORD) -> SmtpUrl:
    return SmtpUrl(submission.HOST, postfix.port, user=submission.USER, password=password)


def delivered(postfix: Postfix, recipient: str) -> list[EmailMessage]:
    mails = [cast("EmailMessage", BytesParser(policy=default).parsebytes(mail)) for mail in postfix.mails]
    return [mail for mail in mails if mail["X-Original-To"] == recipient or mail["To"] == recipient]


async def test_mail_goes_through_a_submission_server_with_tls_and_a_login(
    stage: Any, postfix: Postfix, eventually: Callable[..., Any]
) -> None:
    settings = {
        "smtp_url": login(postfix),
        "smtp_ca_file": postfix.authority.ca_file,
        "mail_from": SHOP,
        "envelope_from": "bounces@example.org",
    }
    readers = [f"reader-{number}@tls.example" for number in range(20)]

    async with stage.consumer(**settings):
        for reader in readers:
            await stage.order(reader, "Grüße\n\n.\n..dots\n")
        await eventually("all arrive", lambda: all(delivered(postfix, reader) for reader in readers))

    *_, mail = delivered(postfix, readers[0])
    assert mail["Return-Path"] == "<bounces@example.org>"
    assert mail["From"].addresses[0].display_name == "Grüße vom Shop"
    assert "ESMTPSA" in mail["Received"]
    assert mail.get_content().split() == ["Grüße", ".", "..dots"]


async def test_wrong_password_is_one_error_that_names_the_setting_and_no_mail_is_lost(
    stage: Any, postfix: Postfix, eventually: Callable[..., Any]
) -> None:
    settings = {"smtp_ca_file": postfix.authority.ca_file}
    with capture_logs() as entries:
        async with stage.consumer(smtp_url=login(postfix, "wrong"), **settings):
            await stage.order("wrong@tls.example")
            await eventually("it is said", lambda: any("--smtp-url" in repr(entry) for entry in entries))
    assert "wrong" not in repr([entry for entry in entries if "--smtp-url" in repr(entry)])

    async with stage.consumer(smtp_url=login(postfix), **settings):
        await eventually("it arrives", lambda: delivered(postfix, "wrong@tls.example"))


async def test_mail_goes_through_a_relay_on_this_machine(
    stage: Any, postfix: Postfix, eventually: Callable[..., Any]
) -> None:
    relay = SmtpUrl("127.0.0.1", postfix.plain_port)

    async with stage.consumer(smtp_url=relay, smtp_tls=SmtpTls.OFF):
        await stage.order("local@relay.example")
        await eventually("it arrives", lambda: delivered(postfix, "local@relay.example"))

    *_, mail = delivered(postfix, "local@relay.example")
    assert mail["Return-Path"] == "<cms@mail.example>"


async def test_recipient_whom_postfix_refuses_is_a_letter(stage: Any, postfix: Postfix) -> None:
    async with stage.consumer(smtp_url=login(postfix), smtp_ca_file=postfix.authority.ca_file):
        await stage.order(f"ada@{submission.REFUSED_DOMAIN}")
        letter = await stage.take_letter()

    headers = dict(letter.header.properties.headers or {})
    assert headers["x-error-code"] == "smtp_permanent"
    assert str(headers["x-error-detail"]).startswith("550 5.1.1")
