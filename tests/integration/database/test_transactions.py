import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pymysql
import pytest
from sqlalchemy import Connection, event, select, text
from sqlalchemy.exc import IntegrityError

from mailpact.database import clock, mysql, transactions
from mailpact.database.mysql import CONNECTIONS
from mailpact.database.transactions import CommitUnknown, Database, DatabaseRefused, DatabaseUnavailable
from tests.timing import at_most

Work = Callable[[Connection], Any]
Writing = Callable[[str], Work]


def bump(*keys: str, before_each: Callable[[int], object] = lambda _: None) -> Work:
    """Return the work that changes notes in the order given, and so locks them one after the other."""

    def work(connection: Connection) -> None:
        for number, key in enumerate(keys):
            before_each(number)
            connection.execute(text("UPDATE notes SET number = number + 1 WHERE text = :key"), {"key": key})

    return work


def numbers(connection: Connection) -> dict[str, int]:
    return {row.text: row.number for row in connection.execute(text("SELECT text, number FROM notes"))}


def hold(key: str, held: threading.Event, let_go: threading.Event) -> Work:
    """Return the work that keeps a note locked until `let_go` is set."""

    def work(connection: Connection) -> None:
        bump(key)(connection)
        held.set()
        assert let_go.wait(20)

    return work


class Account:
    """A user of the server with rights of its own, named after the test's database."""

    def __init__(self, database_url: str) -> None:
        self._server = urlsplit(database_url)
        self._database = self._server.path.removeprefix("/")
        self._name = f"u_{self._database}"[-30:]

    def url(self, *, password: str = "right", database: str = "") -> str:
        place = f"{self._server.hostname}:{self._server.port}/{database or self._database}"
        return f"mysql+pymysql://{self._name}:{quote(password)}@{place}"

    def run(self, statement: str) -> None:
        """Run a statement about the user as the server's administrator."""
        with pymysql.connect(
            host=self._server.hostname or "",
            port=self._server.port or 3306,
            user=unquote(self._server.username or ""),
            password=unquote(self._server.password or ""),
        ) as connection:
            connection.query(statement.format(user=f"'{self._name}'@'%'", database=self._database))


