"""Outages of an hour on a virtual clock that broker, consumer, inbox and mail server share."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailpact.settings import DatabaseUrl
from mailpact_consumer.schedule import Schedule
from mailpact_devbroker.service import running as devbroker_running
from tests.integration.consumer import virtual_time
from tests.integration.consumer.conftest import MailServer, Stage
from tests.integration.consumer.virtual_time import VirtualClock

pytestmark = pytest.mark.timeout(300)  # virtual hours are thousands of real transactions

RATE, CONNECTIONS = 20, 20
SCHEDULE = Schedule.parse("10s 1m 5m 15m 30m")
MINUTE, HOUR = 60.0, 3600.0


class HarshServer(MailServer):
    """A mail server that refuses all mail, or greylists, until a given time; it records when each mail came."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self.clock = clock
        self.greylists_until = 0.0
        self.greylisted: frozenset[str] | None = None
        """Who is greylisted; None for everybody."""
        self.taken: dict[str, float] = {}
        self.tries: dict[str, list[float]] = {}

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Reply to RCPT."""
        self.tries.setdefault(address, []).append(self.clock.passed)
        is_grey = self.greylisted is None or address in self.greylisted
        if is_grey and self.clock.passed < self.greylists_until:
            return "451 4.7.1 greylisted"
        return await super().handle_RCPT(server, session, envelope, address, options)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # as above
        """Take a mail."""
        self.taken[envelope.rcpt_tos[0]] = self.clock.passed
        return await super().handle_DATA(server, session, envelope)

    async def go_away(self, how: str) -> asyncio.Server | None:
        """Accept connections and refuse all mail, until the returned server is closed."""
        with socket.create_server(("127.0.0.1", self.port)) as free:
            self.port = free.getsockname()[1]
        if how == "refused":
            return None

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            if how == "421":
                writer.write(b"421 4.3.2 shutting down\r\n")
            if how == "silent":
                await reader.read()  # until the client closes the connection
            writer.close()

        return await asyncio.start_server(answer, "127.0.0.1", self.port)


@asynccontextmanager
async def stage_in(folder: Path, server: HarshServer) -> AsyncIterator[Stage]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0)
    async with devbroker_running(listener, journal=None) as broker:
        yield Stage(broker.url, DatabaseUrl(f"sqlite:///{folder / 'inbox.db'}"), server)


async def publish(stage: Stage, first: int, count: int) -> None:
    numbers = range(first, first + count)
    await asyncio.gather(*(stage.order(f"r{n}@example.org", message_id=str(UUID(int=n))) for n in numbers))


async def until_taken(server: HarshServer, count: int, clock: VirtualClock, *, within: float) -> None:
    began = clock.passed
    while len(server.taken) < count:
        assert clock.passed - began < within
        await asyncio.sleep(0.5)


def in_any_second(moments: list[float]) -> int:
    """Return the largest number of the times that lie within one second."""
    return max(sum(begin <= moment < begin + 1 for moment in moments) for begin in moments)


LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        ("refused", 3 * MINUTE),
        *(pytest.param(how, HOUR, marks=LONG) for how in ("refused", "421", "hanging up", "silent")),
    ],
)
def test_hour_without_the_mail_server_burns_no_attempt_makes_no_letter_and_ends_at_the_rate_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, how: str, seconds: float
) -> None:
    async def story(clock: VirtualClock) -> None:
        server = HarshServer(clock)
        away = await server.go_away(how)
        async with stage_in(tmp_path, server) as stage:
            consumer = stage.consumer(smtp_rate=RATE, smtp_connections=CONNECTIONS, retry_schedule=SCHEDULE)
            async with consumer:
                await publish(stage, 0, 50)
                await asyncio.sleep(seconds / 2)
                await publish(stage, 50, 50)
                await asyncio.sleep(seconds / 2)
                asked = server.connections
                if away is not None:
                    away.close()
                async with server.running():
                    await until_taken(server, 100, clock, within=MINUTE)
                    await publish(stage, 100, 1)
                    await until_taken(server, 101, clock, within=5)
            assert await stage.rows("state, attempts, uncertain, unanswered") == [("sent", 1, 0, 0)] * 101
            assert await stage.waiting("email.dead") == 0
        moments = sorted(server.taken.values())
        assert in_any_second(moments) <= RATE + CONNECTIONS  # each connection may have waited for an answer
        assert moments[99] - moments[0] >= 0.8 * 100 / RATE
        assert asked <= 50 + seconds / 30 + 10  # the first tries, and then a probe every 30 s

    clock = virtual_time.run(story, monkeypatch)

    assert clock.passed >= seconds
    assert capsys.readouterr().out.count("consuming pauses") == 1


@pytest.mark.parametrize("minutes", [5, pytest.param(50, marks=LONG)])
def test_greylisting_server_gets_each_mail_by_the_schedule_and_holds_up_no_good_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    async def story(clock: VirtualClock) -> None:
        server = HarshServer(clock)
        server.greylists_until = clock.passed + minutes * MINUTE
        async with server.running(), stage_in(tmp_path, server) as stage:
            async with stage.consumer(retry_schedule=SCHEDULE):
                await publish(stage, 0, 40)
                await asyncio.sleep(MINUTE / 2)
                server.greylisted = frozenset(server.tries)
                await publish(stage, 40, 40)
                await until_taken(server, 40, clock, within=5)
                await until_taken(server, 80, clock, within=minutes * MINUTE + HOUR)
            assert await stage.waiting("email.dead") == 0
            assert {state for (state,) in await stage.rows("state")} == {"sent"}
        schedule = [10, 60, 300, 900, 1800]
        for address in server.greylisted:
            waits = [later - earlier for earlier, later in pairwise(server.tries[address])]
            assert len(waits) == next(n for n in range(6) if sum(schedule[:n]) >= minutes * MINUTE)
            # A busy machine can delay an answer, and then the try is made 10 s later.
            assert all(0 <= wait - step < 40 for wait, step in zip(waits, schedule, strict=False))
            assert server.taken[address] >= server.greylists_until

    virtual_time.run(story, monkeypatch)
