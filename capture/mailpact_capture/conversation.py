"""Implement the SMTP commands: aiosmtpd's rules, with our own for host names, logins, faults, mail data and limits.

Arguments with CR, LF or NUL are refused before they are parsed. Paths are kept as written. `data.DataReader` reads
mail data. The reply 250 is sent only after the store has committed the mail. `wire.Wire` reads and writes the
connection.
"""

# ruff: noqa: N802 (aiosmtpd finds its methods by names such as smtp_RCPT)

import asyncio
import re
from collections.abc import Callable
from typing import Final, cast

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from aiosmtpd.smtp import Envelope as SmtpEnvelope
from aiosmtpd.smtp import Session as SmtpSession

from mailpact_capture import envelope as envelopes
from mailpact_capture import limits
from mailpact_capture.data import DataReader, Refusal
from mailpact_capture.envelope import Envelope, is_clean, parse_path
from mailpact_capture.errors import StoreUnavailable
from mailpact_capture.faults import Stage
from mailpact_capture.hall import Hall
from mailpact_capture.wire import COMMAND_SECONDS, HOST_NAME, HangUp, Wire

BAD_ARGUMENT: Final = "501 5.5.2 CR, LF, NUL and bytes that are not UTF-8 have no place in a command"
# RFC 4954, 5: a server that offers AUTH accepts this parameter of MAIL. Who wrote the mail first does not matter here.
_AUTH_PARAMETER: Final = re.compile(r" AUTH=[^\s=]+(?=\s|\Z)", re.IGNORECASE)
REFUSALS: Final = {
    Refusal.TOO_LARGE: f"552 5.3.4 Message is larger than {limits.MAX_MESSAGE_BYTES} bytes",
    Refusal.LINE_TOO_LONG: f"500 5.5.2 Line is longer than {limits.MAX_LINE_BYTES} bytes",
    Refusal.TOO_MUCH_AT_ONCE: "452 4.3.1 Too much mail at once, try again later",
}


class _Hooks:
    """The hooks that aiosmtpd calls after it has checked a command's syntax and before it answers."""

    async def handle_MAIL(
        self,
        server: "Conversation",
        _session: SmtpSession,
        envelope: SmtpEnvelope,
        path: str,
        options: list[str],
    ) -> str:
        if refusal := await server.meet(Stage.MAIL, sender=path.replace(envelopes.NULL_PATH, "")):
            return refusal
        envelope.mail_from = path
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self,
        server: "Conversation",
        _session: SmtpSession,
        envelope: SmtpEnvelope,
        path: str,
        options: list[str],
    ) -> str:
        if path == envelopes.NULL_PATH:
            return "501 5.1.3 A recipient is an address"
        if len(envelope.rcpt_tos) >= limits.MAX_RECIPIENTS:
            return f"452 4.5.3 No more than {limits.MAX_RECIPIENTS} recipients"
        if refusal := await server.meet(Stage.RCPT, recipients=[path]):
            return refusal
        envelope.rcpt_tos.append(path)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"


