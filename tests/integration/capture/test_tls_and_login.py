"""TLS, logins and enhanced status codes, as clients of SMTP use them."""

import asyncio
import base64
import smtplib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailpact_capture.accounts import read_accounts
from mailpact_capture.errors import AccountsFileError
from mailpact_capture.service import Settings
from tests.certificates import Authority

TLS = Settings(offers_starttls=True, allowed_hosts=("capture",))
MAIL = b"Subject: secret way\r\n\r\nx\r\n"
ENVELOPE = (b"EHLO me\r\n", b"MAIL FROM:<a@x.org>\r\n", b"RCPT TO:<b@x.org>\r\n")


async def trust(server: Any) -> ssl.SSLContext:
    """Return a context that trusts the certificate that the server offers for download."""
    _, pem, _ = await server.get("/api/mailpact/v1/certificate")
    return ssl.create_default_context(cadata=pem.decode())


async def by(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


async def test_mail_comes_by_starttls_from_a_client_that_checks_the_certificate(
    serve: Any, tmp_path: Path
) -> None:
    async with serve(tmp_path / "mails.db", TLS) as server:
        context = await trust(server)

        def work() -> None:
            with smtplib.SMTP("localhost", server.smtp_port, timeout=30) as client:
                client.starttls(context=context)
                assert "starttls" not in client.esmtp_features or client.ehlo()[1].find(b"STARTTLS") < 0
                client.login("ada", "any password")
                client.sendmail("a@x.org", "b@x.org", MAIL)
                client.sendmail("a@x.org", "b@x.org", MAIL)

        await by(work)
        listed = await server.json("/api/v1/messages")

    assert [mail["Username"] for mail in listed["messages"]] == ["ada", "ada"]


async def test_mail_comes_by_tls_from_the_first_byte(server: Any) -> None:
    context = await trust(server)

    def work() -> str:
        with smtplib.SMTP_SSL("127.0.0.1", server.smtps_port, timeout=30, context=context) as client:
            client.sendmail("a@x.org", "b@x.org", MAIL)
            assert isinstance(client.sock, ssl.SSLSocket)
            return client.sock.version() or ""

    assert await by(work) in ("TLSv1.2", "TLSv1.3")
    assert (await server.json("/api/v1/messages"))["total"] == 1


async def test_many_clients_begin_tls_at_once(server: Any) -> None:
    context = await trust(server)

    def work() -> None:
        with smtplib.SMTP_SSL("127.0.0.1", server.smtps_port, timeout=30, context=context) as client:
            client.sendmail("a@x.org", "b@x.org", MAIL)

    await asyncio.gather(*(by(work) for _ in range(30)))

    assert (await server.json("/api/v1/messages"))["total"] == 30


async def test_name_that_is_allowed_stands_in_the_certificate(serve: Any, tmp_path: Path) -> None:
    async with serve(tmp_path / "mails.db", TLS) as server:
        context = await trust(server)

        def work() -> None:
            with (
                socket.create_connection(("127.0.0.1", server.smtps_port), timeout=30) as plain,
                context.wrap_socket(plain, server_hostname="capture") as encrypted,
            ):
                assert encrypted.recv(4) == b"220 "

        await by(work)


async def test_starttls_is_not_offered_unless_asked_for(server: Any) -> None:
    answers = await server.say(b"EHLO me\r\n", b"STARTTLS\r\n")

    assert answers[-1].startswith(b"502 5.5.1")


async def test_clear_text_behind_starttls_is_thrown_away(serve: Any, tmp_path: Path) -> None:
    async with serve(tmp_path / "mails.db", TLS) as server:
        context = await trust(server)

        def work() -> bytes:
            with socket.create_connection(("127.0.0.1", server.smtp_port), timeout=30) as plain:
                plain.recv(100)
                plain.sendall(b"EHLO me\r\n")
                while b"250 HELP" not in plain.recv(1000):
                    pass
                plain.sendall(b"STARTTLS\r\n" + b"".join(ENVELOPE) + b"DATA\r\nsmuggled\r\n.\r\n")
                assert plain.recv(100).startswith(b"220 2.0.0")
                with context.wrap_socket(plain, server_hostname="localhost") as encrypted:
                    encrypted.sendall(b"MAIL FROM:<a@x.org>\r\n")
                    return encrypted.recv(100)

        assert (await by(work)).startswith(b"503 ")  # the server has forgotten the EHLO in clear text, too
        assert (await server.json("/api/v1/messages"))["total"] == 0


async def test_first_command_may_come_with_the_last_packet_of_the_handshake(
    serve: Any, tmp_path: Path
) -> None:
    async with serve(tmp_path / "mails.db", TLS) as server:
        context = await trust(server)

        def work() -> bytes:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with socket.create_connection(("127.0.0.1", server.smtp_port), timeout=30) as plain:
                plain.recv(100)
                plain.sendall(b"STARTTLS\r\n")
                plain.recv(100)
                while True:
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        plain.sendall(outgoing.read())
                        incoming.write(plain.recv(10_000))
                tls.write(b"EHLO me\r\n")
                plain.sendall(outgoing.read())
                while True:
                    try:
                        return tls.read(1000)
                    except ssl.SSLWantReadError:
                        incoming.write(plain.recv(10_000))

        assert (await by(work)).startswith(b"250-")


@pytest.mark.parametrize("is_smtps", [True, False])
async def test_client_that_does_not_trust_the_certificate_is_listed_with_the_reason(
    serve: Any, tmp_path: Path, is_smtps: bool
) -> None:
    async with serve(tmp_path / "mails.db", TLS) as server:

        def work() -> None:
            distrusting = ssl.create_default_context()
            if is_smtps:  # smtplib would leave the connection open
                with socket.create_connection(("127.0.0.1", server.smtps_port), timeout=30) as plain:
                    distrusting.wrap_socket(plain, server_hostname="127.0.0.1")
            else:
                with smtplib.SMTP("127.0.0.1", server.smtp_port, timeout=30) as client:
                    client.starttls(context=distrusting)

        with pytest.raises(ssl.SSLCertVerificationError):
            await by(work)
        async with asyncio.timeout(30):
            while not (sessions := await server.json("/api/mailpact/v1/smtp-sessions"))["sessions"]:
                await asyncio.sleep(0.01)

    assert "TLS handshake failed" in sessions["sessions"][0]["Reason"]


async def test_given_certificate_is_used(serve: Any, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    file = authority.certificate("localhost")
    settings = Settings(certificate=(file, file))
    async with serve(None, settings) as server:
        context = ssl.create_default_context(cafile=str(authority.ca_file))

        def work() -> None:
            with smtplib.SMTP_SSL("localhost", server.smtps_port, timeout=30, context=context) as client:
                client.sendmail("a@x.org", "b@x.org", MAIL)

        await by(work)


def encoded(text: bytes) -> bytes:
    return base64.b64encode(text)


@pytest.mark.parametrize(
    "lines",
    [
        (b"AUTH PLAIN " + encoded(b"\0ada\0s3cret") + b"\r\n",),
        (b"auth plain " + encoded(b"\0ada\0s3cret") + b"\r\n",),
        (b"AUTH PLAIN\r\n", encoded(b"\0ada\0s3cret") + b"\r\n"),
        (b"AUTH LOGIN\r\n", encoded(b"ada") + b"\r\n", encoded(b"s3cret") + b"\r\n"),
    ],
)
async def test_any_login_is_taken_and_the_name_is_kept(server: Any, lines: tuple[bytes, ...]) -> None:
    answers = await server.say(b"EHLO me\r\n", *lines, *ENVELOPE[1:], b"DATA\r\n", MAIL + b".\r\n")

    assert answers[1 + len(lines)].startswith(b"235 2.7.0")
    assert (await server.json("/api/v1/messages"))["messages"][0]["Username"] == "ada"


async def test_login_asks_for_the_name_and_the_password_in_the_words_that_clients_know(server: Any) -> None:
    answers = await server.say(b"EHLO me\r\n", b"AUTH LOGIN\r\n", encoded(b"ada") + b"\r\n")

    assert [base64.b64decode(answer[4:]) for answer in answers[2:]] == [b"Username:", b"Password:"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (b"MAIL FROM:<a@x.org> AUTH=<>", b"250"),
        (b"MAIL FROM:<a@x.org> SIZE=5 auth=e+3Dmc2@x.org BODY=8BITMIME", b"250"),
        (b'MAIL FROM:<"a AUTH=<b"@x.org>', b"250"),
        (b"MAIL FROM:<a@x.org> AUTH=", b"501"),
        (b"MAIL FROM:<a@x.org> AUTH", b"555"),
    ],
)
async def test_mail_may_say_who_wrote_it_first(server: Any, command: bytes, code: bytes) -> None:
    answers = await server.say(b"EHLO me\r\n", command + b"\r\n", b"RCPT TO:<b@x.org> AUTH=<>\r\n")

    assert (answers[2][:3], answers[3][:3]) == (code, b"555" if code == b"250" else b"503")


async def test_nobody_logs_in_within_a_mail(server: Any) -> None:
    answers = await server.say(
        *ENVELOPE[:2], b"AUTH PLAIN " + encoded(b"\0ada\0s3cret") + b"\r\n", ENVELOPE[2]
    )

    assert [answer[:9] for answer in answers[3:]] == [b"503 5.5.1", b"250 2.1.5"]


@pytest.mark.parametrize(
    ("login", "code"),
    [
        (b"\0ada\0s3cret:with", b"235"),
        (b"\0grace\0\xc3\xbcber", b"235"),
        (b"\0ada\0wrong", b"535"),
        (b"\0ada\0", b"535"),
        (b"\0nobody\0s3cret:with", b"535"),
        (b"\0\0", b"535"),
        (b"\0ada\0\xff\xfe", b"535"),
        (b"no zeros", b"501"),
    ],
)
async def test_file_says_who_may_log_in(serve: Any, tmp_path: Path, login: bytes, code: bytes) -> None:
    accounts = tmp_path / "accounts"
    accounts.write_text("# test accounts\n\nada:s3cret:with\ngrace:über\n")
    async with serve(None, Settings(accounts=read_accounts(accounts))) as server:
        answers = await server.say(
            b"EHLO me\r\n", b"MAIL FROM:<a@x.org>\r\n", b"AUTH PLAIN " + encoded(login) + b"\r\n",
            b"MAIL FROM:<a@x.org>\r\n",
        )  # fmt: skip

    assert answers[2].startswith(b"530 5.7.0")
    assert answers[3].startswith(code), answers
    assert answers[4].startswith(b"250" if code == b"235" else b"530")


@pytest.mark.parametrize("content", [b"", b"no colon\n", b"ada:\n", b":x\n", b"\xff:x\n"])
def test_file_with_accounts_that_cannot_be_used_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "accounts"
    path.write_bytes(content)

    with pytest.raises(AccountsFileError, match="accounts"):
        read_accounts(path)


@pytest.mark.parametrize(
    "command",
    [
        b"MAIL FROM:<a@x.org>\r\n", b"RCPT TO:<b@x.org>\r\n", b"RSET\r\n", b"NOOP\r\n", b"VRFY ada\r\n", b"HELP\r\n",
        b"DATA\r\n", b"MAIL FROM:<a\0@x.org>\r\n", b"RCPT TO:<>\r\n", b"NONSENSE\r\n", b"\r\n", b"AUTH NTLM x\r\n",
        b"AUTH\r\n", b"MAIL FROM:<a@x.org> SIZE=99999999\r\n", b"MAIL FROM:<a@x.org> X=y\r\n", b"DATA x\r\n",
        b"STARTTLS x\r\n", b"QUIT\r\n", b"VRFY " + b"x" * 100_000 + b"\r\n", b"MAIL TO:<a@x.org>\r\n",
    ],
)  # fmt: skip
async def test_each_reply_has_an_enhanced_code_of_its_class(server: Any, command: bytes) -> None:
    answers = await server.say(b"EHLO me\r\n", command)

    code, enhanced = answers[-1].split()[:2]
    assert enhanced.count(b".") == 2, answers
    assert code[:1] == enhanced[:1]


@pytest.mark.parametrize("line", [b"POST / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n", b"Host: localhost:1025\r\n"])
async def test_browser_that_is_made_to_speak_to_the_port_is_sent_away(server: Any, line: bytes) -> None:
    answers = await server.say(line, b"")

    assert answers[1].startswith(b"554 ")
    assert answers[2] == b""


async def test_connection_that_only_sends_nonsense_is_closed(server: Any) -> None:
    answers = await server.say(*[b"NONSENSE\r\n"] * 6)

    assert answers[5].startswith(b"500 ")
    assert answers[6] == b""
