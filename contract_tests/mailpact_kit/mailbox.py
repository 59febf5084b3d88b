"""A mail server that takes every mail and keeps it in memory, with what was said on each connection.

Recipients are matched by the nonce in their address; nothing is ever delivered to anybody.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import AnyStr

from aiosmtpd.smtp import SMTP, Envelope, Session

from mailpact_kit.bell import Bell
from mailpact_kit.mail import Mail

HOST_NAME = "kit.example"
MAX_MAILS = 10_000
MAX_MAIL_BYTES = 8 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024  # a program's too long lines are to be seen, not refused
MAX_TRANSCRIPT_LINES = 50_000
SHOWN_LINE_CHARACTERS = 200


@dataclass(slots=True)
class Conversation:
    """What was said on one connection, a line each: `C:` is the program, `S:` the mail server."""

    lines: list[str] = field(default_factory=list)
    unfinished: bytes = b""

    def transactions(self) -> Iterator[list[str]]:
        """Cut it before each MAIL command."""
        begun: list[str] = []
        for line in self.lines:
            if line.upper().startswith("C: MAIL ") and begun:
                yield begun
                begun = []
            begun.append(line)
        yield begun


class Mailbox:
    """All mails that came, and the transcripts of how they came."""

    def __init__(self, bell: Bell) -> None:
        self.mails: list[Mail] = []
        self._conversations: list[Conversation] = []
        self._lines = 0
        self._bell = bell

    @property
    def is_full(self) -> bool:
        """Whether a mail had to be refused because there were too many."""
        return len(self.mails) >= MAX_MAILS

    def mails_to(self, nonce: str) -> list[Mail]:
        """Return the mails with the nonce in any recipient's address."""
        return [mail for mail in self.mails if any(nonce in to.lower() for to in mail.recipients)]

    def transcript(self, nonce: str) -> list[str]:
        """Return what was said in the transactions in which the nonce occurs."""
        return [
            line
            for conversation in self._conversations
            for transaction in conversation.transactions()
            if any(nonce in line.lower() for line in transaction)
            for line in transaction
        ]

    def begin(self) -> Conversation:
        """Note a new connection."""
        conversation = Conversation()
        self._conversations.append(conversation)
        return conversation

    def heard(self, conversation: Conversation, data: bytes) -> None:
        """Note what the program said; the lines that are complete become part of the transcript."""
        *complete, rest = (conversation.unfinished + data).split(b"\n")
        conversation.unfinished = rest[:MAX_LINE_BYTES]
        for line in complete:
            self._note(conversation, "C", line)

    def said(self, conversation: Conversation, reply: str | bytes) -> None:
        """Note what the mail server answered."""
        for line in (reply.encode() if isinstance(reply, str) else reply).splitlines():
            self._note(conversation, "S", line)

    def keep(self, mail: Mail) -> None:
        """Keep a mail."""
        self.mails.append(mail)
        self._bell.ring()

    def _note(self, conversation: Conversation, who: str, line: bytes) -> None:
        if self._lines < MAX_TRANSCRIPT_LINES:
            self._lines += 1
            text = line.rstrip(b"\r").decode("ascii", "backslashreplace")[:SHOWN_LINE_CHARACTERS]
            conversation.lines.append(f"{who}: {text}")


class _Handler:
    """aiosmtpd's hooks."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        if self._mailbox.is_full:
            return "452 4.3.1 the kit keeps no more mails"
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
    """aiosmtpd's protocol, overheard."""

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


@asynccontextmanager
async def serving(bell: Bell) -> AsyncIterator[tuple[Mailbox, int]]:
    """Run the mail server; give its mailbox and its port on 127.0.0.1."""
    mailbox = Mailbox(bell)
    connections: list[_Connection] = []

    def connected() -> _Connection:
        connections.append(_Connection(mailbox))
        return connections[-1]

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    try:
        yield mailbox, int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for connection in connections:
            if connection.transport is not None:
                connection.transport.close()
        await server.wait_closed()
