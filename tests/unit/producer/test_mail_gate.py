"""Requests that a process refuses from its own memory, without reading the limits in the database."""

from pathlib import Path

import pytest

from mailpact.database.engine import open_database
from mailpact.settings import DatabaseUrl
from mailpact_producer.errors import NetworkFull
from mailpact_producer.limits import MailLimits
from mailpact_producer.mail_gate import FULL_SECONDS, MailGate
from mailpact_producer.store import schema

HOME, OTHER = "192.0.2.0/24", "198.51.100.0/24"


class Clock:
    """A clock that stands still."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_network_over_its_limit_is_refused_for_a_minute_without_another_look(tmp_path: Path) -> None:
    now = Clock()
    async with open_database(DatabaseUrl(f"sqlite:///{tmp_path / 'cms.db'}")) as database:
        await schema.prepare(database)
        gate = MailGate(database, MailLimits(mailbox=0, network=1), b"key", now=now)
        request = gate.request("ada@example.org", HOME)
        assert await gate.transact(request, lambda _: "done") == "done"
        with pytest.raises(NetworkFull):
            await gate.transact(request, lambda _: "done")

        with pytest.raises(NetworkFull), gate.working_on(request):
            raise AssertionError("the work was begun")
        with gate.working_on(gate.request("ada@example.org", OTHER)):
            pass
        now.seconds += FULL_SECONDS
        with gate.working_on(request):
            pass

        assert (gate.granted, gate.withheld) == (1, 2)


async def test_network_has_no_more_in_work_than_it_may_request_in_an_hour(tmp_path: Path) -> None:
    async with open_database(DatabaseUrl(f"sqlite:///{tmp_path / 'cms.db'}")) as database:
        gate = MailGate(database, MailLimits(mailbox=0, network=2), b"key", now=Clock())
        request = gate.request("ada@example.org", HOME)

        with gate.working_on(request):
            with gate.working_on(request), pytest.raises(NetworkFull), gate.working_on(request):
                raise AssertionError("the work was begun")
            with gate.working_on(request):
                pass


async def test_full_mailbox_counts_for_the_network_and_does_nothing(tmp_path: Path) -> None:
    async with open_database(DatabaseUrl(f"sqlite:///{tmp_path / 'cms.db'}")) as database:
        await schema.prepare(database)
        gate = MailGate(database, MailLimits(mailbox=1, network=3), b"key", now=Clock())
        request = gate.request("ada@example.org", HOME)

        done = [await gate.transact(request, lambda _: "done") for _ in range(3)]

        assert done == ["done", None, None]
        with pytest.raises(NetworkFull):
            await gate.transact(request, lambda _: "done")


async def test_failed_work_counts_nothing(tmp_path: Path) -> None:
    async with open_database(DatabaseUrl(f"sqlite:///{tmp_path / 'cms.db'}")) as database:
        await schema.prepare(database)
        gate = MailGate(database, MailLimits(mailbox=1, network=1), b"key", now=Clock())
        request = gate.request("ada@example.org", HOME)

        with pytest.raises(ZeroDivisionError):
            await gate.transact(request, lambda _: 1 // 0)

        assert await gate.transact(request, lambda _: "done") == "done"
