"""A lone mail is committed by the event loop, but never while that could disturb anybody else."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailpact_capture import writer as writers
from mailpact_capture.envelope import Envelope
from mailpact_capture.errors import StoreUnavailable
from mailpact_capture.writer import Group, Outcome, Writer, settle
from mailpact_capture.writes import Arrival, insert, transaction

ENVELOPE = Envelope("a@x.org", ("b@x.org",), "me", "127.0.0.1:1", 0)


class Watched:
    """A writer that records which thread committed each mail."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.is_changed = False
        self.writer = Writer(self._commit, self._settle, lambda _: self.is_changed)
        self._number = 0

    def _commit(self, connection: sqlite3.Connection, arrivals: list[Arrival]) -> None:
        with transaction(connection):
            insert(connection, arrivals)
        self.threads += [threading.current_thread().name] * len(arrivals)

    def _settle(self, group: Group, outcome: Outcome) -> None:
        for _, stored in group:
            settle(stored, outcome)

    async def keep(self, *, is_alone: bool = True) -> str:
        """Store a mail, and return the name of the thread that committed the mail."""
        self._number += 1
        await self.writer.keep(Arrival(f"{self._number:022}", ENVELOPE, b"\r\n"), is_alone=is_alone)
        return "loop" if self.threads[-1] == threading.main_thread().name else self.threads[-1]


@pytest.fixture
async def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(writers, "QUICK_SECONDS", 5.0)  # a loaded machine is quick, too
    opened = Watched()
    await opened.writer.open(tmp_path / "mails.db", is_durable=True)
    yield opened
    await opened.writer.close()


async def test_a_lone_mail_after_a_quick_commit_is_committed_by_the_loop(watched: Watched) -> None:
    assert [await watched.keep() for _ in range(3)] == ["capture-writes", "loop", "loop"]
    assert await watched.keep(is_alone=False) == "capture-writes"


async def test_after_a_slow_commit_the_loop_commits_nothing_until_one_was_quick(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched.keep()
    monkeypatch.setattr(writers, "QUICK_SECONDS", 0.0)
    assert await watched.keep() == "loop"

    assert [await watched.keep() for _ in range(2)] == ["capture-writes", "capture-writes"]
    monkeypatch.setattr(writers, "QUICK_SECONDS", 5.0)
    assert [await watched.keep() for _ in range(2)] == ["capture-writes", "loop"]


async def test_the_loop_commits_nothing_while_the_thread_works_also_for_who_stopped_waiting(
    watched: Watched,
) -> None:
    await watched.keep()
    begun, go_on = threading.Event(), threading.Event()

    def work(connection: sqlite3.Connection) -> None:
        with transaction(connection):
            begun.set()
            go_on.wait(60)

    working = asyncio.ensure_future(watched.writer.run(work))
    await asyncio.to_thread(begun.wait, 60)
    working.cancel()
    await asyncio.wait([working])
    keeping = asyncio.ensure_future(watched.keep())
    await asyncio.sleep(0)
    go_on.set()

    assert await keeping == "capture-writes"
    assert await watched.keep() == "loop"


async def test_the_loop_goes_on_while_another_process_holds_the_lock(
    watched: Watched, tmp_path: Path
) -> None:
    await watched.keep()
    with contextlib.closing(sqlite3.connect(tmp_path / "mails.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        keeping = asyncio.ensure_future(watched.keep())
        await asyncio.sleep(0)
        assert not keeping.done()
        other.execute("ROLLBACK")

        assert await keeping == "capture-writes"
    assert await watched.keep() == "loop"


async def test_an_error_of_the_store_is_told_by_the_loop_too(watched: Watched) -> None:
    await watched.keep()
    await watched.writer.run(lambda connection: connection.execute("ALTER TABLE mail RENAME TO gone"))

    with pytest.raises(StoreUnavailable, match="no such table"):
        await watched.keep()


async def test_after_a_write_of_another_process_the_thread_commits(watched: Watched) -> None:
    await watched.keep()
    watched.is_changed = True

    assert await watched.keep() == "capture-writes"
    watched.is_changed = False
    assert await watched.keep() == "loop"


async def test_other_clients_are_served_between_the_mails_of_one_that_never_pauses(watched: Watched) -> None:
    await watched.keep()
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(count)

    count()
    for _ in range(10):
        assert await watched.keep() == "loop"

    assert turns > 10
