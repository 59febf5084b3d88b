"""Each behaviour of a mail server, also silence, becomes a value: no exception, no endless wait."""

import asyncio
import base64
import os
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from mailpact_consumer import deliver, smtp_connection, smtp_session
from mailpact_consumer.deliver import MailServer, Transaction
from mailpact_consumer.reply import Accepted, DomainBusy, Permanent, Scope, Trouble
from mailpact_consumer.settings import SmtpTls
from mailpact_consumer.smtp_session import Server, tls_context
from mailpact_consumer.smtp_url import SmtpUrl
from tests.certificates import Authority
from tests.integration.consumer.scripted_server import HANG_UP, SILENCE, Script

MAIL = b"Subject: x\r\n\r\nHello\r\n"


@cache
def _context(ca_file: Path | None, _ssl_cert_file: str | None) -> ssl.SSLContext:
    return tls_context(ca_file)  # 50 ms for each context


def mail_server(port: int, **settings: Any) -> MailServer:
    connections, rate = settings.pop("connections", 8), settings.pop("rate", None)
    server = Server(
        settings.pop("url", SmtpUrl("127.0.0.1", port)),
        settings.pop("tls", SmtpTls.OPPORTUNISTIC),
        _context(settings.pop("ca_file", None), os.environ.get("SSL_CERT_FILE")),
        "client.example",
    )
    return MailServer(server, connections=connections, rate=rate, monotonic=time.monotonic)


async def send(server: MailServer, recipient: str = "ada@example.org") -> Any:
    async with server.transaction(recipient) as transaction:
        if isinstance(transaction, Trouble | DomainBusy):
            return transaction
        refusal = await transaction.envelope("shop@example.org", recipient)
        return refusal or await transaction.data(MAIL)


async def sent(script: Script, **settings: Any) -> Any:
    """Send one mail through the script and return the outcome."""
    async with script.running():
        server = mail_server(script.port, **settings)
        outcome = await send(server)
        await server.close()
    return outcome