def state_of(process: int) -> str:
    """Return Linux's letter for the state of a process; T is frozen, shortly after the signal."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


async def test_each_session_is_strict_in_utc_and_reads_what_is_committed(database: Database) -> None:
    def settings(connection: Connection) -> tuple[object, ...]:
        query = "SELECT @@time_zone, @@sql_mode, @@character_set_connection, @@autocommit"
        return (*connection.execute(text(query)).one(), connection.get_isolation_level())

    expected = ("+00:00", "STRICT_ALL_TABLES", "utf8mb4", 0, "READ COMMITTED")
    assert await database.transact(settings) == expected


async def test_work_is_committed_or_leaves_nothing(
    opened: Any, mariadb_url: str, database: Database, write: Writing, notes: Work
) -> None:
    def fails(connection: Connection) -> None:
        write("b")(connection)
        raise LookupError("as the work raised it")

    await database.transact(write("a"))
    with pytest.raises(LookupError, match="as the work raised it"):
        await database.transact(fails)
    with pytest.raises(IntegrityError):
        await database.transact(write("a"))

    async with opened(mariadb_url) as elsewhere:
        assert await elsewhere.transact(notes) == ["a"]


async def test_an_update_that_changes_nothing_counts_the_rows_it_found(
    database: Database, write: Writing
) -> None:
    await database.transact(write("a"))
    same = text("UPDATE notes SET number = number WHERE text = 'a'")

    assert await database.transact(lambda connection: connection.execute(same).rowcount) == 1


async def test_now_is_in_microseconds_of_real_time(database: Database) -> None:
    before = time.time()
    now = await database.transact(lambda connection: connection.execute(select(clock.now())).scalar_one())

    assert isinstance(now, int)
    assert before - 1 < now / clock.SECOND < time.time() + 1


async def test_letters_that_look_alike_are_different_keys(
    database: Database, write: Writing, notes: Work
) -> None:
    keys = ["straße@example.org", "strasse@example.org", "Strasse@example.org", "🙂", "🙃", "é", "e"]
    for key in keys:
        await database.transact(write(key))

    assert await database.transact(notes) == sorted(keys)


async def test_of_two_that_lock_the_same_rows_crosswise_one_is_run_again(
    database: Database, write: Writing
) -> None:
    for key in ("a", "b"):
        await database.transact(write(key))
    each_holds_one = threading.Barrier(2)
    runs: list[str] = []

    def meet(name: str) -> Callable[[int], None]:
        def before_each(number: int) -> None:
            if number == 0:
                runs.append(name)
            elif runs.count(name) == 1:
                each_holds_one.wait(10)

        return before_each

    await asyncio.gather(
        database.transact(bump("a", "b", before_each=meet("ab"))),
        database.transact(bump("b", "a", before_each=meet("ba"))),
    )

    assert await database.transact(numbers) == {"a": 2, "b": 2}
    assert sorted(runs) in (["ab", "ab", "ba"], ["ab", "ba", "ba"])


async def test_rows_locked_in_the_order_of_their_keys_need_no_second_run(
    database: Database, write: Writing
) -> None:
    keys = [f"{number:02}" for number in range(20)]
    for key in keys:
        await database.transact(write(key))
    runs: list[int] = []

    work = bump(*keys, before_each=lambda number: runs.append(number) if number == 0 else None)
    await asyncio.gather(*(database.transact(work) for _ in range(20)))

    assert set((await database.transact(numbers)).values()) == {20}
    assert len(runs) == 20


async def test_who_waits_too_long_for_a_lock_is_run_again_when_it_is_free(
    database: Database, write: Writing, notes: Work
) -> None:
    await database.transact(write("a"))
    held, let_go = threading.Event(), threading.Event()
    holder = asyncio.create_task(database.transact(hold("a", held, let_go)))
    await asyncio.to_thread(held.wait, 10)
    runs: list[int] = []

    def impatient(connection: Connection) -> None:
        connection.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
        if runs:
            let_go.set()
        runs.append(1)
        write("b")(connection)  # the server itself undoes only the statement that waited
        bump("a")(connection)

    await database.transact(impatient)
    await holder

    assert len(runs) == 2
    assert await database.transact(notes) == ["a", "b"]


async def test_who_finds_others_in_the_way_each_time_is_told_and_nothing_is_kept(
    database: Database, write: Writing, notes: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "PAUSES_SECONDS", (0.0, 0.0, 0.0))
    await database.transact(write("a"))
    held, let_go = threading.Event(), threading.Event()
    holder = asyncio.create_task(database.transact(hold("a", held, let_go)))
    await asyncio.to_thread(held.wait, 10)
    runs: list[int] = []

    def impatient(connection: Connection) -> None:
        runs.append(1)
        connection.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))  # MySQL's shortest wait
        write("b")(connection)
        bump("a")(connection)

    with pytest.raises(DatabaseUnavailable, match="cannot be used: 1205, Lock wait timeout") as caught:
        await database.transact(impatient)
    let_go.set()
    await holder

    assert (len(runs), type(caught.value)) == (4, DatabaseUnavailable)
    assert await database.transact(notes) == ["a"]


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "READ COMMITTED"])
async def test_a_row_that_changed_since_it_was_read_is_no_trouble(
    isolation: Any, database: Database, write: Writing
) -> None:
    await database.transact(write("a"))
    strict = database._engine.execution_options(isolation_level=isolation)
    is_mariadb = getattr(database._engine.dialect, "is_mariadb", False)
    runs: list[int] = []

    @event.listens_for(strict, "begin")
    def on_begin(connection: Connection) -> None:
        if is_mariadb:  # this is the default of MariaDB 11.8
            connection.exec_driver_sql("SET SESSION innodb_snapshot_isolation = ON")

    def work(connection: Connection) -> None:
        runs.append(1)
        numbers(connection)
        if len(runs) == 1:
            with database._engine.begin() as other:
                bump("a")(other)
        bump("a")(connection)

    await Database(strict, database._threads, for_migrations=strict).transact(work)

    assert len(runs) == (
        2 if is_mariadb and isolation == "REPEATABLE READ" else 1
    )  # error 1020, and one more try
    assert await database.transact(numbers) == {"a": 2}


async def test_a_connection_killed_before_the_commit_leaves_nothing(
    database: Database, write: Writing, notes: Work
) -> None:
    def work(connection: Connection) -> None:
        write("a")(connection)
        with database._engine.connect() as other:
            mine = connection.execute(text("SELECT CONNECTION_ID()")).scalar()
            other.execute(text(f"KILL {mine}"))
        write("b")(connection)

    with pytest.raises(DatabaseUnavailable) as caught:
        await database.transact(work)

    assert type(caught.value) is DatabaseUnavailable
    assert await database.transact(notes) == []


async def test_connections_killed_while_idle_are_not_noticed(
    kill_connections: Callable[[], int], database: Database, write: Writing, notes: Work
) -> None:
    await asyncio.gather(*(database.transact(notes) for _ in range(mysql.CONNECTIONS)))

    assert kill_connections() > 0
    await asyncio.gather(*(database.transact(write(key)) for key in "abcde"))

    assert await database.transact(notes) == list("abcde")


@pytest.mark.parametrize(("arrives", "kept"), [(True, ["a"]), (False, [])])
async def test_a_commit_without_an_answer_is_unknown(
    arrives: bool, kept: list[str], wire: Any, opened: Any, database: Database, write: Writing, notes: Work
) -> None:
    async with opened(wire.here) as remote:
        await remote.transact(notes)
        event.listen(remote._engine, "commit", lambda _: wire.cut(arrives=arrives), once=True)
        with pytest.raises(
            CommitUnknown, match="did not confirm a transaction, which it may have kept: 2013"
        ):
            await remote.transact(write("a"))

        assert await remote.transact(notes) == kept
    assert await database.transact(notes) == kept


async def test_a_connection_lost_before_the_commit_is_not_unknown(
    wire: Any, opened: Any, database: Database, write: Writing, notes: Work
) -> None:
    async with opened(wire.here) as remote:
        await remote.transact(notes)
        with pytest.raises(DatabaseUnavailable) as caught:
            await remote.transact(lambda connection: (wire.cut(arrives=True), write("a")(connection)))

    assert type(caught.value) is DatabaseUnavailable
    assert await database.transact(notes) == []


async def test_a_server_that_is_stopped_is_unavailable_at_once_and_found_again(
    mariadb_server: Any, database: Database, write: Writing, notes: Work
) -> None:
    await database.transact(write("a"))
    mariadb_server.stop()
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match=r"\*\*\*.*cannot be used: 2003, Can't connect"):
        await database.transact(write("b"))
    seconds = time.monotonic() - began
    mariadb_server.start()
    await database.transact(write("c"))

    assert seconds < at_most(2)
    assert await database.transact(notes) == ["a", "c"]


async def test_a_frozen_server_is_waited_for_so_long_and_no_longer(
    mariadb_server: Any,
    mariadb_url: str,
    opened: Any,
    notes: Work,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mysql, "ANSWER_SECONDS", 1)
    async with opened(mariadb_url) as impatient:
        await impatient.transact(notes)
        mariadb_server.freeze()
        while state_of(mariadb_server.pid) != "T":
            await asyncio.sleep(0.01)
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match=r"2013|2003"):
            await impatient.transact(notes)
        seconds = time.monotonic() - began
        mariadb_server.thaw()

        assert await impatient.transact(notes) == []
    assert seconds < 5


async def test_a_wrong_password_is_not_told_on(opened: Any, mariadb_url: str, notes: Work) -> None:
    user, _, place = mariadb_url.partition("://")[2].partition(":")
    async with opened(f"mysql+pymysql://{user}:s%40crQt@{place.rpartition('@')[2]}") as database:
        with pytest.raises(
            DatabaseUnavailable, match=r":\*\*\*@.* refuses access: 1045, Access denied"
        ) as caught:
            await database.transact(notes)

    assert "crQt" not in str(caught.value)


async def test_closing_waits_for_what_runs_and_leaves_no_thread_and_no_connection(
    mariadb_url: str, opened: Any, kill_connections: Callable[[], int], write: Writing, database: Database
) -> None:
    await database.close()
    async with opened(mariadb_url) as closing:
        running = [asyncio.create_task(closing.transact(write(key))) for key in "abc"]
        await asyncio.sleep(0)
    await asyncio.gather(*running)

    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("database")] == []
    assert kill_connections() == 0


@pytest.fixture
def account(mariadb_url: str) -> Iterator[Account]:
    """Yield a user of the server who has all rights on the test's database."""
    account = Account(mariadb_url)
    account.run("CREATE USER {user} IDENTIFIED BY 'right'")
    account.run("GRANT SELECT, INSERT ON `{database}`.* TO {user}")
    yield account
    account.run("DROP USER {user}")