class Conversation(Wire):
    """One client, from its connection to its end."""

    envelope: SmtpEnvelope  # connection_made sets these three
    session: SmtpSession
    _handler_coroutine: "asyncio.Task[None]"

    # Some clients read these two words, and do not know aiosmtpd's own.
    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"

    def __init__(self, hall: Hall) -> None:
        super().__init__(hall, _Hooks())

    async def greet(self) -> None:
        """Send the greeting."""
        if refusal := await self.meet(Stage.CONNECT):
            await self.push(refusal)
            self.is_over = True
        else:
            await self.push(f"220 {HOST_NAME} {self.__ident__}")

    async def meet(
        self, stage: Stage, *, sender: str = "", recipients: list[str] | None = None
    ) -> str | None:
        """Wait the delay of a scripted fault, and return its reply instead of the usual reply.

        None if there is no fault.

        Raises HangUp if the fault closes the connection.
        """
        if stage is Stage.RCPT and recipients:
            self.dialogue.recipients += recipients[: limits.MAX_RECIPIENTS - len(self.dialogue.recipients)]
        if stage is Stage.MAIL:
            self.dialogue.mail_from = sender
        if self.hall.faults.are_none:
            return None
        sender = sender or str(self.envelope.mail_from or "").replace(envelopes.NULL_PATH, "")
        recipients = list(map(str, self.envelope.rcpt_tos)) if recipients is None else recipients
        fault = self.hall.faults.fault(stage, sender=sender, recipients=recipients)
        if fault is None:
            return None
        if fault.delay_seconds:
            self._reset_timeout(COMMAND_SECONDS + fault.delay_seconds)
            await asyncio.sleep(fault.delay_seconds)
        if fault.disconnects:
            self.dialogue.blame(f"a scripted fault broke the connection off at the stage {stage}")
            if fault.reply:
                await self.push(fault.reply)
                await self.part()
            raise HangUp
        if fault.reply and fault.reply.startswith("421"):
            self.is_over = True
        return fault.reply

    async def smtp_HELO(self, hostname: str | None) -> None:
        """Begin a session without extensions."""
        if await self._introduce("HELO", hostname, extended=False):
            self.write(f"250 {HOST_NAME}")

    async def smtp_EHLO(self, hostname: str | None) -> None:
        """Begin a session, and send the list of extensions in one packet."""
        if not await self._introduce("EHLO", hostname, extended=True):
            return
        tls = ["STARTTLS"] if self.hall.offers_starttls and not self.dialogue.is_encrypted else []
        extensions = [
            f"SIZE {limits.MAX_MESSAGE_BYTES}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES",
            *tls, "AUTH PLAIN LOGIN", "HELP",
        ]  # fmt: skip
        self.write(*(f"250-{each}" for each in (HOST_NAME, *extensions[:-1])), f"250 {extensions[-1]}")

    async def _introduce(self, command: str, name: str | None, *, extended: bool) -> bool:
        refusal = None
        if not name:
            refusal = f"501 5.5.4 Syntax: {command} hostname"
        elif not is_clean(name):
            refusal = BAD_ARGUMENT
        else:
            refusal = await self.meet(Stage.EHLO)
        if refusal is not None:
            await self.push(refusal)
            return False
        self.envelope = self._create_envelope()
        self.session.host_name = self.dialogue.helo = str(name)
        self.session.extended_smtp = extended
        return True

    async def smtp_VRFY(self, _arg: str | None) -> None:
        """Answer without information about any user (aiosmtpd would repeat what the client sent)."""
        await self.push("252 2.5.0 Send the mail, it will be kept")

    async def smtp_QUIT(self, arg: str | None) -> None:
        """End the conversation."""
        if arg:
            await self.push("501 5.5.4 Syntax: QUIT")
            return
        self.is_over = True
        await self.push("221 2.0.0 Bye")

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """Encrypt the connection. Clear text that follows the command is discarded (RFC 3207, 4.2)."""
        if arg:
            await self.push("501 5.5.4 Syntax: STARTTLS")
        elif not self.hall.offers_starttls:
            await self.push("502 5.5.1 TLS is not offered")
        elif self.dialogue.is_encrypted:
            await self.push("503 5.5.1 TLS has begun already")
        else:
            cast(asyncio.ReadTransport, self.transport).pause_reading()
            await self.push("220 2.0.0 Ready to start TLS")
            await self.start_tls()

    async def smtp_AUTH(self, arg: str | None) -> None:
        """Let a client log in. The mechanism's name is not case-sensitive (RFC 4954, 4)."""
        mechanism, _, rest = (arg or "").partition(" ")
        if self.envelope.mail_from is not None:
            await self.push("503 5.5.1 No login within a mail")
            return
        if refusal := await self.meet(Stage.AUTH):
            await self.push(refusal)
            return
        await super().smtp_AUTH(f"{mechanism.upper()} {rest}".strip())

    def log_in(
        self, server: SMTP, session: SmtpSession, envelope: SmtpEnvelope, mechanism: str, login: LoginPassword
    ) -> AuthResult:
        """Return whether the login is accepted (aiosmtpd calls this)."""
        del server, session, envelope, mechanism
        name, password = (each.decode("utf-8", "surrogateescape") for each in login)
        if not is_clean(name) or not self.hall.accounts.accept(name, password):
            return AuthResult(success=False, handled=False)
        self.dialogue.username = name[: limits.MAX_COMMAND_BYTES]
        return AuthResult(success=True, auth_data=login)

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        path = parse_path(arg)
        if path is None:
            return None, None
        address, given = path
        if self.envelope.mail_from is None and self.session.extended_smtp:
            given = _AUTH_PARAMETER.sub("", f" {given}").strip()
        return address, given

    async def smtp_DATA(self, arg: str | None) -> None:
        """Receive a mail's data, and answer when the mail is stored."""
        if await self.check_helo_needed():
            return
        if arg or not self.envelope.rcpt_tos:
            await self.push("501 5.5.4 Syntax: DATA" if arg else "503 5.5.1 Need RCPT command")
            return
        if refusal := await self.meet(Stage.DATA):
            await self.push(refusal)
            return
        self.write("354 End data with <CR><LF>.<CR><LF>")
        with self.hall.holding() as hold:
            reader = await self._read_data(hold)
            answer = await self._answer(reader)
        self.envelope = self._create_envelope()
        await self.push(answer)
        if self.hall.is_closing:
            self.say_goodbye()

    async def _answer(self, reader: DataReader) -> str:
        if reader.refusal:
            return REFUSALS[reader.refusal]
        content = reader.content()
        self.dialogue.add("", b"(%d bytes of mail)" % len(content))
        return await self.meet(Stage.DOT) or await self._keep(content)

    async def _read_data(self, hold: Callable[[int], bool]) -> DataReader:
        reader = DataReader(max_bytes=limits.MAX_MESSAGE_BYTES, max_line_bytes=limits.MAX_LINE_BYTES)
        rest = None
        while rest is None:
            chunk = self.incoming.take()
            if not chunk:
                await self._more_data()
                continue
            if not reader.refusal and not hold(len(chunk)):
                reader.refuse(Refusal.TOO_MUCH_AT_ONCE)
            rest = reader.feed(chunk)
        self.incoming.put_back(rest)  # a client may send its next command in the same packet
        return reader

    async def _more_data(self) -> None:
        try:
            await self.incoming.more()
        except asyncio.IncompleteReadError:
            self.dialogue.blame("the client broke the connection off in the middle of its mail")
            raise

    async def _keep(self, content: bytes) -> str:
        envelope = Envelope(
            mail_from=str(self.envelope.mail_from).replace(envelopes.NULL_PATH, ""),
            rcpt_tos=tuple(map(str, self.envelope.rcpt_tos)),
            helo=str(self.session.host_name),
            peer=self.dialogue.peer,
            received_us=self.hall.now_us(),
            username=self.dialogue.username,
        )
        self.is_storing = True
        try:
            await self.hall.keep(envelope, content)
        except StoreUnavailable:
            return "452 4.3.1 The mail cannot be stored now, try again later"
        finally:
            self.is_storing = False
        return await self.meet(Stage.STORED) or "250 2.0.0 OK"
