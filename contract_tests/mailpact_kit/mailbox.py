"""A mail server that accepts every mail and keeps it in memory, with a transcript of each connection.

Recipients are matched by the nonce in their address. No mail is ever delivered. A case can script the answers for its
own recipient, and can make the whole server refuse connections for some time.
"""

import asyncio
import re
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import AnyStr

from aiosmtpd.smtp import SMTP, Envelope, Session

from mailpact_kit.cases import Answer
from mailpact_kit.changes import Changes
from mailpact_kit.mail import Mail

HOST_NAME = "kit.example"
MAX_MAILS = 10_000
MAX_MAIL_BYTES = 8 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024  # so large that a program's too long lines are recorded and not refused
MAX_TRANSCRIPT_LINES = 50_000
SHOWN_LINE_CHARACTERS = 200
_NONCES = re.compile(r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])")


@dataclass(slots=True)
class Conversation:
    """The transcript of one connection, line by line: `C:` is the program, `S:` is the mail server."""

    lines: list[str] = field(default_factory=list)
    unfinished: bytes = b""

    def transactions(self) -> Iterator[list[str]]:
        """Yield the lines of each mail transaction; a transaction begins with MAIL."""
        begun: list[str] = []
        for line in self.lines:
            if line.upper().startswith("C: MAIL ") and begun:
                yield begun
                begun = []
            begun.append(line)
        yield begun


class Mailbox:
    """All received mails, and the transcripts of their connections."""

    def __init__(self, changes: Changes) -> None:
        self.mails: list[Mail] = []
        self.scripts: dict[str, deque[Answer]] = defaultdict(deque)
        self.begun: Counter[str] = Counter()
        self._by_nonce: dict[str, list[Mail]] = defaultdict(list)
        self._conversations: list[Conversation] = []
        self._lines = 0
        self._changes = changes

    @property
    def is_full(self) -> bool:
        """Return whether a mail was refused because there were too many mails."""
        return len(self.mails) >= MAX_MAILS

    def mails_to(self, nonce: str) -> list[Mail]:
        """Return the mails with the nonce in any recipient's address."""
        return self._by_nonce.get(nonce, [])

    def next_answer(self, recipients: Iterable[str], *, at_dot: bool) -> Answer | None:
        """Remove and return the next scripted answer for one of these recipients; None if there is no script."""
        for nonce, script in self.scripts.items():
            if script and script[0].at_dot is at_dot and any(nonce in to.lower() for to in recipients):
                return script.popleft()
        return None

    def begin_data(self, recipients: Iterable[str]) -> None:
        """Count a mail whose text was received, by the nonce of a scripted recipient."""
        for nonce in self.scripts:
            if any(nonce in to.lower() for to in recipients):
                self.begun[nonce] += 1
        self._changes.notify()

    def transcript(self, nonce: str) -> list[str]:
        """Return the transcript of the transactions that contain the nonce."""
        return [
            line
            for conversation in self._conversations
            for transaction in conversation.transactions()
            if any(nonce in line.lower() for line in transaction)
            for line in transaction
        ]

    def begin(self) -> Conversation:
        """Return the transcript of a new connection."""
        conversation = Conversation()
        self._conversations.append(conversation)
        return conversation

    def heard(self, conversation: Conversation, data: bytes) -> None:
        """Record bytes from the program; complete lines become part of the transcript."""
        *complete, rest = (conversation.unfinished + data).split(b"\n")
        conversation.unfinished = rest[:MAX_LINE_BYTES]
        for line in complete:
            self._note(conversation, "C", line)

    def said(self, conversation: Conversation, reply: str | bytes) -> None:
        """Record the mail server's answer."""
        for line in (reply.encode() if isinstance(reply, str) else reply).splitlines():
            self._note(conversation, "S", line)

    def keep(self, mail: Mail) -> None:
        """Store a mail and notify the waiters."""
        self.mails.append(mail)
        for nonce in {found for to in mail.recipients for found in _NONCES.findall(to.lower())}:
            self._by_nonce[nonce].append(mail)
        self._changes.notify(is_progress=True)

    def _note(self, conversation: Conversation, who: str, line: bytes) -> None:
        if self._lines < MAX_TRANSCRIPT_LINES:
            self._lines += 1
            text = line.rstrip(b"\r").decode("ascii", "backslashreplace")[:SHOWN_LINE_CHARACTERS]
            conversation.lines.append(f"{who}: {text}")


class _Handler:
    """aiosmtpd's hooks."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self._mailbox.next_answer([address], at_dot=False)
        if answer is not None and answer.says is not None:
            return answer.says
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        if self._mailbox.is_full:
            return "452 4.3.1 the kit keeps no more mails"
        answer = self._mailbox.next_answer(envelope.rcpt_tos, at_dot=True)
        self._mailbox.begin_data(envelope.rcpt_tos)
        if answer is not None:
            await asyncio.sleep(answer.after_seconds)
            if answer.says is None:
                _abort(server)
                await asyncio.Event().wait()  # aiosmtpd cancels this handler when the connection is lost
            if answer.says is not None and not answer.says.startswith("250"):
                return answer.says
        content = envelope.content
        self._mailbox.keep(
            Mail(
                at=asyncio.get_running_loop().time(),
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                content=content if isinstance(content, bytes) else (content or "").encode(),
            )
        )
        return "250 2.0.0 kept"


class _Connection(SMTP):
    """aiosmtpd's protocol, with a transcript of each connection."""

    line_length_limit = MAX_LINE_BYTES

    def __init__(self, mailbox: Mailbox) -> None:
        super().__init__(
            _Handler(mailbox),
            data_size_limit=MAX_MAIL_BYTES,
            hostname=HOST_NAME,
            ident="contract-tests",
            loop=asyncio.get_running_loop(),
        )
        self._mailbox = mailbox
        self._conversation = mailbox.begin()

    def data_received(self, data: bytes) -> None:
        self._mailbox.heard(self._conversation, data)
        super().data_received(data)

    async def push(self, status: AnyStr) -> None:
        self._mailbox.said(self._conversation, status)
        await super().push(status)


def _abort(connection: SMTP) -> None:
    if isinstance(connection.transport, asyncio.Transport):
        connection.transport.abort()


class MailServer:
    """The listening server, which can refuse connections and later accept them again on the same port."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: list[_Connection] = []

    async def listen(self) -> None:
        """Accept connections: on a free port the first time, on the same port later."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connected, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def refuse(self) -> None:
        """Close all connections and refuse new connections."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            _abort(connection)
        self._connections.clear()
        if self._server is not None:
            await self._server.wait_closed()

    def _connected(self) -> _Connection:
        self._connections.append(_Connection(self.mailbox))
        return self._connections[-1]


@asynccontextmanager
async def serving(changes: Changes) -> AsyncIterator[MailServer]:
    """Run the mail server on a port of 127.0.0.1."""
    server = MailServer(Mailbox(changes))
    await server.listen()
    try:
        yield server
    finally:
        await server.refuse()
