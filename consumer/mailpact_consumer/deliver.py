"""Hands mail over by SMTP, over connections that are kept and used again.

A transaction is split where the inbox stands between its halves: MAIL and RCPT first, then, once the row says
`sending`, DATA. After anything but a clean end a connection is thrown away: a late reply on a used one would be taken
for the answer to somebody else's mail.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import aiosmtplib
from aiosmtplib.errors import SMTPException, SMTPResponseException

from mailpact.settings import SmtpUrl
from mailpact_consumer.reply import (
    Accepted,
    Permanent,
    Phase,
    Trouble,
    refused,
    refused_connection,
    unanswered,
)

# RFC 5321 4.5.3.2: 5 minutes for greeting, MAIL and RCPT; 10 minutes for the answer to the final dot.
CONNECT_SECONDS = 30
COMMAND_SECONDS = 300
FINAL_DOT_SECONDS = 600
MAILS_PER_CONNECTION = 100
IDLE_SECONDS = 60
NOOP_SECONDS = 10
QUIT_SECONDS = 1


@dataclass(slots=True)
class _Kept:
    client: aiosmtplib.SMTP
    mails: int
    idle_since: float


class Transaction:
    """One SMTP transaction for one recipient: `envelope`, then `data`."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self._client = client
        self.is_clean = True
        """Whether the connection may be used again."""

    async def envelope(self, sender: str, recipient: str) -> Permanent | Trouble | None:
        """Return MAIL and RCPT; None means that the server takes the recipient."""
        self.is_clean = False
        return await _refusal(
            Phase.MAIL, self._client.mail(sender, timeout=COMMAND_SECONDS)
        ) or await _refusal(Phase.RCPT, self._client.rcpt(recipient, timeout=COMMAND_SECONDS))

    async def data(self, mail: bytes) -> Accepted | Permanent | Trouble:
        """Send the mail and wait for the answer to the final dot."""
        try:
            reply = await self._client.data(mail, timeout=FINAL_DOT_SECONDS)
        except SMTPResponseException as error:
            return refused(Phase.DATA, error.code, error.message)
        except (SMTPException, OSError) as error:
            return unanswered(Phase.DATA, type(error).__name__)
        self.is_clean = True
        return Accepted(reply.code, reply.message)


class MailServer:
    """The mail server behind `url`, with at most `connections` to it; `name` is what EHLO says."""

    def __init__(self, url: SmtpUrl, *, name: str, connections: int, monotonic: Callable[[], float]) -> None:
        self._url = url
        self._name = name
        self._monotonic = monotonic
        self._places = asyncio.Semaphore(connections)
        self._kept: list[_Kept] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction | Trouble]:
        """Return a transaction on a connection of its own, or the trouble that kept us from having one."""
        async with self._places:
            kept = await self._open()
            if isinstance(kept, Trouble):
                yield kept
                return
            transaction = Transaction(kept.client)
            try:
                yield transaction
            except BaseException:
                transaction.is_clean = False
                raise
            finally:
                await self._give_back(kept, transaction)

    async def close(self) -> None:
        """Say QUIT on every kept connection, within a second."""
        kept, self._kept = self._kept, []
        await asyncio.gather(*(_quit(connection.client) for connection in kept))

    async def _open(self) -> _Kept | Trouble:
        while self._kept:
            kept = self._kept.pop()
            with _closing_after_failure(kept.client):
                if await self._is_usable(kept):
                    return kept
                await _quit(kept.client)
        client = aiosmtplib.SMTP(
            hostname=self._url.host,
            port=self._url.port,
            local_hostname=self._name,  # otherwise the library looks the host's name up, which can take seconds
            timeout=CONNECT_SECONDS,
            start_tls=False,
        )
        try:
            with _closing_after_failure(client):
                await client.connect()
                await client.ehlo(timeout=COMMAND_SECONDS)
        except SMTPResponseException as error:
            return refused_connection(error.code)
        except (SMTPException, OSError) as error:
            return unanswered(Phase.CONNECT, type(error).__name__)
        return _Kept(client, mails=0, idle_since=self._monotonic())

    async def _is_usable(self, kept: _Kept) -> bool:
        if kept.mails >= MAILS_PER_CONNECTION or self._monotonic() - kept.idle_since > IDLE_SECONDS:
            return False
        # A server may have closed it meanwhile; better to learn that before MAIL than after.
        with suppress(SMTPException, OSError):
            await kept.client.noop(timeout=NOOP_SECONDS)
            return True
        return False

    async def _give_back(self, kept: _Kept, transaction: Transaction) -> None:
        if not transaction.is_clean:
            kept.client.close()
            return
        kept.mails += 1
        kept.idle_since = self._monotonic()
        self._kept.append(kept)


@contextmanager
def _closing_after_failure(client: aiosmtplib.SMTP) -> Iterator[None]:
    try:
        yield
    except BaseException:  # a cancellation too: nobody else knows of this connection
        client.close()
        raise


async def _refusal(phase: Phase, command: Awaitable[object]) -> Permanent | Trouble | None:
    try:
        await command
    except SMTPResponseException as error:
        return refused(phase, error.code, error.message)
    except (SMTPException, OSError) as error:
        return unanswered(phase, type(error).__name__)
    return None


async def _quit(client: aiosmtplib.SMTP) -> None:
    with suppress(SMTPException, OSError):
        await client.quit(timeout=QUIT_SECONDS)
    client.close()
