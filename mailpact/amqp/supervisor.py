"""Keeps one connection to the broker open, for ever.

aiormq has no reconnect. Whoever needs a connection gives `Supervisor.run` a session: a coroutine that works on an
open connection until it is lost. The supervisor dials, runs the session, and after every loss waits with jitter and
begins again. It never gives up by itself; a wrong topology is not its to mend and passes through.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import structlog
from aiormq.abc import AbstractConnection
from aiormq.exceptions import ProbableAuthenticationError

from mailpact.amqp.backoff import Uniform, backoff_seconds
from mailpact.amqp.errors import (
    BrokerError,
    BrokerLost,
    BrokerUnreachable,
    LoginRefused,
    reason,
    talking,
    why_closed,
)
from mailpact.amqp.lifecycle import Event, State, after
from mailpact.amqp.transport import Connection
from mailpact.settings import AmqpUrl

HEARTBEAT_SECONDS = 10  # a dead peer is noticed after (10 + 1) * 3 seconds; aiormq's default of 60 means 183
CONNECT_SECONDS = 10
CLOSE_SECONDS = 1  # a broker that lives answers within milliseconds
STABLE_SECONDS = 10  # a connection that lived shorter counts as one more failure, or it would be hammered

Session = Callable[[AbstractConnection], Awaitable[NoReturn]]

log = structlog.get_logger()


class Supervisor:
    """One supervised connection. `role` names it in logs and in the broker's list of connections."""

    def __init__(self, url: AmqpUrl, role: str, *, uniform: Uniform = random.uniform) -> None:
        self._url = url
        self._role = role
        self._uniform = uniform
        self._state = State.DISCONNECTED
        self._reported: BrokerError | None = None

    @property
    def state(self) -> State:
        """Where the connection stands now."""
        return self._state

    async def run(self, session: Session) -> NoReturn:
        """Run the session on one connection after another until this task is cancelled.

        Raises TopologyMismatch, and whatever a bug in the session raises.
        """
        failures = 0
        try:
            while True:
                lived_seconds = await self._connect_once(session)
                failures = 0 if lived_seconds >= STABLE_SECONDS else failures + 1
                await asyncio.sleep(backoff_seconds(failures, self._uniform))
        finally:
            self._move(Event.STOPPED)

    def report_up(self) -> None:
        """Say that the session works again. It says so itself: an open connection may still be refused everything."""
        if self._reported is not None:
            log.warning("broker back", role=self._role)
        self._reported = None

    async def _connect_once(self, session: Session) -> float:
        """Dial and run the session until the connection is lost; give the seconds that it lived."""
        self._move(Event.DIAL)
        try:
            connection = await dial(self._url, self._role)
        except BrokerUnreachable as error:
            self._move(Event.FAILED)
            self._report_down(error)
            return 0.0
        self._move(Event.OPENED)
        opened = asyncio.get_running_loop().time()
        try:
            await _run_session(session, connection)
        except BrokerLost as error:
            self._move(Event.LOST)
            self._report_down(error)
        finally:
            await hang_up(connection)
        return asyncio.get_running_loop().time() - opened

    def _move(self, event: Event) -> None:
        self._state = after(self._state, event)

    def _report_down(self, error: BrokerError) -> None:
        # One line for a whole outage; but waiting will not mend a refused password, so that is said even in its midst.
        is_news = isinstance(error, LoginRefused) and not isinstance(self._reported, LoginRefused)
        if self._reported is None or is_news:
            log.warning("broker lost, trying again for ever", role=self._role, reason=str(error))
            self._reported = error


async def dial(url: AmqpUrl, role: str) -> Connection:
    """Open one connection within 10 seconds; the caller hangs up. Raises BrokerUnreachable."""
    connection = Connection(_with_defaults(url.url, role))
    try:
        await _open(connection)
    except ProbableAuthenticationError as error:
        raise LoginRefused("the broker refuses these credentials; check the user and password") from error
    except TimeoutError as error:
        raise BrokerUnreachable("the broker does not answer in time") from error
    except Exception as error:  # who answers may speak another protocol: pamqp raises anything then
        why = connection.last_words or reason(error)
        raise BrokerUnreachable(f"no connection to the broker: {why}") from error
    return connection


async def hang_up(connection: Connection) -> None:
    """Close a connection, whatever state it is in: politely for a second, then by cutting it."""
    # Not by `asyncio.timeout`: aiormq's closing, once cancelled, waits for ever for full buffers to be read.
    closing = asyncio.create_task(connection.close())
    try:
        await asyncio.wait({closing}, timeout=CLOSE_SECONDS)
    finally:
        connection.cut()
    await asyncio.wait({closing}, timeout=CLOSE_SECONDS)


async def _open(connection: Connection) -> None:
    opening = asyncio.create_task(connection.connect())
    try:
        await asyncio.wait({opening}, timeout=CONNECT_SECONDS)
    except asyncio.CancelledError:
        await _give_up(opening, connection)
        raise
    if not opening.done():
        await _give_up(opening, connection)
        raise TimeoutError
    opening.result()


async def _give_up(opening: asyncio.Task[Any], connection: Connection) -> None:
    connection.cut()  # even if it has just been opened: nobody will get it
    await _end(opening)


async def _run_session(session: Session, connection: AbstractConnection) -> NoReturn:
    async def guarded() -> NoReturn:
        with talking():
            await session(connection)

    # A task of its own, so that the session ends with the connection, whatever it happens to be waiting for.
    work = asyncio.create_task(guarded())
    closing = connection.closing
    try:
        await asyncio.wait({work, closing}, return_when=asyncio.FIRST_COMPLETED)
        if closing.done() and (not work.done() or isinstance(work.exception(), BrokerLost)):
            raise BrokerLost(why_closed(closing))
        work.result()
    finally:
        closing.cancel()
        await _end(work)
        if work.done() and not work.cancelled() and not isinstance(work.exception(), BrokerError):
            work.result()  # a bug in the session's own cleaning up is not to be lost


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait a second for its end. What waits for a frozen peer ends when the connection is cut.

    It is asked more than once: Python 3.11's `wait_for`, which aiormq uses, can lose a cancellation (bpo-37658).
    """
    task.add_done_callback(_look_at)
    for _ in range(4):
        if task.cancel():
            # `wait`, because `await task` could not tell the task's CancelledError from one of our caller's.
            await asyncio.wait({task}, timeout=CLOSE_SECONDS / 4)


def _look_at(task: asyncio.Task[Any]) -> None:
    # Whoever cares for its error has asked for it; asyncio need not complain that nobody did.
    if not task.cancelled():
        task.exception()


def _with_defaults(url: str, role: str) -> str:
    parts = urlsplit(url)
    query = {"heartbeat": str(HEARTBEAT_SECONDS), "name": f"mailpact {role}", **dict(parse_qsl(parts.query))}
    return urlunsplit(parts._replace(query=urlencode(query)))
