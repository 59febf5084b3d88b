"""The client for tests: it waits for the right mail, reports other mails, and sees only its own namespace."""

import asyncio
import smtplib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailpact_capture.client import CaptureClient, CaptureUnavailable, Mailbox, NoMail, UnwantedMail

TEST = """
def test_page(mailbox, capture):
    assert mailbox.name in mailbox.address()
    assert capture.smtp_port == 4567
    assert capture.client.url == "http://127.0.0.1:1"
    mailbox._client.call = lambda *words: b""
"""


async def by(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


def mail(subject: str, text: str = "x") -> bytes:
    return f"From: me@x.org\r\nSubject: {subject}\r\n\r\n{text}\r\n".encode()


@pytest.fixture
def mailbox(server: Any) -> Mailbox:
    """Return a mailbox on the server of the test."""
    return CaptureClient(server.url + "/").mailbox()


async def test_mail_that_comes_later_is_returned_with_its_links_and_codes(
    server: Any, mailbox: Mailbox
) -> None:
    waiting = asyncio.create_task(by(lambda: mailbox.wait_for(subject="welcome", to="ada", timeout=40)))
    await server.send(mail("Welcome", "nobody's"), to=("ada@example.org",))
    await server.send(mail("Other"), to=(mailbox.address("ada"),))
    await server.send(mail("Welcome", "Code 493817, https://x.org/a"), to=(mailbox.address("ada"),))

    found = await waiting

    assert (found.subject, found.sender, found.recipients) == (
        "Welcome",
        "me@x.org",
        (mailbox.address("ada"),),
    )
    assert (found.codes, found.links) == (("493817",), ("https://x.org/a",))
    assert await by(lambda: found.raw) == mail("Welcome", "Code 493817, https://x.org/a")


async def test_proxy_of_the_environment_is_not_asked(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)

    await by(lambda: CaptureClient(server.url).mailbox().delete_all())


@pytest.mark.parametrize("name", ["", "a b", "a/b", "test[one]", "é", "x" * 65])
def test_mailbox_has_a_name_that_an_address_can_hold(name: str) -> None:
    with pytest.raises(ValueError, match="is not a namespace"):
        CaptureClient().mailbox(name)


async def test_absence_is_watched_for_longer_than_one_call_lasts(
    server: Any, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailpact_capture.client.ROUND_SECONDS", 0.05)
    loop, third, calls = asyncio.get_running_loop(), asyncio.Event(), [0]
    call = CaptureClient.call

    def counted(*words: Any, **options: Any) -> bytes:
        calls[0] += 1
        if calls[0] == 3:
            loop.call_soon_threadsafe(third.set)
        return call(*words, **options)

    monkeypatch.setattr(CaptureClient, "call", counted)
    watching = asyncio.create_task(by(lambda: mailbox.expect_none(seconds=60)))
    await third.wait()
    await server.send(mail("late"), to=(mailbox.address(),))

    with pytest.raises(UnwantedMail, match="late"):
        await watching


async def test_same_call_again_returns_the_next_mail(server: Any, mailbox: Mailbox) -> None:
    for text in ("one", "two"):
        await server.send(mail("Same", text), to=(mailbox.address(),))

    texts = [(await by(lambda: mailbox.wait_for(subject="Same"))).text.strip() for _ in range(2)]

    assert texts == ["one", "two"]
    with pytest.raises(NoMail):
        await by(lambda: mailbox.wait_for(subject="Same", timeout=0.1))


async def test_failure_names_what_came_instead(server: Any, mailbox: Mailbox) -> None:
    with pytest.raises(NoMail, match=r"no mail came for .*at all"):
        await by(lambda: mailbox.wait_for(timeout=0.1))
    await server.send(mail("Other"), to=(mailbox.address(),))

    with pytest.raises(NoMail, match=r'subject:"Welcome home" came within 0\.1 s; 1 came .*\'Other\''):
        await by(lambda: mailbox.wait_for(subject="Welcome home", timeout=0.1))


async def test_absence_is_waited_for(server: Any, mailbox: Mailbox) -> None:
    await server.send(mail("Invoice"), to=(mailbox.address(),))

    await by(lambda: mailbox.expect_none(subject="welcome", seconds=0.1))
    with pytest.raises(UnwantedMail, match="'Invoice'"):
        await by(lambda: mailbox.expect_none(subject="invoice", seconds=0.1))


async def test_subject_with_quotes_and_colons_is_found(server: Any, mailbox: Mailbox) -> None:
    await server.send(mail('Re: "now" -not is:odd'), to=(mailbox.address(),))

    found = await by(lambda: mailbox.wait_for(subject='Re: "now" -not', timeout=1))

    assert found.subject.startswith("Re:")


async def test_attachment_is_given_by_its_name(server: Any, mailbox: Mailbox) -> None:
    content = (
        b"Subject: file\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
        b"Content-Disposition: attachment; filename=a.bin\r\n\r\n\x00\xff\r\n--b--\r\n"
    )
    await server.send(content, to=(mailbox.address(),))

    found = await by(mailbox.wait_for)

    assert found.attachments == ("a.bin",)
    assert await by(lambda: found.attachment("a.bin")) == b"\x00\xff"
    with pytest.raises(KeyError):
        found.attachment("b.bin")


async def test_fifty_mailboxes_at_once_do_not_see_each_other(server: Any) -> None:
    async def one(number: int) -> None:
        mailbox = CaptureClient(server.url).mailbox(f"m{number}")
        for turn in range(2):
            await server.send(mail(f"{number} {turn}"), to=(mailbox.address(),))
            assert (await by(mailbox.wait_for)).subject == f"{number} {turn}"
            await by(mailbox.delete_all)
        await by(lambda: mailbox.expect_none(seconds=0))

    await asyncio.gather(*map(one, range(50)))


async def test_mailbox_has_faults_of_its_own(server: Any, mailbox: Mailbox) -> None:
    await by(lambda: mailbox.set_faults({"stage": "rcpt", "nth": 1, "code": 451}))

    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await server.send(mail("first"), to=(mailbox.address(),))
    await server.send(mail("second"), to=(mailbox.address(),))

    assert (await by(mailbox.wait_for)).subject == "second"
    with pytest.raises(CaptureUnavailable, match="stage must be one of"):
        await by(lambda: mailbox.set_faults({"stage": "nowhere", "code": 451}))


def test_server_that_is_away_is_named() -> None:
    with pytest.raises(CaptureUnavailable, match=r"http://127\.0\.0\.1:1 does not answer"):
        CaptureClient("http://127.0.0.1:1").mailbox().wait_for()


def test_plugin_uses_a_server_that_is_running(tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text(TEST)
    options = [
        "--capture-url",
        "http://127.0.0.1:1",
        "--capture-smtp",
        "[::1]:4567",
        "-p",
        "no:cacheprovider",
    ]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options], cwd=tmp_path, capture_output=True, text=True, timeout=50,
        check=False,
    )  # fmt: skip

    assert "1 passed" in done.stdout, done.stdout
