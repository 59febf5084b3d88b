"""Mails that wait together are stored in one commit, in the order of arrival; an error fails only its own mail."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailpact_capture import store as stores
from mailpact_capture.envelope import Envelope
from mailpact_capture.errors import StoreFileError
from mailpact_capture.feed import Feed
from mailpact_capture.search import EVERYTHING
from mailpact_capture.store import READ_AT_ONCE_BYTES, Store
from mailpact_capture.tables import PAGE_BYTES, WAL_PAGES
from mailpact_capture.writes import Arrival, Limit

LIMIT = Limit(1000, 1_000_000_000)


def arrival(number: int, size: int = 100) -> Arrival:
    raw = b"Subject: %d\r\nMessage-ID: <%d@x>\r\n\r\n" % (number, number) + b"x" * size
    return Arrival(
        f"{number:022}", Envelope("a@x.org", ("b+ns-one@x.org",), "me", "127.0.0.1:1", number), raw
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with stores.opened(
        tmp_path / "mails.db", feed=Feed("x"), limit=LIMIT, tell=lambda _: None
    ) as opened:
        yield opened


def commits(path: Path) -> int:
    """Return how many commits the WAL holds; the last frame of each commit is marked."""
    frames = Path(f"{path}-wal").read_bytes()[32:]
    heads = [frames[at : at + 24] for at in range(0, len(frames), 24 + PAGE_BYTES)]
    salt = frames[8:16]  # frames of an earlier use of the file have another salt
    return sum(head[4:8] != bytes(4) for head in heads if head[8:16] == salt)


async def test_mails_that_wait_together_are_one_commit_and_keep_their_order(
    store: Store, tmp_path: Path
) -> None:
    await store.keep(arrival(0))
    before = commits(tmp_path / "mails.db")

    sizes = [
        READ_AT_ONCE_BYTES * (number % 2) for number in range(40)
    ]  # these sizes are parsed in this thread and in another in turns
    await asyncio.gather(*(store.keep(arrival(number, size)) for number, size in enumerate(sizes, 1)))

    page = await store.page(EVERYTHING, start=0, limit=100, namespace="one")
    assert [each.subject for each in page.summaries] == [str(number) for number in range(40, -1, -1)]
    assert commits(tmp_path / "mails.db") - before <= 2, "the first may have been alone"


async def test_what_is_asked_between_two_mails_is_done_between_them(store: Store) -> None:
    await asyncio.gather(store.keep(arrival(1)), store.delete(EVERYTHING), store.keep(arrival(2)))

    page = await store.page(EVERYTHING, start=0, limit=10)
    assert [each.subject for each in page.summaries] == ["2"]


async def test_an_error_nobody_expects_is_told_to_who_asked_and_nothing_else_suffers(store: Store) -> None:
    twice = [store.keep(arrival(1)), store.mark(EVERYTHING, read=None), store.keep(arrival(2))]  # type: ignore[arg-type] # on purpose
    outcomes = await asyncio.gather(*twice, return_exceptions=True)

    assert [type(each) for each in outcomes] == [type(None), TypeError, type(None)]
    assert (await store.page(EVERYTHING, start=0, limit=10)).total == 2


async def test_who_stopped_waiting_disturbs_nobody(store: Store) -> None:
    gone = asyncio.ensure_future(store.keep(arrival(1)))
    await asyncio.sleep(0)
    gone.cancel()
    await store.keep(arrival(2))

    assert (await store.page(EVERYTHING, start=0, limit=10)).total == 2


async def test_a_commit_is_on_the_disk_and_does_not_lengthen_the_file(store: Store, tmp_path: Path) -> None:
    wal = tmp_path / "mails.db-wal"
    synchronous = await store._writer.run(lambda writing: writing.execute("PRAGMA synchronous").fetchone()[0])
    length = wal.stat().st_size
    for number in range(30):
        await store.keep(arrival(number))

    assert synchronous == 2, "FULL"
    assert wal.stat().st_size == length >= WAL_PAGES * PAGE_BYTES


async def test_a_file_for_one_run_is_not_forced_to_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "mails.db"
    async with stores.opened(
        path, feed=Feed("x"), limit=LIMIT, tell=lambda _: None, is_durable=False
    ) as store:
        await store.keep(arrival(1))
        synchronous = await store._writer.run(
            lambda writing: writing.execute("PRAGMA synchronous").fetchone()[0]
        )

    assert synchronous == 0, "OFF"


async def test_mails_that_are_being_stored_at_the_end_are_stored(tmp_path: Path) -> None:
    path = tmp_path / "mails.db"
    async with stores.opened(path, feed=Feed("x"), limit=LIMIT, tell=lambda _: None) as store:
        keeping = asyncio.gather(*(store.keep(arrival(number)) for number in range(20)))
        await asyncio.sleep(0)
    await keeping

    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM mail").fetchone() == (20,)


async def test_a_cursor_is_never_given_to_a_later_mail(tmp_path: Path) -> None:
    path = tmp_path / "mails.db"
    async with stores.opened(path, feed=Feed("x"), limit=LIMIT, tell=lambda _: None) as store:
        for number in range(3):
            await store.keep(arrival(number))
        await store.delete(EVERYTHING)
    async with stores.opened(path, feed=Feed("y"), limit=LIMIT, tell=lambda _: None) as store:
        before = (await store.page(EVERYTHING, start=0, limit=1)).cursor
        await store.keep(arrival(4))
        found, after = await store.arrived(EVERYTHING, after=before, limit=10, namespace=None)

    assert (before, found, after) == (3, [arrival(4).public_id], 4)


async def test_a_file_that_is_no_store_is_an_error_and_no_thread_stays(tmp_path: Path) -> None:
    path = tmp_path / "mails.db"
    path.write_bytes(b"not a store" * 100)

    with pytest.raises(StoreFileError, match="not a mail store"):
        async with stores.opened(path, feed=Feed("x"), limit=LIMIT, tell=lambda _: None):
            pass
