"""SMTP: aiosmtpd's conversation, with our own rules for commands, mail data and limits.

aiosmtpd runs in the shared event loop (one protocol object a connection), never in threads of its own. What is
ours: arguments with CR, LF or NUL are refused before anything reads them; paths are taken as written; mail data is
read by `data.DataReader`; and 250 is said only after the store has committed.
"""

# ruff: noqa: N802 (aiosmtpd finds its methods by names such as handle_RCPT)

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import AnyStr, Final, cast

import structlog
from aiosmtpd.smtp import SMTP
from aiosmtpd.smtp import Envelope as SmtpEnvelope
from aiosmtpd.smtp import Session as SmtpSession

from mailpact_capture import envelope as envelopes
from mailpact_capture import limits
from mailpact_capture.data import DataReader, Refusal
from mailpact_capture.envelope import Envelope, is_clean, parse_path
from mailpact_capture.errors import StoreUnavailable

Keep = Callable[[Envelope, bytes], Awaitable[None]]
NowUs = Callable[[], int]

COMMAND_SECONDS: Final = 300  # RFC 5321, 4.5.3.2: time for a command, and for all data of a mail
CHUNK_BYTES: Final = 64 * 1024
HOST_NAME: Final = "localhost"  # a constant: aiosmtpd would look the machine's name up in the DNS

BAD_ARGUMENT: Final = "501 5.5.2 CR, LF, NUL and bytes that are not UTF-8 have no place in a command"
REFUSALS: Final = {
    Refusal.TOO_LARGE: f"552 5.3.4 Message is larger than {limits.MAX_MESSAGE_BYTES} bytes",
    Refusal.LINE_TOO_LONG: f"500 5.5.2 Line is longer than {limits.MAX_LINE_BYTES} bytes",
    Refusal.TOO_MUCH_AT_ONCE: "452 4.3.1 Too much mail at once, try again later",
}

log = structlog.get_logger()


class SmtpServer:
    """All conversations of one listening socket; give it to `loop.create_server` as the protocol factory.

    `keep` returns when a mail is durably stored and raises StoreUnavailable when it is not. `now_us` is UTC in
    microseconds.
    """

    def __init__(self, keep: Keep, now_us: NowUs) -> None:
        self.keep = keep
        self.now_us = now_us
        self.is_closing = False
        self.conversations: set[Conversation] = set()
        self._bytes_in_flight = 0

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        if self.is_closing or len(self.conversations) >= limits.MAX_CONNECTIONS:
            return _Busy()
        return Conversation(self)

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], bool]]:
        """Count the bytes that a conversation holds in memory; the function given refuses those over the limit."""
        held = 0

        def hold(count: int) -> bool:
            nonlocal held
            if self._bytes_in_flight + count > limits.MAX_BYTES_IN_FLIGHT:
                return False
            held += count
            self._bytes_in_flight += count
            return True

        try:
            yield hold
        finally:
            self._bytes_in_flight -= held

    async def close(self, *, grace_seconds: float) -> None:
        """End every conversation; those whose mail is being stored get their answer first, within the time."""
        self.is_closing = True
        storing = [each.task() for each in self.conversations if each.is_storing]
        for conversation in list(self.conversations):
            if not conversation.is_storing:
                conversation.say_goodbye()
        if storing:
            await asyncio.wait(storing, timeout=grace_seconds)
        tasks = [each.abort() for each in list(self.conversations)]
        await asyncio.gather(*tasks, return_exceptions=True)


