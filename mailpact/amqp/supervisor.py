"""Keeps one connection to the broker open, for ever.

aiormq has no reconnect. Whoever needs a connection gives `Supervisor.run` a session: a coroutine that works on an
open connection until it is lost. The supervisor dials, runs the session, and after every loss waits with jitter and
begins again. It never gives up by itself; a wrong topology is not its to mend and passes through.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import aiormq
import structlog
from aiormq.abc import AbstractConnection
from aiormq.exceptions import AMQPError

from mailpact.amqp.backoff import Uniform, backoff_seconds
from mailpact.amqp.errors import BrokerError, BrokerLost, BrokerUnreachable, dialling, reason, talking
from mailpact.amqp.lifecycle import Event, State, after
from mailpact.settings import AmqpUrl

HEARTBEAT_SECONDS = 10  # a dead peer is noticed after (10 + 1) * 3 seconds; aiormq's default of 60 means 183
CONNECT_SECONDS = 10
CLOSE_SECONDS = 2
STABLE_SECONDS = (
    10  # a connection that lived shorter counts as one more failure, or a broken one would be hammered
)

Session = Callable[[AbstractConnection], Awaitable[None]]

log = structlog.get_logger()


class Supervisor:
    """One supervised connection. `role` names it in logs and in the broker's list of connections."""

    def __init__(self, url: AmqpUrl, role: str, *, uniform: Uniform = random.uniform) -> None:
        self._url = url
        self._role = role
        self._uniform = uniform
        self._state = State.DISCONNECTED
        self._is_reported_down = False

    @property
    def state(self) -> State:
        """Where the connection stands now."""
        return self._state

    async def run(self, session: Session) -> None:
        """Run the session on one connection after another until this task is cancelled or the session returns.

        Raises TopologyMismatch, and whatever a bug in the session raises.
        """
        failures = 0
        try:
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    async with self._connection() as connection:
                        await _run_session(session, connection)
                    return
                except (BrokerUnreachable, BrokerLost) as error:
                    self._report_down(error)
                lived = asyncio.get_running_loop().time() - began
                failures = 0 if lived >= STABLE_SECONDS + CONNECT_SECONDS else failures + 1
                await asyncio.sleep(backoff_seconds(failures, self._uniform))
        finally:
            self._move(Event.STOPPED)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AbstractConnection]:
        self._move(Event.DIAL)
        try:
            connection = await dial(self._url, self._role)
        except BrokerUnreachable:
            self._move(Event.FAILED)
            raise
        self._move(Event.OPENED)
        self._report_up()
        try:
            yield connection
        except BrokerLost:
            self._move(Event.LOST)
            raise
        finally:
            await hang_up(connection)

    def _move(self, event: Event) -> None:
        self._state = after(self._state, event)

    def _report_down(self, error: BrokerError) -> None:
        if not self._is_reported_down:
            log.warning("broker lost, trying again for ever", role=self._role, reason=str(error))
        self._is_reported_down = True

    def _report_up(self) -> None:
        if self._is_reported_down:
            log.warning("broker back", role=self._role)
        self._is_reported_down = False


async def dial(url: AmqpUrl, role: str) -> AbstractConnection:
    """Open one connection within 10 seconds; the caller closes it. Raises BrokerUnreachable."""
    with dialling():
        async with asyncio.timeout(CONNECT_SECONDS):
            return await aiormq.connect(_with_defaults(url.url, role))


async def hang_up(connection: AbstractConnection) -> None:
    """Close a connection, whatever state it is in, within 2 seconds."""
    with suppress(TimeoutError, AMQPError, OSError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()


async def _run_session(session: Session, connection: AbstractConnection) -> None:
    async def guarded() -> None:
        with talking():
            await session(connection)

    # A task of its own, so that aiormq's CancelledError can be told from a cancellation of ours.
    work = asyncio.create_task(guarded())
    closing = connection.closing
    try:
        await asyncio.wait({work, closing}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
            return
        raise BrokerLost(_why_closed(closing))
    finally:
        closing.cancel()
        work.cancel()
        with suppress(asyncio.CancelledError, BrokerError):
            await work


def _why_closed(closing: asyncio.Future[None]) -> str:
    try:
        closing.result()
    except asyncio.CancelledError:
        return "the broker stopped answering heartbeats"
    except (AMQPError, OSError) as error:
        return reason(error)
    return "the broker closed the connection"


def _with_defaults(url: str, role: str) -> str:
    parts = urlsplit(url)
    query = {"heartbeat": str(HEARTBEAT_SECONDS), "name": f"mailpact {role}", **dict(parse_qsl(parts.query))}
    return urlunsplit(parts._replace(query=urlencode(query)))