@pytest.mark.parametrize(
    ("login", "database", "said"),
    [
        ("wrong", "", "1045, Access denied for user"),
        ("right", "no_such_database", "104[49], .*no_such_database"),
    ],
    ids=["wrong password", "unknown database"],
)
async def test_what_the_server_refuses_is_told_from_a_server_that_is_away(
    login: str, database: str, said: str, opened: Any, account: Account
) -> None:
    async with opened(account.url(password=login, database=database)) as refused:
        with pytest.raises(DatabaseRefused, match=f"refuses access: {said}") as caught:
            await refused.transact(lambda connection: connection.execute(text("SELECT 1")))

    assert login not in str(caught.value)


async def test_an_unknown_database_is_refused_to_a_user_who_may_do_everything(
    opened: Any, mariadb_url: str
) -> None:
    async with opened(f"{mariadb_url}_missing") as refused:
        with pytest.raises(DatabaseRefused, match=r"refuses access: 1049, Unknown database"):
            await refused.transact(lambda connection: connection.execute(text("SELECT 1")))


async def test_rights_that_were_taken_and_given_back_are_seen_by_every_connection(
    opened: Any, account: Account, database: Database, write: Writing, kill_connections: Callable[[], int]
) -> None:
    meeting = threading.Barrier(CONNECTIONS)

    def all_at_once(connection: Connection) -> None:
        meeting.wait(20)
        write("early")(connection)

    async with opened(account.url()) as pooled:
        account.run("REVOKE INSERT ON `{database}`.* FROM {user}")
        kill_connections()
        early = (pooled.transact(all_at_once) for _ in range(CONNECTIONS))
        refused = await asyncio.gather(*early, return_exceptions=True)
        account.run("GRANT INSERT ON `{database}`.* TO {user}")
        for number in range(20):
            await pooled.transact(write(f"late {number}"))

    assert [type(error) for error in refused] == [DatabaseRefused] * CONNECTIONS
    assert "1142, INSERT command denied" in str(refused[0])