@pytest.fixture(autouse=True)
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten each wait for a reply; a test of late replies sets its own limit."""
    monkeypatch.setattr(smtp_session, "COMMAND_SECONDS", 0.5)
    monkeypatch.setattr(deliver, "COMMAND_SECONDS", 0.5)
    monkeypatch.setattr(deliver, "FINAL_DOT_SECONDS", 0.5)


@pytest.mark.parametrize("answer", [b"250 ok", b"251 queued", b"299 x", b"250", b"250 " + b"x" * 60_000])
async def test_any_2yz_at_the_final_dot_is_success(answer: bytes) -> None:
    outcome = await sent(Script(answers={".": [answer + b"\r\n"]}))

    assert isinstance(outcome, Accepted)
    assert outcome.code == int(answer[:3])


async def test_long_answer_of_many_lines_at_the_final_dot_is_success() -> None:
    outcome = await sent(Script(answers={".": [b"250-queued\r\n" * 5_000 + b"250 as 1\r\n"]}))

    assert isinstance(outcome, Accepted)


@pytest.mark.parametrize("code", [251, 252])
async def test_recipient_who_is_forwarded_or_not_verified_is_taken(code: int) -> None:
    outcome = await sent(Script(answers={"RCPT": [f"{code} will forward\r\n".encode()]}))

    assert isinstance(outcome, Accepted)


UNCLEAR = {
    "empty line": b"\r\n",
    "garbage": b"hello there\r\n",
    "not ASCII": "250 größer\r\n".encode("latin-1").replace(b"250", b"\xb2\xb5\xb0"),
    "two codes": b"250-yes\r\n550 no\r\n",
    "go on": b"354 more\r\n",
    "no end": b"250-x" * 300_000,
    "half a line": b"25" + HANG_UP,
    "hang up": HANG_UP,
    "silence": SILENCE,
}


@pytest.mark.parametrize("unclear", UNCLEAR.values(), ids=UNCLEAR)
async def test_unclear_answer_at_the_final_dot_may_be_a_mail(unclear: bytes) -> None:
    outcome = await sent(Script(answers={".": [unclear]}))

    assert isinstance(outcome, Trouble)
    assert (outcome.may_be_sent, outcome.scope) == (True, Scope.MESSAGE)


@pytest.mark.parametrize("word", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("kind", [kind for kind in UNCLEAR if kind != "go on"])
@pytest.mark.parametrize("offers", [("PIPELINING",), ()], ids=["pipelining", "one by one"])
async def test_unclear_answer_before_the_mail_is_trouble_and_no_mail(
    word: str, kind: str, offers: tuple[str, ...]
) -> None:
    script = Script(answers={word: [UNCLEAR[kind]]}, offers=offers)

    outcome = await sent(script)

    assert isinstance(outcome, Trouble)
    assert not outcome.may_be_sent
    # If the reply to MAIL does not come, the client reads the reply to the pipelined RCPT as the reply to MAIL.
    assert (kind == "silence" and offers) or (outcome.scope is Scope.SERVER) is (word == "MAIL")
    assert "." not in script.commands


@pytest.mark.parametrize("unclear", UNCLEAR.values(), ids=UNCLEAR)
@pytest.mark.parametrize("word", ["greeting", "EHLO"])
async def test_unclear_answer_at_the_beginning_is_the_servers_trouble(word: str, unclear: bytes) -> None:
    outcome = await sent(
        Script(greeting=unclear) if word == "greeting" else Script(answers={word: [unclear]})
    )

    assert isinstance(outcome, Trouble)
    assert (outcome.may_be_sent, outcome.scope) == (False, Scope.SERVER)


@pytest.mark.parametrize("code", [421, 450, 500, 550, 554])
async def test_refused_connection_is_the_servers_trouble(code: int) -> None:
    outcome = await sent(Script(greeting=f"{code} no\r\n".encode() + HANG_UP))

    assert isinstance(outcome, Trouble)
    assert (outcome.scope, outcome.code) == (Scope.SERVER, code)


async def test_server_that_is_away_is_the_servers_trouble() -> None:
    script = Script()
    async with script.running():
        pass

    outcome = await send(mail_server(script.port))

    assert isinstance(outcome, Trouble)
    assert (outcome.scope, outcome.may_be_sent) == (Scope.SERVER, False)
    assert "ConnectionRefusedError" in outcome.reason


@pytest.mark.parametrize("code", [500, 501, 502, 504, 550])
async def test_helo_is_said_where_ehlo_is_unknown(code: int) -> None:
    script = Script(answers={"EHLO": [f"{code} what?\r\n".encode()]})

    assert isinstance(await sent(script), Accepted)
    assert script.commands[:2] == ["EHLO client.example", "HELO client.example"]


@pytest.mark.parametrize(
    ("word", "code", "scope"),
    [
        ("MAIL", 421, Scope.SERVER),
        ("MAIL", 550, Scope.SERVER),
        ("RCPT", 421, Scope.MESSAGE),
        ("DATA", 421, Scope.MESSAGE),
        (".", 421, Scope.MESSAGE),
        ("RCPT", 450, Scope.MESSAGE),
        (".", 452, Scope.MESSAGE),
        ("MAIL", 530, Scope.SERVER),
        ("RCPT", 530, Scope.SERVER),
    ],
)
async def test_refusal_for_now_is_whose_it_is_and_no_mail(word: str, code: int, scope: Scope) -> None:
    outcome = await sent(Script(answers={word: [f"{code} no\r\n".encode()]}))

    assert isinstance(outcome, Trouble)
    assert (outcome.scope, outcome.code, outcome.may_be_sent) == (scope, code, False)


@pytest.mark.parametrize("word", ["RCPT", "DATA", "."])
async def test_refusal_for_good_is_the_recipients_and_the_connection_is_used_again(word: str) -> None:
    script = Script(answers={word: [b"550-5.1.1 no\r\n550 such user\r\n"]})
    if word == "RCPT":
        script.answers["DATA"] = [b"503 5.5.1 no valid recipients\r\n"]
    async with script.running():
        server = mail_server(script.port)
        outcomes = [await send(server), await send(server)]
        await server.close()

    assert outcomes == [Permanent(550, "5.1.1 no such user"), Accepted(250, "ok")]
    assert script.connections == 1
    assert ("RSET" in script.commands) is (word != ".")
    assert script.commands[-1] == "QUIT"


async def test_mail_rcpt_and_data_are_one_write_where_the_server_has_pipelining() -> None:
    with_it, without = Script(), Script(offers=())
    await sent(with_it)
    await sent(without)
    all_three = b"MAIL FROM:<shop@example.org>\r\nRCPT TO:<ada@example.org>\r\nDATA\r\n"

    assert (all_three in with_it.reads, all_three in without.reads) == (True, False)


@pytest.mark.parametrize("to_data", [b"354 go\r\n", b"250 ok\r\n", b"hello\r\n", SILENCE, HANG_UP])
async def test_refused_recipient_is_refused_whatever_the_server_answers_to_data(to_data: bytes) -> None:
    script = Script(answers={"RCPT": [b"550 no\r\n"], "DATA": [to_data]})
    async with script.running():
        server = mail_server(script.port)
        outcomes = [await send(server), await send(server)]
        await server.close()

    assert outcomes == [Permanent(550, "no"), Accepted(250, "ok")]
    assert (script.connections, script.commands.count(".")) == (2, 1)


@pytest.mark.parametrize("offers", [("PIPELINING",), ()], ids=["pipelining", "one by one"])
async def test_mail_that_is_given_up_after_the_servers_354_costs_the_connection_and_is_no_mail(
    offers: tuple[str, ...],
) -> None:
    script = Script(offers=offers)
    async with script.running():
        server = mail_server(script.port)
        async with server.transaction("ada@example.org") as transaction:
            assert isinstance(transaction, Transaction)
            assert await transaction.envelope("shop@example.org", "ada@example.org") is None
        outcome = await send(server)
        await server.close()

    assert outcome == Accepted(250, "ok")
    assert (script.connections, script.commands.count(".")) == (2, 1)


async def test_connection_that_ends_between_354_and_the_mail_is_trouble_and_no_mail(
    eventually: Callable[..., Any],
) -> None:
    script = Script()
    async with script.running(), mail_server(script.port).transaction("ada@example.org") as transaction:
        assert isinstance(transaction, Transaction)
        assert await transaction.envelope("shop@example.org", "ada@example.org") is None
        script.writers[0].transport.abort()
        await eventually("the end is seen", lambda: not transaction.session.connection.is_usable)
        outcome = await transaction.data(MAIL)

    assert isinstance(outcome, Trouble)
    assert (outcome.may_be_sent, outcome.scope) == (False, Scope.MESSAGE)


@pytest.mark.parametrize("last_words", [HANG_UP, b"421 4.4.2 timeout\r\n" + HANG_UP])
async def test_connection_that_the_server_closed_meanwhile_is_replaced_without_trouble(
    last_words: bytes,
) -> None:
    script = Script(answers={"MAIL": [b"250 ok\r\n", last_words]})
    async with script.running():
        server = mail_server(script.port)
        outcomes = [await send(server), await send(server)]

    assert outcomes == [Accepted(250, "ok")] * 2
    assert script.connections == 2


async def test_new_connection_that_is_closed_at_mail_is_trouble_once() -> None:
    script = Script(answers={"MAIL": [b"421 4.3.2 no\r\n" + HANG_UP] * 9})

    assert isinstance(await sent(script), Trouble)
    assert script.connections == 1


async def test_what_a_server_says_unasked_is_never_taken_for_a_later_answer() -> None:
    script = Script(answers={".": [b"250 ok\r\n250 one more\r\n"], "DATA": [b"354 go\r\n", b"550 no\r\n"]})
    async with script.running():
        server = mail_server(script.port)
        outcomes = [await send(server), await send(server)]

    assert outcomes == [Accepted(250, "ok"), Permanent(550, "no")]
    assert script.connections == 2


async def test_connection_is_left_after_a_hundred_mails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "MAILS_PER_CONNECTION", 3)
    script = Script()
    async with script.running():
        server = mail_server(script.port)
        for _ in range(7):
            assert isinstance(await send(server), Accepted)
        await server.close()

    assert (script.connections, script.commands.count("QUIT")) == (3, 3)


async def test_connection_that_nobody_uses_is_left_in_order(
    monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    monkeypatch.setattr(deliver, "IDLE_SECONDS", 0.05)
    script = Script()
    async with script.running():
        server = mail_server(script.port)
        await send(server)

        await eventually("it is left", lambda: "QUIT" in script.commands)


async def test_slow_answers_hold_up_no_other_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_connection, "SLOW_SECONDS", 0.05)
    monkeypatch.setattr(deliver, "FINAL_DOT_SECONDS", 20)
    script = Script(answers={".": [SILENCE] * 8})
    async with script.running():
        server = mail_server(script.port)
        slow = [asyncio.create_task(send(server, f"{n}@slow.example")) for n in range(8)]
        while script.commands.count(".") < 8:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            good = await asyncio.gather(*(send(server, f"{n}@good.example") for n in range(50)))
        later = await send(server, "ada@SLOW.example")
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        again = await send(server, "ada@slow.example")

    assert good == [Accepted(250, "ok")] * 50
    assert (later, again) == (DomainBusy(), Accepted(250, "ok"))
    assert script.connections <= 16


async def test_rate_is_kept() -> None:
    script = Script()
    async with script.running():
        server = mail_server(script.port, rate=20)
        began = time.monotonic()
        await asyncio.gather(*(send(server) for _ in range(5)))

    assert time.monotonic() - began >= 4 / 20


async def test_cancelled_transaction_leaves_no_connection_and_no_place_behind() -> None:
    script = Script(answers={".": [SILENCE]})
    async with script.running():
        server = mail_server(script.port, connections=1)
        task = asyncio.create_task(send(server))
        while "." not in script.commands:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert await send(server) == Accepted(250, "ok")
    assert script.connections == 2


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (Script(), None),
        (Script(greeting=b"554 no\r\n"), 554),
        (Script(answers={"MAIL": [b"530 5.7.0 login\r\n"]}), 530),
        (Script(answers={"MAIL": [SILENCE]}), "no answer"),
    ],
)
async def test_probe_says_whether_mail_would_be_taken(
    script: Script, expected: object, monkeypatch: Any
) -> None:
    monkeypatch.setattr(deliver, "PROBE_SECONDS", 0.3)
    async with script.running():
        server = mail_server(script.port)
        trouble = await server.probe("shop@example.org")
        await server.close()

    if expected is None:
        assert trouble is None
    else:
        assert trouble is not None
        assert expected == trouble.code or str(expected) in trouble.reason
    assert "RCPT" not in " ".join(script.commands)


PIECES = (
    b"250",
    b"-",
    b" ",
    b"\r\n",
    b"\n",
    b"\r",
    b"354 go\r\n",
    b"220 x\r\n",
    b"\x00",
    b"\xff",
    b"STARTTLS",
    HANG_UP,
)


async def test_random_answers_at_every_stage_end_in_a_value() -> None:
    """A mail counts as sent only if the server has received the mail."""
    chance = random.Random(20261128)
    for _ in range(6):
        await asyncio.gather(*(_random_session(chance) for _ in range(50)))


async def _random_session(chance: random.Random) -> None:
    word = chance.choice(("greeting", "EHLO", "MAIL", "RCPT", "DATA", ".", "RSET"))
    answer = (
        b"".join(chance.choice((*PIECES, chance.randbytes(3))) for _ in range(chance.randrange(9))) or SILENCE
    )
    script = Script(answers={word: [answer] * 2}, offers=chance.choice((("PIPELINING",), ())))
    if word == "greeting":
        script.greeting = answer
    async with script.running():
        server = mail_server(script.port)
        async with asyncio.timeout(30):
            outcomes = [await send(server), await send(server)]
            await server.close()

    assert all(isinstance(outcome, Accepted | Permanent | Trouble) for outcome in outcomes), answer
    assert "." in script.commands or not any(isinstance(outcome, Accepted) for outcome in outcomes), answer


# --- TLS and login, against aiosmtpd ---


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


class Mailbox:
    """The mails that aiosmtpd has accepted."""

    def __init__(self) -> None:
        self.mails: list[tuple[bool, str | None]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's
        login = session.auth_data.decode() if session.auth_data else None
        self.mails.append((session.ssl is not None or server.require_starttls, login))
        return "250 ok"


def check_login(
    _server: object, _session: object, _envelope: object, _mechanism: object, data: object
) -> AuthResult:
    assert isinstance(data, LoginPassword)
    is_right = (data.login, data.password) == (b"ada", "p/ü".encode())
    return AuthResult(success=is_right, handled=False, auth_data=data.login)


@asynccontextmanager
async def aiosmtpd(
    mailbox: Mailbox, certificate: Path | None, *, implicit: bool = False, **options: Any
) -> AsyncIterator[int]:
    """Run aiosmtpd with STARTTLS, or with TLS from the first byte."""
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(mailbox, hostname="localhost", tls_context=None if implicit else context, **options),
        "127.0.0.1",
        0,
        ssl=context if implicit else None,
    )
    yield server.sockets[0].getsockname()[1]
    server.close()


LOGIN = {"authenticator": check_login, "auth_required": True}


def url(port: int, **parts: Any) -> SmtpUrl:
    return SmtpUrl(parts.pop("host", "127.0.0.1"), port, **parts)


@pytest.mark.parametrize("tls", [SmtpTls.OPPORTUNISTIC, SmtpTls.REQUIRED])
async def test_starttls_is_used_where_it_is_offered(authority: Authority, tls: SmtpTls) -> None:
    mailbox = Mailbox()
    async with aiosmtpd(mailbox, authority.certificate("127.0.0.1"), require_starttls=True) as port:
        outcome = await send(mail_server(port, tls=tls, ca_file=authority.ca_file))

    assert isinstance(outcome, Accepted)
    assert mailbox.mails == [(True, None)]


@pytest.mark.filterwarnings(
    "ignore:Requiring AUTH while not requiring TLS"
)  # aiosmtpd does not count TLS from the first byte as TLS
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "smtps"])
async def test_login_is_made_over_tls(authority: Authority, mechanism: str, implicit: bool) -> None:
    mailbox = Mailbox()
    other = {"auth_exclude_mechanism": [name for name in ("PLAIN", "LOGIN") if name != mechanism]}
    async with aiosmtpd(
        mailbox,
        authority.certificate("127.0.0.1"),
        implicit=implicit,
        **LOGIN,
        **other,
        auth_require_tls=not implicit,
    ) as port:
        login = url(port, is_tls=implicit, user="ada", password="p/ü")
        outcome = await send(mail_server(port, url=login, tls=SmtpTls.REQUIRED, ca_file=authority.ca_file))

    assert isinstance(outcome, Accepted)
    assert [who for _, who in mailbox.mails] == ["ada"]


@pytest.mark.parametrize(
    ("certificate_host", "url_host", "trusts", "ended", "reason"),
    [
        ("127.0.0.1", "127.0.0.1", False, False, "--smtp-ca-file"),
        ("mail.example", "127.0.0.1", True, False, "check the host in --smtp-url"),
        ("127.0.0.1", "localhost", True, False, "check the host in --smtp-url"),
        ("127.0.0.1", "127.0.0.1", True, True, "expired"),
    ],
)
@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "smtps"])
async def test_certificate_is_checked_and_the_error_names_the_setting(
    authority: Authority,
    certificate_host: str,
    url_host: str,
    trusts: bool,
    ended: bool,
    reason: str,
    implicit: bool,
) -> None:
    mailbox = Mailbox()
    certificate = authority.certificate(certificate_host, ended=ended)
    async with aiosmtpd(mailbox, certificate, implicit=implicit) as port:
        ca_file = authority.ca_file if trusts else None
        outcome = await send(
            mail_server(port, url=url(port, host=url_host, is_tls=implicit), ca_file=ca_file)
        )

    assert isinstance(outcome, Trouble)
    assert (outcome.scope, outcome.may_be_sent) == (Scope.SERVER, False)
    assert reason in outcome.reason
    assert mailbox.mails == []


async def test_ssl_cert_file_names_the_authorities(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    mailbox = Mailbox()
    async with aiosmtpd(mailbox, authority.certificate("127.0.0.1"), implicit=True) as port:
        outcome = await send(mail_server(port, url=url(port, is_tls=True)))

    assert isinstance(outcome, Accepted)


async def test_server_without_starttls_gets_no_mail_where_tls_is_required() -> None:
    script = Script()
    outcome = await sent(script, tls=SmtpTls.REQUIRED)

    assert isinstance(outcome, Trouble)
    assert outcome.reason == "the mail server offers no STARTTLS, which is required: check --smtp-tls"
    assert not any(line.startswith("MAIL") for line in script.commands)


@pytest.mark.parametrize(("tls", "is_sent"), [(SmtpTls.OPPORTUNISTIC, True), (SmtpTls.REQUIRED, False)])
async def test_refused_starttls_is_gone_without_only_where_tls_is_not_required(
    tls: SmtpTls, is_sent: bool
) -> None:
    outcome = await sent(Script(offers=("STARTTLS",), answers={"STARTTLS": [b"454 not now\r\n"]}), tls=tls)

    assert isinstance(outcome, Accepted) is is_sent


async def test_starttls_is_not_said_where_tls_is_off() -> None:
    script = Script(offers=("STARTTLS",))

    assert isinstance(await sent(script, tls=SmtpTls.OFF), Accepted)
    assert "STARTTLS" not in script.commands


@pytest.mark.parametrize("after", [b"250 injected\r\n", b"2", b"garbage that is no handshake\r\n"])
async def test_clear_text_behind_the_reply_to_starttls_is_never_read_as_encrypted(after: bytes) -> None:
    outcome = await sent(Script(offers=("STARTTLS",), answers={"STARTTLS": [b"220 go\r\n" + after]}))

    assert isinstance(outcome, Trouble)
    assert outcome.scope is Scope.SERVER


async def test_password_is_never_sent_to_a_server_without_tls() -> None:
    script = Script(offers=("AUTH PLAIN LOGIN",))
    async with script.running():
        login = url(script.port, user="ada", password="secret")
        await send(mail_server(script.port, url=login, tls=SmtpTls.REQUIRED))

    assert base64.b64encode(b"\0ada\0secret").decode() not in " ".join(script.commands)
    assert not any(line.startswith("AUTH") for line in script.commands)


async def test_wrong_password_names_the_setting_and_never_the_password(authority: Authority) -> None:
    mailbox = Mailbox()
    async with aiosmtpd(mailbox, authority.certificate("127.0.0.1"), **LOGIN) as port:
        login = url(port, user="ada", password="wr0ng")
        outcome = await send(mail_server(port, url=login, tls=SmtpTls.REQUIRED, ca_file=authority.ca_file))

    assert isinstance(outcome, Trouble)
    assert (outcome.scope, outcome.code, outcome.setting) == (Scope.SERVER, 535, "--smtp-url")
    assert "535" in outcome.reason
    assert "wr0ng" not in repr(outcome)


async def test_login_that_is_demanded_names_the_setting(authority: Authority) -> None:
    mailbox = Mailbox()
    async with aiosmtpd(mailbox, authority.certificate("127.0.0.1"), **LOGIN) as port:
        outcome = await send(mail_server(port, ca_file=authority.ca_file))

    assert isinstance(outcome, Trouble)
    assert (outcome.scope, outcome.code, outcome.setting) == (Scope.SERVER, 530, "--smtp-url")


@pytest.mark.parametrize("offers", [("STARTTLS",), ("STARTTLS", "AUTH XOAUTH2 CRAM-MD5")])
async def test_server_without_a_login_that_we_know_names_the_setting(
    authority: Authority, offers: tuple[str]
) -> None:
    mailbox = Mailbox()
    exclude = {"auth_exclude_mechanism": ["PLAIN", "LOGIN"]}
    async with aiosmtpd(mailbox, authority.certificate("127.0.0.1"), **exclude) as port:
        login = url(port, user="ada", password="x")
        outcome = await send(mail_server(port, url=login, tls=SmtpTls.REQUIRED, ca_file=authority.ca_file))

    assert isinstance(outcome, Trouble)
    assert (outcome.scope, outcome.setting) == (Scope.SERVER, "--smtp-url")


# --- login, against a server with scripted answers ---

PLAIN = base64.b64encode(b"\0ada\0secret").decode()
BY_STEPS = [base64.b64encode(word).decode() for word in (b"ada", b"secret")]
ASKS = [b"334 VXNlcm5hbWU6\r\n"]
LOGINS: dict[str, tuple[str, dict[str, list[bytes]], list[str]]] = {
    "PLAIN": ("AUTH PLAIN LOGIN", {"AUTH": [b"235 ok\r\n"]}, [f"AUTH PLAIN {PLAIN}"]),
    "PLAIN, old spelling": ("AUTH=PLAIN", {"AUTH": [b"235 ok\r\n"]}, [f"AUTH PLAIN {PLAIN}"]),
    "PLAIN, asked for once more": (
        "AUTH PLAIN",
        {"AUTH": [b"334 \r\n"], PLAIN: [b"235 ok\r\n"]},
        [f"AUTH PLAIN {PLAIN}", PLAIN],
    ),
    "LOGIN alone": (
        "AUTH LOGIN",
        {"AUTH": ASKS, BY_STEPS[0]: [b"334 UGFzc3dvcmQ6\r\n"], BY_STEPS[1]: [b"235 ok\r\n"]},
        ["AUTH LOGIN", *BY_STEPS],
    ),
    "PLAIN not known after all": (
        "AUTH PLAIN LOGIN",
        {"AUTH": [b"504 no\r\n", *ASKS], BY_STEPS[0]: ASKS, BY_STEPS[1]: [b"235-wel\r\n235 come\r\n"]},
        [f"AUTH PLAIN {PLAIN}", "AUTH LOGIN", *BY_STEPS],
    ),
}


def _logging_in(offer: str, answers: dict[str, list[bytes]]) -> Script:
    return Script(offers=(offer,), answers={word: list(said) for word, said in answers.items()})


async def logged_in(script: Script) -> Any:
    """Send one mail after a login, without TLS (which only a test may do)."""
    async with script.running():
        login = url(script.port, user="ada", password="secret")
        server = mail_server(script.port, url=login, tls=SmtpTls.OFF)
        outcome = await send(server)
        await server.close()
    return outcome


@pytest.mark.parametrize(("offer", "answers", "said"), LOGINS.values(), ids=LOGINS)
async def test_login_is_made_as_the_server_wants_it(
    offer: str, answers: dict[str, list[bytes]], said: list[str]
) -> None:
    script = _logging_in(offer, answers)

    assert isinstance(await logged_in(script), Accepted)
    assert script.commands[1 : 1 + len(said)] == said


REFUSED_LOGINS = {
    "535": ([b"535 5.7.8 no\r\n"], "--smtp-url"),
    "534": ([b"534 5.7.9 too weak\r\n"], "--smtp-url"),
    "538": ([b"538 5.7.11 encrypt\r\n"], "--smtp-tls"),
    "530": ([b"530 5.7.0 STARTTLS first\r\n"], "--smtp-url"),
    "500": ([b"500 what?\r\n"], "--smtp-url"),
    "454": ([b"454 4.7.0 later\r\n"], None),
    "421": ([b"421 4.7.0 too many\r\n" + HANG_UP], None),
    "hang up": ([HANG_UP], None),
    "no reply": ([b"welcome\r\n"], None),
    "silence": ([SILENCE], None),
    "asked without end": ([b"334 more\r\n"] * 9, None),
}


@pytest.mark.parametrize(("answers", "setting"), REFUSED_LOGINS.values(), ids=REFUSED_LOGINS)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_refused_login_is_the_servers_trouble_at_auth_and_sends_nothing(
    mechanism: str, answers: list[bytes], setting: str | None
) -> None:
    more = {word: answers if len(answers) > 1 else [] for word in (PLAIN, *BY_STEPS)}
    script = _logging_in(f"AUTH {mechanism}", {"AUTH": answers, **more})

    outcome = await logged_in(script)

    assert isinstance(outcome, Trouble)
    assert (outcome.scope, outcome.may_be_sent, outcome.setting) == (Scope.SERVER, False, setting)
    assert " at AUTH" in outcome.reason
    assert "MAIL" not in " ".join(script.commands)


@pytest.mark.parametrize("host", ["mail..example", "a" * 70, "ü" * 70])
@pytest.mark.parametrize("is_tls", [False, True])
async def test_name_that_dns_cannot_have_is_a_server_that_is_away(host: str, is_tls: bool) -> None:
    outcome = await send(mail_server(25, url=url(25, host=host, is_tls=is_tls)))

    assert isinstance(outcome, Trouble)
    assert (outcome.scope, outcome.may_be_sent) == (Scope.SERVER, False)


@pytest.mark.parametrize("word", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize(
    "reply",
    ["{}", "{} ", "{}-first\r\n{} last", "{}\tx", "{} " + "x" * 900, "{}-\r\n{}-\r\n{} "],
    ids=["code alone", "code and space", "two lines", "tab", "above 512 bytes", "empty lines"],
)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
async def test_reply_of_any_form_means_what_its_first_digit_says(word: str, reply: str, end: bytes) -> None:
    def answer(code: int) -> bytes:
        return reply.replace("{}", str(code)).replace("\r\n", end.decode()).encode() + end

    good, bad = (354 if word == "DATA" else 250), 550

    assert isinstance(await sent(Script(answers={word: [answer(good)]})), Accepted)
    assert not isinstance(await sent(Script(answers={word: [answer(bad)]})), Accepted)


@pytest.mark.parametrize(
    ("word", "code", "kind"),
    [
        ("RCPT", 552, Permanent),
        ("DATA", 552, Permanent),
        ("DATA", 554, Permanent),
        ("DATA", 503, Permanent),
        (".", 552, Permanent),
        ("RCPT", 452, Trouble),
        ("DATA", 451, Trouble),
        (".", 499, Trouble),
        (".", 599, Permanent),
    ],
)
async def test_refusals_are_for_good_or_for_now_by_their_first_digit(
    word: str, code: int, kind: type[object]
) -> None:
    outcome = await sent(Script(answers={word: [f"{code} no\r\n".encode()]}))

    assert isinstance(outcome, kind)


@pytest.mark.parametrize("code", [421, 450, 451, 454, 499])
async def test_refusal_of_ehlo_for_now_is_the_servers_trouble_and_helo_is_not_tried(code: int) -> None:
    script = Script(answers={"EHLO": [f"{code} later\r\n".encode()]})

    outcome = await sent(script)

    assert isinstance(outcome, Trouble)
    assert outcome.scope is Scope.SERVER
    assert not any(line.startswith("HELO") for line in script.commands)
