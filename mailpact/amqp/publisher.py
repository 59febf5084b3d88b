"""Publishes messages with confirms and `mandatory`; a publish without an answer is UNKNOWN, never a failure."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from aiormq.abc import AbstractChannel, AbstractConnection

from mailpact.amqp.batch import send
from mailpact.amqp.channels import RPC_SECONDS, open_channel
from mailpact.amqp.errors import AccessRefused, BrokerError, talking
from mailpact.amqp.messages import Message, Outcome, Routed
from mailpact.amqp.supervisor import Supervisor
from mailpact.amqp.topology import Declare
from mailpact.settings import AmqpUrl

WINDOW = 128  # unconfirmed publishes at once: one at a time makes 520 a second, 128 make 2,280 (quorum queue)
CONFIRM_SECONDS = 10
BLOCKED_SECONDS = 0.05  # a connection that is not blocked is ready at once
REPLACE_SECONDS = 1.0  # a refused channel is replaced at most once in this time

REFUSED = frozenset({Outcome.UNROUTABLE, Outcome.NACKED})


@dataclass(slots=True, eq=False)
class _Link:
    """A channel to publish on. It is `over` when a publish gets no answer, or after a refusal once none is open."""

    connection: AbstractConnection
    channel: AbstractChannel
    over: asyncio.Future[None]
    is_refused: bool = False
    outstanding: int = 0


class Publisher:
    """Publishes on a connection of its own, so that subscribers can ack while the broker blocks publishes."""

    def __init__(
        self, url: AmqpUrl, role: str, *, declare: Declare, confirm_seconds: float | None = None
    ) -> None:
        self._confirm_seconds = confirm_seconds
        self._supervisor = Supervisor(url, role)
        self._declare = declare
        self._window = asyncio.Semaphore(WINDOW)
        self._link: _Link | None = None
        self._connection: AbstractConnection | None = None
        self._opened = asyncio.Event()
        self._ids: set[str] = set()

    async def run(self) -> NoReturn:
        """Keep a channel open until cancelled. Raises TopologyMismatch."""
        await self._supervisor.run(self._session)

    async def wait_until_open(self) -> None:
        """Return as soon as there is a channel to publish on."""
        await self._opened.wait()

    @property
    def is_open(self) -> bool:
        """Return whether there is a channel to publish on."""
        return self._link is not None

    async def is_blocked(self) -> bool:
        """Return whether the broker accepts no publishes for now (an alarm), within 50 milliseconds."""
        return self._connection is not None and not await _is_ready(self._connection)

    async def publish(
        self, message: Message, *, exchange: str, routing_key: str = "", mandatory: bool = True
    ) -> Outcome:
        """Publish one message as `publish_together` does, at most 128 at the same time."""
        async with self._window:
            (outcome,) = await self.publish_together([Routed(message, exchange, routing_key, mandatory)])
        return outcome

    async def publish_together(self, messages: Sequence[Routed]) -> Sequence[Outcome]:
        """Publish messages as one write; wait at most `confirm_seconds` (10 if not given) for the broker's answers.

        A `mandatory` message needs an id. If such an id is still in flight, nothing is sent: a returned message is
        matched to its publish by its id alone. After a nack or a return the channel takes nothing new and is replaced,
        at most once a second, and the new channel declares again: RabbitMQ 3.10 keeps refusing on the old channel
        after the cause is gone (measured). Raises TypeError or ValueError for properties that AMQP cannot carry.
        """
        mandatory = [each.message.message_id for each in messages if each.mandatory]
        ids = {message_id for message_id in mandatory if message_id}
        if len(ids) != len(mandatory):
            raise ValueError("each message needs an id of its own, by which its return is recognised")
        link = self._link
        if not messages or link is None or not self._ids.isdisjoint(ids):
            return [Outcome.NOT_SENT] * len(messages)
        outcomes = [Outcome.UNKNOWN] * len(messages)
        self._ids |= ids
        link.outstanding += 1
        try:
            if not await _is_ready(link.connection):
                return [Outcome.NOT_SENT] * len(messages)
            with talking():
                async with asyncio.timeout(self._confirm_seconds or CONFIRM_SECONDS):
                    await send(link.channel, messages, outcomes)
        except BrokerError as error:
            if isinstance(error, AccessRefused):  # for this exchange; the refusal closes the channel
                self._supervisor.report_down(error)
                link.is_refused = True
            self._withdraw(link)
        except asyncio.CancelledError:
            self._withdraw(link)
            raise
        finally:
            self._ids -= ids
            link.outstanding -= 1
            link.is_refused = link.is_refused or not REFUSED.isdisjoint(outcomes)
            if link.is_refused:
                self._withdraw(link, at_once=False)
        return outcomes

    async def _session(self, connection: AbstractConnection) -> NoReturn:
        loop = asyncio.get_running_loop()
        self._connection = connection
        try:
            while True:
                # Declare each time: a channel also closes when the exchange was deleted.
                await self._declare(connection)
                channel = await open_channel(connection, confirms=True)
                self._supervisor.report_up()
                link, opened_at = _Link(connection, channel, loop.create_future()), loop.time()
                await self._offer(link)
                if link.is_refused:
                    await asyncio.sleep(REPLACE_SECONDS - (loop.time() - opened_at))
        finally:
            self._connection = None

    async def _offer(self, link: _Link) -> None:
        """Offer the channel to publishers until it closes or one of them got no answer on it.

        After an unanswered publish the channel's later confirms cannot be trusted to be matched, so it is replaced.
        """
        closing = link.channel.closing
        self._link = link
        self._opened.set()
        try:
            await asyncio.wait({link.over, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._withdraw(link)
            closing.cancel()
        # A broker that is blocking answers nothing. To hang up on it would send everything once more on the next
        # connection, which learns that it is blocked only after its first publish.
        await link.connection.ready()
        async with asyncio.timeout(RPC_SECONDS):
            await link.channel.close()

    def _withdraw(self, link: _Link, *, at_once: bool = True) -> None:
        """Stop offering this channel; unless `at_once`, it is over only when nothing is in flight on it any more."""
        if self._link is link:  # a newer channel may be offered already
            self._link = None
            self._opened.clear()
        if (at_once or not link.outstanding) and not link.over.done():
            link.over.set_result(None)


async def _is_ready(connection: AbstractConnection) -> bool:
    try:
        async with asyncio.timeout(BLOCKED_SECONDS):
            await connection.ready()
    except TimeoutError:
        return False
    return True