class _Busy(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writing = cast(
            asyncio.WriteTransport, transport
        )  # uvloop's transports inherit from no class of asyncio
        writing.write(b"421 4.3.2 Too many connections, try again later\r\n")
        writing.close()


class _Hooks:
    """What aiosmtpd calls between a command's syntax and its answer."""

    async def handle_HELO(self, _server: SMTP, of: SmtpSession, _envelope: SmtpEnvelope, name: str) -> str:
        if not is_clean(name):
            return BAD_ARGUMENT
        of.host_name = name
        return f"250 {HOST_NAME}"

    async def handle_EHLO(
        self, _server: SMTP, of: SmtpSession, _envelope: SmtpEnvelope, name: str, extensions: list[str]
    ) -> list[str]:
        if not is_clean(name):
            return [BAD_ARGUMENT]
        of.host_name = name
        return extensions

    async def handle_RCPT(
        self, _server: SMTP, _session: SmtpSession, envelope: SmtpEnvelope, address: str, options: list[str]
    ) -> str:
        if address == envelopes.NULL_PATH:
            return "501 5.1.3 A recipient is an address"
        if len(envelope.rcpt_tos) >= limits.MAX_RECIPIENTS:
            return f"452 4.5.3 No more than {limits.MAX_RECIPIENTS} recipients"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_exception(self, error: Exception) -> str:
        # The error's text may hold what the client sent, so only its kind is told.
        log.error("an SMTP command fails", error=type(error).__name__)
        return "451 4.3.0 Error in processing"


class Conversation(SMTP):
    """One client, from its connection to its end."""

    envelope: SmtpEnvelope  # these three are there from connection_made on
    session: SmtpSession
    _handler_coroutine: "asyncio.Task[None]"

    line_length_limit = CHUNK_BYTES  # aiosmtpd's bound on what is buffered; DataReader bounds the lines

    def __init__(self, server: SmtpServer) -> None:
        # aiosmtpd keeps this table on the class, where every EHLO of every client makes it grow.
        self.command_size_limits = defaultdict(lambda: limits.MAX_COMMAND_BYTES)
        self.is_storing = False
        self._server = server
        super().__init__(
            _Hooks(),
            data_size_limit=limits.MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=True,
            hostname=HOST_NAME,
            ident="Mailpact capture server",
            timeout=COMMAND_SECONDS,
            loop=asyncio.get_running_loop(),
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the conversation."""
        super().connection_made(transport)
        self._server.conversations.add(self)
        self.task().add_done_callback(self._end)

    def task(self) -> "asyncio.Task[None]":
        """Return the task that holds the conversation."""
        return self._handler_coroutine

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._server.conversations.discard(self)
        if self.transport is not None:
            self.transport.close()
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, ConnectionError):
            log.error("an SMTP conversation fails", error=type(error).__name__)

    def eof_received(self) -> bool:
        """Let a client that has said everything get the answers to all of it; aiosmtpd would drop what is unread."""
        self._reader.feed_eof()
        return True

    async def handle_exception(self, error: Exception) -> str:
        """Return the answer to a command that failed; the end of what the client says ends the conversation."""
        if isinstance(error, asyncio.IncompleteReadError | ConnectionError | OSError):
            self.transport = None  # aiosmtpd's loop ends without one
            self._writer.close()
            return ""
        return await super().handle_exception(error)

    async def push(self, status: AnyStr) -> None:
        """Send an answer, unless the conversation is over."""
        if self.transport is not None:
            await super().push(status)

    def say_goodbye(self) -> None:
        """Tell the client that the server stops, and hang up."""
        if self.transport is not None:
            transport = cast(asyncio.WriteTransport, self.transport)
            transport.write(b"421 4.3.2 The server stops\r\n")
            transport.close()

    def abort(self) -> "asyncio.Task[None]":
        """Hang up at once; give the task, which ends soon after."""
        if self.transport is not None:
            cast(asyncio.WriteTransport, self.transport).abort()
        self.task().cancel()
        return self.task()

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        return parse_path(arg) or (None, None)

    async def smtp_DATA(self, arg: str | None) -> None:
        """Take a mail's data; answer when it is stored."""
        if await self.check_helo_needed():
            return
        if arg or not self.envelope.rcpt_tos:
            await self.push("501 Syntax: DATA" if arg else "503 5.5.1 Error: need RCPT command")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        with self._server.holding() as hold:
            reader = await self._read_data(hold)
            answer = REFUSALS[reader.refusal] if reader.refusal else await self._keep(reader.content())
        self.envelope = self._create_envelope()
        await self.push(answer)
        if self._server.is_closing:
            self.say_goodbye()

    async def _read_data(self, hold: Callable[[int], bool]) -> DataReader:
        reader = DataReader(max_bytes=limits.MAX_MESSAGE_BYTES, max_line_bytes=limits.MAX_LINE_BYTES)
        rest = None
        while rest is None:
            chunk = await self._reader.read(CHUNK_BYTES)
            if not chunk:
                raise asyncio.IncompleteReadError(b"", None)
            if not reader.refusal and not hold(len(chunk)):
                reader.refuse(Refusal.TOO_MUCH_AT_ONCE)
            rest = reader.feed(chunk)
        # A client may send its next command in the same packet. A StreamReader takes nothing back, so it goes there.
        self._reader._buffer[:0] = rest  # type: ignore[attr-defined] # noqa: SLF001 (aiosmtpd does so itself)
        return reader

    async def _keep(self, content: bytes) -> str:
        envelope = Envelope(
            mail_from=str(self.envelope.mail_from).replace(envelopes.NULL_PATH, ""),
            rcpt_tos=tuple(map(str, self.envelope.rcpt_tos)),
            helo=str(self.session.host_name),
            peer=_peer(self.session.peer),
            received_us=self._server.now_us(),
        )
        self.is_storing = True
        try:
            await self._server.keep(envelope, content)
        except StoreUnavailable:
            return "452 4.3.1 The mail cannot be stored now, try again later"
        finally:
            self.is_storing = False
        return "250 2.0.0 OK"


def _peer(peername: object) -> str:
    return f"{peername[0]}:{peername[1]}" if isinstance(peername, tuple) else str(peername)


@contextmanager
def quiet_library() -> Iterator[None]:
    """Silence aiosmtpd's own log while the server runs: it writes every command, addresses included."""
    library = logging.getLogger("mail.log")
    before = library.level
    library.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        library.setLevel(before)
