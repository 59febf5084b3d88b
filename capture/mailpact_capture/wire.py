"""One SMTP connection: read commands, write replies, begin TLS. This module does not know what a command means.

aiosmtpd runs in the shared event loop with one protocol object for each connection, and never in its own threads.
This module reads the commands itself, not with aiosmtpd, for two reasons: each line is recorded in the dialogue,
which is kept when something is refused; and asyncio's streams took a third of the time of a small mail. TLS comes
from asyncio, because aiosmtpd's TLS does not work with uvloop.
"""

import asyncio
import re
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import structlog
from aiosmtpd.smtp import SMTP, AuthResult
from aiosmtpd.smtp import Envelope as SmtpEnvelope
from aiosmtpd.smtp import Session as SmtpSession

from mailpact_capture import limits
from mailpact_capture.dialogues import CLIENT, SERVER, Dialogue
from mailpact_capture.hall import Hall
from mailpact_capture.incoming import Incoming
from mailpact_capture.replies import enhanced, is_refusal

COMMAND_SECONDS: Final = 300  # RFC 5321, 4.5.3.2: time limit for one command, and for all data of a mail
MAX_UNKNOWN_COMMANDS: Final = 5
HANDSHAKE_SECONDS: Final = 30
HOST_NAME: Final = "localhost"  # without this constant aiosmtpd would look up the machine's name in the DNS

HTTP: Final = re.compile(rb"(?:CONNECT|GET|HEAD|OPTIONS|POST|PUT) |HOST:", re.IGNORECASE)

log = structlog.get_logger()


class HangUp(Exception):
    """The connection must be closed without a further reply."""


