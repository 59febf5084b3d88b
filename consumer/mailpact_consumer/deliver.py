"""Sends mail by SMTP, over connections that are reused.

A transaction has two parts. The first part is MAIL, RCPT and DATA, in one write if the server has PIPELINING (RFC
2920 3.1). Then the inbox row is set to `sending`. The second part is the mail itself. Until the mail's bytes are
sent, the server has nothing to deliver. If a transaction is given up after the server's 354, the connection must be
closed, because the server would read any further command as the mail's text.

A connection is reused only if all replies were complete and clear. Otherwise a late reply could be read as the answer
for another mail.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from mailpact_consumer.pace import Pace
from mailpact_consumer.places import Places, State, Visit
from mailpact_consumer.reply import (
    SERVICE_CLOSING,
    Accepted,
    DomainBusy,
    Permanent,
    Phase,
    Trouble,
    refused,
    unanswered,
)
from mailpact_consumer.smtp_connection import SLOW_SECONDS, NoAnswer
from mailpact_consumer.smtp_grammar import Reply, command, mail_data
from mailpact_consumer.smtp_session import COMMAND_SECONDS, Server, Session, open_session

# RFC 5321 4.5.3.2.6: 10 minutes for the answer to the final dot.
FINAL_DOT_SECONDS = 600
MAILS_PER_CONNECTION = 100
IDLE_SECONDS = 60
QUIT_SECONDS = 1
PROBE_SECONDS = 30

_RSET, _DATA, _QUIT = command("RSET"), command("DATA"), command("QUIT")
_SUCCESS, _GO_ON = 2, 3
_HOPED_FOR = ((Phase.MAIL, _SUCCESS), (Phase.RCPT, _SUCCESS), (Phase.DATA, _GO_ON))


class Transaction:
    """One SMTP transaction for one recipient: `envelope`, then `data`."""

    def __init__(self, session: Session, reopen: Callable[[], Awaitable[Session | Trouble]]) -> None:
        self.session = session
        self.is_clean = True
        """Return whether the connection may be reused."""
        self._reopen = reopen
        self._is_reused = session.mails > 0 or session.needs_reset

    async def envelope(self, sender: str, recipient: str) -> Permanent | Trouble | None:
        """Return the outcome of MAIL, RCPT and DATA; None means that the server waits for the mail.

        If the server has closed a reused connection in the meantime, a new connection is opened.
        """
        self.is_clean = False
        commands = [command(f"MAIL FROM:<{sender}>"), command(f"RCPT TO:<{recipient}>"), _DATA]
        replies, reason = await self._ask_each(commands)
        if self._is_reused and (not replies or replies[0].code == SERVICE_CLOSING):
            self.session.connection.close()
            session = await self._reopen()
            if isinstance(session, Trouble):
                return session
            self.session, self._is_reused = session, False
            replies, reason = await self._ask_each(commands)
        for number, ((phase, hoped_for), reply) in enumerate(zip(_HOPED_FOR, replies, strict=False)):
            if reply.kind != hoped_for:
                # A server may accept DATA although it refused the commands before (RFC 2920 3.1). Then it waits for a
                # mail.
                self.is_clean = all(map(_is_clear_refusal, replies[number:]))
                self.session.needs_reset = True
                return refused(phase, reply.code, reply.text)
        if len(replies) < len(commands):
            return unanswered(_HOPED_FOR[len(replies)][0], reason)
        return None

    async def data(self, mail: bytes) -> Accepted | Permanent | Trouble:
        """Send the mail, and wait for the answer to the final dot."""
        connection = self.session.connection
        if not connection.is_usable:  # the server closed the connection, or sent more than 354
            return unanswered(Phase.DATA, "the connection ended before the mail was begun")
        try:
            (reply,) = await connection.ask(mail_data(mail), 1, FINAL_DOT_SECONDS)
        except NoAnswer as error:
            return unanswered(Phase.DOT, str(error))
        if reply.kind != _SUCCESS:
            self.is_clean = _is_clear_refusal(reply)
            return refused(Phase.DOT, reply.code, reply.text)
        self.is_clean = True
        return Accepted(reply.code, reply.text)

    async def _ask_each(self, commands: list[bytes]) -> tuple[tuple[Reply, ...], str]:
        """Return the replies to the commands, without the reply to RSET, and the reason why replies are missing."""
        session = self.session
        if session.needs_reset:
            commands = [_RSET, *commands]
        replies: tuple[Reply, ...] = ()
        reason = ""
        try:
            if session.has_pipelining:
                replies = await session.connection.ask(b"".join(commands), len(commands), COMMAND_SECONDS)
            else:
                for line in commands:
                    replies += await session.connection.ask(line, 1, COMMAND_SECONDS)
                    if replies[-1].kind != _SUCCESS:
                        break
        except NoAnswer as error:
            replies, reason = replies + error.replies, str(error)
        if session.needs_reset:
            session.needs_reset = False
            is_reset = bool(replies) and replies[0].kind == _SUCCESS
            return (replies[1:], reason) if is_reset else ((), "RSET was refused")
        return replies, reason


def _is_clear_refusal(reply: Reply) -> bool:
    return 400 <= reply.code <= 599 and reply.code != SERVICE_CLOSING


class MailServer:
    """The mail server, with at most `connections` connections, or twice as many while answers are slow.

    `rate` is the largest number of transactions that begin in one second.
    """

    def __init__(
        self, server: Server, *, connections: int, rate: int | None, monotonic: Callable[[], float]
    ) -> None:
        self._server = server
        self._monotonic = monotonic
        self._places = Places(connections)
        self._pace = Pace(rate) if rate else None
        self._in_line: dict[Visit, asyncio.Future[None]] = {}
        self._kept: list[Session] = []
        self._farewells: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    def transaction(self, recipient: str) -> "_Handover":
        """Return a context that yields a transaction on its own connection, or the reason why there is none.

        DomainBusy means that no try was made, because too many connections wait for slow answers for the recipient's
        domain.
        """
        return _Handover(self, Visit(recipient.rpartition("@")[2].lower()))

    async def begin(self, visit: Visit) -> Transaction | DomainBusy | Trouble:
        """Wait for a place, and return a transaction on a connection that no other transaction uses."""
        if not await self._enter(visit):
            return DomainBusy()
        if self._pace is not None:
            await asyncio.sleep(self._pace.delay_seconds(self._monotonic()))
        session = self._reusable() or await self._open(visit)
        if isinstance(session, Trouble):
            return session
        self._watch(visit, session)
        return Transaction(session, partial(self._open, visit))

    def end(self, visit: Visit, transaction: Transaction | None) -> None:
        """Release the place and the connection of `begin`."""
        if transaction is not None:
            self._give_back(transaction)
        self._let_in(self._places.leave(visit))

    async def probe(self, sender: str) -> Trouble | None:
        """Try a new connection, the login and MAIL, within 30 s; return the trouble, or None if all succeed.

        Unused connections are closed first, because a server may allow only a few connections of one client.
        """
        await self._leave_kept()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                session = await open_session(self._server)
                if isinstance(session, Trouble):
                    return session
                try:
                    (reply,) = await session.connection.ask(
                        command(f"MAIL FROM:<{sender}>"), 1, PROBE_SECONDS
                    )
                finally:
                    self._say_goodbye(session)
        except TimeoutError:
            return unanswered(Phase.CONNECT, f"no answer within {PROBE_SECONDS} s")
        except NoAnswer as error:
            return unanswered(Phase.MAIL, str(error))
        if reply.kind == _SUCCESS:
            return None
        trouble = refused(Phase.MAIL, reply.code, reply.text)
        assert isinstance(trouble, Trouble)  # noqa: S101  # no recipient was sent
        return trouble

    async def close(self) -> None:
        """Send QUIT on every idle connection, within one second."""
        if self._sweep is not None:
            self._sweep.cancel()
        await self._leave_kept()

    async def _leave_kept(self) -> None:
        kept, self._kept = self._kept, []
        for session in kept:
            self._say_goodbye(session)
        await asyncio.gather(*self._farewells)

    async def _enter(self, visit: Visit) -> bool:
        self._let_in(self._places.enter(visit))
        if visit.state is State.IN_LINE:
            waiter = self._in_line[visit] = asyncio.get_running_loop().create_future()
            try:
                await waiter
            finally:
                del self._in_line[visit]
        return visit.state is not State.REFUSED

    def _let_in(self, visits: list[Visit]) -> None:
        for visit in visits:
            waiter = self._in_line.get(visit)
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def _set_slow(self, visit: Visit, *, is_slow: bool) -> None:
        self._let_in(self._places.set_slow(visit, is_slow=is_slow))

    def _watch(self, visit: Visit, session: Session) -> None:
        session.connection.tell_slow = partial(self._set_slow, visit)

    async def _open(self, visit: Visit) -> Session | Trouble:
        timer = asyncio.get_running_loop().call_later(
            SLOW_SECONDS, partial(self._set_slow, visit, is_slow=True)
        )
        try:
            session = await open_session(self._server)
        finally:
            timer.cancel()
            self._set_slow(visit, is_slow=False)
        if isinstance(session, Session):
            self._watch(visit, session)
        return session

    def _reusable(self) -> Session | None:
        while self._kept:
            session = self._kept.pop()
            if session.connection.is_usable:
                return session
            session.connection.close()
        return None

    def _give_back(self, transaction: Transaction) -> None:
        session = transaction.session
        if not transaction.is_clean or not session.connection.is_usable:
            session.connection.close()
            return
        session.mails += 1
        session.idle_since = self._monotonic()
        if session.mails >= MAILS_PER_CONNECTION:
            self._say_goodbye(session)
            return
        self._kept.append(session)
        if self._sweep is None:
            self._sweep_later()

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep_idle)

    def _sweep_idle(self) -> None:
        self._sweep = None
        idle_since = self._monotonic() - IDLE_SECONDS
        idle = [session for session in self._kept if session.idle_since <= idle_since]
        self._kept = [session for session in self._kept if session.idle_since > idle_since]
        for session in idle:
            self._say_goodbye(session)
        if self._kept:
            self._sweep_later()

    def _say_goodbye(self, session: Session) -> None:
        farewell = asyncio.get_running_loop().create_task(_quit(session))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)


class _Handover:
    """The context of one transaction.

    This is a class because a generator would take several times as long for each mail.
    """

    __slots__ = ("_server", "_transaction", "_visit")

    def __init__(self, server: MailServer, visit: Visit) -> None:
        self._server, self._visit = server, visit
        self._transaction: Transaction | None = None

    async def __aenter__(self) -> Transaction | DomainBusy | Trouble:
        try:
            begun = await self._server.begin(self._visit)
        except BaseException:
            self._server.end(self._visit, None)
            raise
        if isinstance(begun, Transaction):
            self._transaction = begun
        return begun

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._transaction is not None:
            self._transaction.is_clean = False
        self._server.end(self._visit, self._transaction)


async def _quit(session: Session) -> None:
    try:
        await session.connection.ask(_QUIT, 1, QUIT_SECONDS)
    except NoAnswer:
        pass
    finally:
        session.connection.close()
