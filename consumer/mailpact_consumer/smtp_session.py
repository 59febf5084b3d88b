"""Opens an SMTP session: connection, TLS, greeting, EHLO or HELO, login. A failure becomes a Trouble."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mailpact_consumer.reply import Permanent, Phase, Trouble, misconfigured, refused, unanswered, unreachable
from mailpact_consumer.settings import SmtpTls
from mailpact_consumer.smtp_connection import Connection, NoAnswer
from mailpact_consumer.smtp_grammar import Reply, command, extensions
from mailpact_consumer.smtp_url import SmtpUrl

CONNECT_SECONDS = 30
COMMAND_SECONDS = 300  # RFC 5321 4.5.3.2: 5 minutes for greeting, MAIL and RCPT
# 500 and 502 (RFC 5321 3.2), and the codes with which other servers refuse an EHLO (4.1.4).
EHLO_UNKNOWN = frozenset({500, 501, 502, 503, 504, 550})
MECHANISM_UNKNOWN = 504
PLAIN, LOGIN = "PLAIN", "LOGIN"


@dataclass(frozen=True, slots=True)
class Server:
    """The server of a session, and how to reach it. `name` is our name in EHLO."""

    url: SmtpUrl
    tls: SmtpTls
    context: ssl.SSLContext
    name: str


@dataclass(slots=True)
class Session:
    """A connection on which MAIL may be sent."""

    connection: Connection
    has_pipelining: bool
    mails: int = 0
    idle_since: float = 0.0
    needs_reset: bool = False
    """Return whether an earlier envelope is still open, so that RSET has to come first."""


class _Refused(Exception):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.reason)
        self.trouble = trouble


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that checks certificate and host name, against the machine's CAs or those of the file.

    OpenSSL reads `SSL_CERT_FILE` and `SSL_CERT_DIR` for the machine's CAs. Raises OSError for an unusable file.
    """
    return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))


async def open_session(server: Server) -> Session | Trouble:
    """Return a session that is ready for MAIL, or the trouble that prevented it; then the connection is closed."""
    try:
        connection = await _connect(server)
    except ssl.SSLError as error:
        return _tls_trouble(error)
    except (OSError, TimeoutError, UnicodeError) as error:  # UnicodeError: a name that DNS cannot have
        return unreachable(_named(error))
    try:
        return await _introduce(connection, server)
    except _Refused as refusal:
        trouble = refusal.trouble
    except NoAnswer as error:
        trouble = unanswered(Phase.CONNECT, str(error))
    except ssl.SSLError as error:
        trouble = _tls_trouble(error)
    except OSError as error:
        trouble = unreachable(_named(error))
    except BaseException:  # also after a cancellation, because no other code knows this connection
        connection.close()
        raise
    connection.close()
    return trouble


async def _connect(server: Server) -> Connection:
    url = server.url
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_SECONDS):
        if url.is_tls:
            _, connection = await loop.create_connection(
                Connection, url.host, url.port, ssl=server.context, server_hostname=url.host
            )
        else:
            _, connection = await loop.create_connection(Connection, url.host, url.port)
    return connection


async def _introduce(connection: Connection, server: Server) -> Session:
    await _expect(connection, b"", 2)
    offered = await _hello(connection, server.name)
    if (
        not server.url.is_tls
        and server.tls is not SmtpTls.OFF
        and await _encrypt(connection, server, offered)
    ):
        offered = await _hello(connection, server.name)
    if server.url.password is not None:
        try:
            await _log_in(connection, server.url, offered)
        except NoAnswer as error:  # some servers close the connection when they refuse a login
            raise _Refused(unanswered(Phase.AUTH, str(error))) from error
    return Session(connection, has_pipelining="PIPELINING" in offered)


async def _hello(connection: Connection, name: str) -> Mapping[str, str]:
    reply = await _ask(connection, command("EHLO", name))
    if reply.kind == 2:  # success
        return extensions(reply)
    if reply.code not in EHLO_UNKNOWN:
        raise _Refused(_trouble(Phase.CONNECT, reply))
    await _expect(connection, command("HELO", name), 2)
    return {}


async def _encrypt(connection: Connection, server: Server, offered: Mapping[str, str]) -> bool:
    is_required = server.tls is SmtpTls.REQUIRED
    if "STARTTLS" not in offered:
        if is_required:
            raise _Refused(misconfigured("offers no STARTTLS, which is required", "--smtp-tls"))
        return False
    reply = await _ask(connection, command("STARTTLS"))
    if reply.kind != 2:  # success
        if is_required or not 400 <= reply.code <= 599:  # anything but a clear refusal
            raise _Refused(_trouble(Phase.CONNECT, reply))
        return False
    await connection.start_tls(server.context, server.url.host, CONNECT_SECONDS)
    return True


async def _log_in(connection: Connection, url: SmtpUrl, offered: Mapping[str, str]) -> None:
    known = [mechanism for mechanism in (PLAIN, LOGIN) if mechanism in offered.get("AUTH", "").split()]
    if not known:
        raise _Refused(
            misconfigured("offers no login by AUTH PLAIN or LOGIN for the user and password", "--smtp-url")
        )
    user, password = str(url.user), str(url.password)
    reply = Reply(MECHANISM_UNKNOWN)
    for mechanism in known:
        if mechanism == PLAIN:
            answer = _base64(f"\0{user}\0{password}")
            reply = await _ask(connection, command("AUTH", PLAIN, answer))
            if reply.kind == 3:  # a server that ignores the data after PLAIN asks for them
                reply = await _ask(connection, command(answer))
        else:
            reply = await _log_in_by_steps(connection, user, password)
        if reply.code != MECHANISM_UNKNOWN:
            break
    if reply.kind != 2:  # success
        raise _Refused(_trouble(Phase.AUTH, reply))


async def _log_in_by_steps(connection: Connection, user: str, password: str) -> Reply:
    reply = await _ask(connection, command("AUTH", LOGIN))
    for answer in (user, password):
        if reply.kind != 3:  # the server asks for more
            break
        reply = await _ask(connection, command(_base64(answer)))
    return reply


async def _expect(connection: Connection, data: bytes, kind: int) -> Reply:
    reply = await _ask(connection, data)
    if reply.kind != kind:
        raise _Refused(_trouble(Phase.CONNECT, reply))
    return reply


async def _ask(connection: Connection, data: bytes) -> Reply:
    (reply,) = await connection.ask(data, 1, COMMAND_SECONDS)
    return reply


def _trouble(phase: Phase, reply: Reply) -> Trouble:
    meaning = refused(phase, reply.code, reply.text)
    assert not isinstance(meaning, Permanent)  # noqa: S101  # no recipient was named yet
    return meaning


def _tls_trouble(error: ssl.SSLError) -> Trouble:
    if isinstance(error, ssl.SSLCertVerificationError):
        setting = "the host in --smtp-url" if "mismatch" in error.verify_message else "--smtp-ca-file"
        return misconfigured(f"has a certificate that is refused ({error.verify_message})", setting)
    return unreachable(f"TLS fails ({error.reason or type(error).__name__})")


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