class Wire(SMTP):
    """One connection, from its beginning to its end."""

    envelope: SmtpEnvelope  # connection_made sets these three
    session: SmtpSession
    incoming: Incoming
    _handler_coroutine: "asyncio.Task[None]"

    def __init__(self, hall: Hall, hooks: object) -> None:
        # aiosmtpd keeps this table on the class, and every EHLO of every client makes the table grow.
        self.command_size_limits = defaultdict(lambda: limits.MAX_COMMAND_BYTES)
        self.is_storing = False
        self.dialogue = Dialogue(0, "", 0)
        self.hall = hall
        self.is_over = False
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._due = 0.0  # time of the loop's clock at which a silent client is disconnected
        super().__init__(
            hooks,
            data_size_limit=limits.MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=True,
            hostname=HOST_NAME,
            ident="Mailpact capture server",
            timeout=COMMAND_SECONDS,
            auth_require_tls=False,
            authenticator=self.log_in,
            loop=asyncio.get_running_loop(),
        )
        self._auth_required = hall.accounts.are_required  # set here because aiosmtpd's constructor would warn

    @abstractmethod
    async def greet(self) -> None:
        """Send the greeting."""

    @abstractmethod
    def log_in(
        self, server: SMTP, session: SmtpSession, envelope: SmtpEnvelope, mechanism: str, login: Any
    ) -> AuthResult:
        """Return whether the login is accepted (aiosmtpd calls this)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the conversation."""
        super().connection_made(transport)
        self.incoming = Incoming(
            cast(asyncio.ReadTransport, transport), max_line_bytes=2 * limits.MAX_COMMAND_BYTES
        )
        self._reader = cast(Any, self.incoming)  # aiosmtpd reads the answers of AUTH
        self.dialogue = self.hall.dialogues.begin(peer_of(self.session.peer), self.hall.now_us())
        self.dialogue.is_encrypted = transport.get_extra_info("ssl_object") is not None
        self.hall.conversations.add(self)
        self.task().add_done_callback(self._end)

    def task(self) -> "asyncio.Task[None]":
        """Return the task that runs the conversation."""
        return self._handler_coroutine

    def _end(self, task: "asyncio.Task[None]") -> None:
        self.hall.conversations.discard(self)
        if self.transport is not None:
            self.transport.close()
        if not self.is_over and not self.hall.is_closing and self.envelope.mail_from:
            self.dialogue.blame("the client broke the connection off before its mail was taken")
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, ConnectionError):
            log.error("an SMTP conversation fails", error=type(error).__name__)
        self.hall.dialogues.end(self.dialogue, self.hall.now_us())

    def data_received(self, data: bytes) -> None:
        """Buffer the bytes that the client sends."""
        self.incoming.feed(data)

    def eof_received(self) -> bool:
        """Keep the connection open until all received commands are answered. aiosmtpd would drop unread commands."""
        self.incoming.end()
        return not self.dialogue.is_encrypted  # TLS has no half-closed connections

    def pause_writing(self) -> None:
        """Stop writing replies, because the client reads too slowly."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Continue to write replies."""
        self._may_write.set()

    def connection_lost(self, error: Exception | None) -> None:
        """End the conversation, because the client has disconnected."""
        self._may_write.set()
        super().connection_lost(error)

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Restart the client's time limit. The running timer is not replaced: when it fires, it checks the clock."""
        self._due = self.loop.time() + (duration or self._timeout_duration)
        if self._timeout_handle is None:
            self._timeout_handle = self.loop.call_at(self._due, self._timeout_cb)

    def _timeout_cb(self) -> None:
        if self._due > self.loop.time():
            self._timeout_handle = self.loop.call_at(self._due, self._timeout_cb)
            return
        self.dialogue.blame(f"the client said nothing for {COMMAND_SECONDS} s")
        self.write("421 4.4.2 Said nothing for too long")
        super()._timeout_cb()  # type: ignore[no-untyped-call]  # aiosmtpd's

    async def _handle_client(self) -> None:
        """Run the whole conversation. aiosmtpd calls this in a task."""
        try:
            await self.greet()
            await self._obey()
        except HangUp:
            self.is_over = True
            if self.transport is not None:
                cast(asyncio.WriteTransport, self.transport).abort()
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client has disconnected; _end decides whether the dialogue is kept
        if self.transport is not None:
            self.transport.close()

    async def _obey(self) -> None:
        unknown, may_be_content = 0, False
        while self.transport is not None and not self.is_over:
            line = await self.incoming.line()
            self._reset_timeout()
            word, _, rest = line.partition(b" ")
            name = word.decode("ascii", "replace").upper()
            method = self._smtp_methods.get(name)
            is_auth = name.startswith("AUTH")
            # After AUTH or DATA was refused, a line that is no command is probably a password or a line of the mail.
            is_content = may_be_content and method is None and is_refusal(self.dialogue.last(SERVER))
            self.dialogue.add(CLIENT, b"AUTH ***" if is_auth else b"***" if is_content else line)
            may_be_content = is_content or is_auth or name == "DATA"
            if len(line) > limits.MAX_COMMAND_BYTES:
                await self.push("500 5.5.2 Command line too long")
            elif method is not None:
                await self._run(method, rest.strip().decode("utf-8", "surrogateescape") or None)
            elif HTTP.match(line):
                await self.push("554 5.5.1 This is SMTP, not HTTP")
                self.is_over = True
            else:
                unknown += 1
                self.is_over = unknown >= MAX_UNKNOWN_COMMANDS
                await self.push("500 5.5.1 Unknown command" + (", and one too many" if self.is_over else ""))

    async def _run(self, method: Callable[[str | None], Awaitable[None]], argument: str | None) -> None:
        try:
            await method(argument)
        except (asyncio.IncompleteReadError, OSError, HangUp):
            raise
        except Exception as error:  # noqa: BLE001 (the client gets an answer for every failure)
            # The error's text may contain what the client sent, so only the error's type is logged.
            log.error("an SMTP command fails", error=type(error).__name__)  # noqa: TRY400 (see above)
            await self.push("451 4.3.0 Error in processing")

    async def push(self, status: str | bytes) -> None:
        """Send a reply of one line, unless the conversation is over."""
        text = status.decode("utf-8", "replace") if isinstance(status, bytes) else status
        if self.session.host_name or not text.startswith("220 "):  # the greeting has no enhanced code
            text = enhanced(text)
        if is_refusal(text):
            said = self.dialogue.last(CLIENT)
            self.dialogue.blame(f"{text}, in answer to {said}" if said else text)
        self.write(text)
        if not self._may_write.is_set():
            await self._may_write.wait()

    def write(self, *lines: str) -> None:
        """Write the reply lines unchanged, in one packet."""
        encoded = [line.encode("utf-8", "replace") for line in lines]
        for line in encoded:
            self.dialogue.add(SERVER, line)
        if self.transport is not None:
            cast(asyncio.WriteTransport, self.transport).write(b"\r\n".join([*encoded, b""]))

    async def part(self) -> None:
        """Close the connection after the client has received all replies."""
        self.is_over = True
        if self.transport is not None:
            self.transport.close()
        self.transport = None

    def say_goodbye(self) -> None:
        """Tell the client that the server stops, and close the connection."""
        if self.transport is not None:
            self.write("421 4.3.2 The server stops")
            self.transport.close()

    def abort(self) -> "asyncio.Task[None]":
        """Close the connection at once, and return the task, which ends soon after."""
        if self.transport is not None:
            cast(asyncio.WriteTransport, self.transport).abort()
        self.task().cancel()
        return self.task()

    async def start_tls(self) -> None:
        """Encrypt the connection. Unread clear text is discarded. Raises HangUp if the handshake fails."""
        identity = await self.hall.identities.identity()
        # before the handshake, because a fast client sends EHLO in the handshake's last packet
        self.incoming.take()
        try:
            transport = await self.loop.start_tls(
                cast(asyncio.WriteTransport, self.transport), self, identity.context,
                server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )  # fmt: skip
        except OSError as error:  # ssl.SSLError is one
            self.dialogue.blame(no_handshake(error))
            raise HangUp from None
        if transport is None:
            raise HangUp
        self.dialogue.is_encrypted = True
        self.dialogue.add("", b"(TLS)")
        self.transport = transport
        self.incoming.go_on_from(cast(asyncio.ReadTransport, transport))
        peer, self.session = self.session.peer, self._create_session()
        self.session.peer = peer
        self.envelope = self._create_envelope()


def no_handshake(error: OSError) -> str:
    """Return the reason why the TLS handshake failed, for the dialogue."""
    return f"the TLS handshake failed: {getattr(error, 'reason', None) or type(error).__name__}"


def peer_of(peername: object) -> str:
    """Return a client's address and port as text."""
    return f"{peername[0]}:{peername[1]}" if isinstance(peername, tuple) else str(peername)
