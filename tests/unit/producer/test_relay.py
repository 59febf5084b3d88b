"""The relay's rows that are claimed ahead, on a real SQLite file, with a broker that answers on demand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Connection, func, select
from structlog.testing import capture_logs

from mailpact.amqp.messages import Message, Outcome, Routed
from mailpact.contracts import catalogue
from mailpact.database.transactions import Database
from mailpact.telemetry import Journey
from mailpact_producer.events import CONTRACT, Writer, mail_body
from mailpact_producer.mailer import Mailer, NewMessage
from mailpact_producer.mails import MailTexts
from mailpact_producer.relay import BATCH, Relay
from mailpact_producer.relay_plan import State
from mailpact_producer.store import outbox
from mailpact_producer.store.outbox import Claimed
from mailpact_producer.store.schema import outbox as table

TEXTS = MailTexts("https://cms.example", "Our site")
MAIL = TEXTS.account_deleted("ada@example.org", "Ada")
WRITER = Writer(catalogue.load(), CONTRACT)
PATIENCE_SECONDS = 20


class Broker:
    """A publisher whose broker answers every publish with `outcome`, once `answers` is set."""

    is_open = True

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.outcome = Outcome.CONFIRMED
        self.published: list[str] = []
        self.waiting = self.most_waiting = 0

    async def wait_until_open(self) -> None:
        while not self.is_open:
            await asyncio.sleep(0.01)

    async def publish_together(self, messages: Sequence[Routed]) -> Sequence[Outcome]:
        self.published += [str(routed.message.message_id) for routed in messages]
        self.waiting += len(messages)
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            await self.answers.wait()
        finally:
            self.waiting -= len(messages)
        return [self.outcome] * len(messages)


@pytest.fixture
def broker() -> Broker:
    """Return a broker that answers nothing yet."""
    return Broker()


@pytest.fixture
def relay(database: Database, broker: Broker) -> Relay:
    """Return a relay that does not run yet."""
    tokens = (f"token-{number}" for number in range(10_000))
    return Relay(database, broker, {CONTRACT: WRITER}, Journey(), new_token=lambda: next(tokens))  # type: ignore[arg-type]


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def enqueue(connection: Connection, message_id: str, claim: str | None) -> Claimed | None:
    message = WRITER.message(mail_body(MAIL), message_id=message_id, made_at_seconds=0)
    assert isinstance(message, Message)
    return outbox.enqueue(connection, message, contract=CONTRACT, claim=claim)


async def store(database: Database, message_id: str, claim: str | None) -> Claimed | None:
    return await database.transact(lambda c: enqueue(c, message_id, claim))


async def states(database: Database) -> dict[str, int]:
    query = select(table.c.state, func.count()).group_by(table.c.state)
    return {row[0]: row[1] for row in await database.transact(lambda c: c.execute(query).all())}


async def until(what: str, fact: Callable[[], Any]) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await found if asyncio.iscoroutine(found := fact()) else found):
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited in vain until {what}") from None


async def test_many_requests_that_commit_at_once_give_the_broker_no_more_than_it_takes(
    database: Database, broker: Broker, relay: Relay
) -> None:
    """Each request asks for a claim before the first request commits."""
    claims = [relay.claim_ahead() for _ in range(300)]
    assert None not in claims
    stored = await database.transact(
        lambda c: [enqueue(c, f"id-{n}", claim) for n, claim in enumerate(claims)]
    )

    async with running(relay):
        for row in stored:
            relay.committed(row)
        assert relay.claim_ahead() is None
        await until("both kinds wait for the broker", lambda: broker.waiting == 2 * BATCH)
        broker.answers.set()

        async def all_are_published() -> bool:
            return await states(database) == {State.PUBLISHED: 300}

        await until("all are published", all_are_published)

    assert broker.most_waiting <= 2 * BATCH
    assert sorted(broker.published) == sorted(f"id-{number}" for number in range(300))


async def test_what_the_broker_did_not_get_is_put_back_and_the_next_is_not_claimed_ahead(
    database: Database, broker: Broker, relay: Relay
) -> None:
    broker.outcome = Outcome.NOT_SENT
    broker.answers.set()
    async with running(relay):
        relay.committed(await store(database, "id", relay.claim_ahead()))
        await until("it is tried", lambda: broker.published)
        await until("none is claimed ahead", lambda: relay.claim_ahead() is None)
        broker.outcome = Outcome.CONFIRMED

        async def it_is_published() -> bool:
            return await states(database) == {State.PUBLISHED: 1}

        await until("it is published", it_is_published)


async def test_relay_that_stops_publishes_and_settles_what_was_handed_to_it(
    database: Database, broker: Broker, relay: Relay
) -> None:
    broker.answers.set()
    async with running(relay):
        relay.committed(await store(database, "id", relay.claim_ahead()))

    assert (broker.published, await states(database)) == (["id"], {State.PUBLISHED: 1})


async def test_connection_and_each_message_that_the_broker_took_are_logged(
    database: Database, broker: Broker, relay: Relay
) -> None:
    broker.answers.set()
    with capture_logs() as logged:
        async with running(relay):
            await until("it is connected", lambda: logged)
            relay.committed(await store(database, "ahead", relay.claim_ahead()))
            await store(database, "found", None)
            relay.nudge()

            async def both_are_published() -> bool:
                return await states(database) == {State.PUBLISHED: 2}

            await until("both are published", both_are_published)

    assert logged[0]["event"] == "connected to the broker"
    assert {each["event"] for each in logged[1:]} == {"messages are relayed"}
    assert sorted(id_ for each in logged[1:] for id_ in each["message_ids"]) == ["ahead", "found"]


async def test_row_of_an_undone_run_is_never_handed_to_the_relay(database: Database) -> None:
    """A database that undoes a transaction runs its work again; meanwhile another process has stored the message."""
    handed: list[Claimed | None] = []
    mailer = Mailer(
        WRITER,
        TEXTS,
        Journey(),
        b"key",
        claim_ahead=lambda: "claim",
        hand_over=handed.append,
        now_seconds=lambda: 0,
    )
    message = mailer.new_message("form", "again", "ada@example.org")

    class Undone(Exception):
        pass

    def first_run(connection: Any) -> None:
        assert not mailer.holds(connection, message)
        mailer.enqueue(connection, MAIL, message)
        raise Undone

    with pytest.raises(Undone):
        await database.transact(first_run)
    twin = NewMessage(message.id, None, None)
    await database.transact(lambda connection: mailer.enqueue(connection, MAIL, twin))
    assert await database.transact(lambda connection: mailer.holds(connection, message))
    mailer.committed(message)

    assert handed == [None]
