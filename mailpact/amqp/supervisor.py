"""Keeps one connection to the broker open; aiormq itself does not reconnect.

A caller gives `Supervisor.run` a session: a coroutine that works on an open connection until the connection is lost.
The supervisor connects, runs the session, waits after every loss, and begins again, without end. Only a
TopologyMismatch or a bug in the session ends `run`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from aiormq.abc import AbstractConnection

from mailpact.amqp.backoff import Uniform, backoff_seconds
from mailpact.amqp.errors import (
    AccessRefused,
    BrokerError,
    BrokerLost,
    BrokerUnreachable,
    reason,
    talking,
    why_closed,
)
from mailpact.amqp.transport import Connection
from mailpact.outage import Outage
from mailpact.settings import AmqpUrl, HostPort

CONNECT_SECONDS = 10
CLOSE_SECONDS = 1  # a broker that lives answers within milliseconds
# A connection that lived shorter counts as a failure, so that the waits between tries grow.
STABLE_SECONDS = 10
REFUSALS = frozenset({403, 530})  # ACCESS_REFUSED, NOT_ALLOWED: RabbitMQ's answers to a login or virtual host

Session = Callable[[AbstractConnection], Awaitable[NoReturn]]


class Supervisor:
    """One supervised connection. `role` names it in logs and in the broker's list of connections."""

    def __init__(self, url: AmqpUrl, role: str, *, uniform: Uniform = random.uniform) -> None:
        self._url = url
        self._role = role
        self._uniform = uniform
        self._outage = Outage("broker", role=role)

    async def run(self, session: Session) -> NoReturn:
        """Run the session on one connection after another until this task is cancelled.

        Raises TopologyMismatch, and whatever a bug in the session raises.
        """
        failures = 0
        while True:
            lived_seconds = await self._connect_once(session)
            failures = 0 if lived_seconds >= STABLE_SECONDS else failures + 1
            await asyncio.sleep(backoff_seconds(failures, self._uniform))

    def report_up(self) -> None:
        """Report that the session works; on an open connection the broker may still refuse every request."""
        self._outage.end()

    def report_down(self, error: BrokerError) -> None:
        """Report why the session does not work."""
        self._outage.report(
            str(error),
            is_refused=isinstance(error, AccessRefused),
            was_connected=isinstance(error, BrokerLost),
        )

    async def _connect_once(self, session: Session) -> float:
        """Connect and run the session until the connection is lost; return how many seconds the connection lived."""
        try:
            connection = await dial(self._url, self._role)
        except (BrokerUnreachable, AccessRefused) as error:
            self.report_down(error)
            return 0.0
        opened = asyncio.get_running_loop().time()
        try:
            await _run_session(session, connection)
        except (BrokerLost, AccessRefused) as error:
            self._url = self._url.rotated()
            self.report_down(error)
        finally:
            await hang_up(connection)
        return asyncio.get_running_loop().time() - opened


async def dial(url: AmqpUrl, role: str, seconds: float | None = None) -> Connection:
    """Open a connection to the first node that accepts one, within `seconds` (10 if not given); the caller closes it.

    Raises AccessRefused if no node can be used and one of them refuses access, otherwise BrokerUnreachable.
    """
    failures: list[tuple[AmqpUrl, BrokerUnreachable | AccessRefused]] = []
    for one in url.each:
        try:
            return await _dial(one, role, (seconds or CONNECT_SECONDS) / len(url.each))
        except (BrokerUnreachable, AccessRefused) as error:
            failures.append((one, error))
    if not url.others:
        raise failures[0][1]
    refusals = [error for _, error in failures if isinstance(error, AccessRefused)]
    text = "; ".join(f"{HostPort(one.host, one.port)}: {error}" for one, error in failures)
    raise (AccessRefused if refusals else BrokerUnreachable)(text)


async def _dial(url: AmqpUrl, role: str, seconds: float) -> Connection:
    connection = Connection(url, role)
    try:
        await _open(connection, seconds)
    except TimeoutError as error:
        raise BrokerUnreachable("the broker does not answer in time") from error
    except Exception as error:  # a server of another protocol: pamqp may raise anything then
        if connection.frames.closing_code in REFUSALS:
            raise AccessRefused(
                f"{connection.frames.last_words}; check the user, password and virtual host in the broker's URL"
            ) from error
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise AccessRefused(f"the broker's certificate is not trusted: {reason(error)}") from error
        raise BrokerUnreachable(connection.frames.last_words or reason(error)) from error
    return connection


async def hang_up(connection: Connection) -> None:
    """Close a connection in any state: first by the protocol, and after a second without an answer by cutting it."""
    # `asyncio.timeout` cannot be used: a cancelled `close` of aiormq waits without end while the buffers are full.
    closing = asyncio.create_task(connection.close())
    try:
        await asyncio.wait({closing}, timeout=CLOSE_SECONDS)
    finally:
        connection.cut()
    await asyncio.wait({closing}, timeout=CLOSE_SECONDS)


async def _open(connection: Connection, seconds: float) -> None:
    opening, is_in_time = asyncio.create_task(connection.connect()), False
    try:
        await asyncio.wait({opening}, timeout=seconds)
        is_in_time = opening.done()
    finally:
        if not is_in_time:  # or this task was cancelled: the caller will not get the connection
            connection.cut()
            await _end(opening)
    if not is_in_time:
        raise TimeoutError
    opening.result()


async def _run_session(session: Session, connection: AbstractConnection) -> NoReturn:
    async def guarded() -> NoReturn:
        with talking():
            await session(connection)

    # The session is a task of its own, so that it ends with the connection, whatever it waits for.
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
            work.result()  # raises the error of a bug in the session's cleanup


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait a second for its end; a task that waits for a frozen peer ends later, with its connection.

    The task is cancelled several times, because `wait_for` of Python 3.11, which aiormq uses, can lose a cancellation
    (bpo-37658).
    """
    # asyncio would log that nobody has looked at the task's error.
    task.add_done_callback(lambda ended: None if ended.cancelled() else ended.exception())
    for _ in range(4):
        if task.cancel():
            # `await task` could not tell the task's CancelledError from a cancellation of this task.
            await asyncio.wait({task}, timeout=CLOSE_SECONDS / 4)
