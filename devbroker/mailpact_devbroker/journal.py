"""The journal: an SQLite file with all data that must survive the process.

Changes are written in groups. While the journal's own thread commits one group, the changes that arrive form the next
group (an fsync takes 0.2-5 ms, and the event loop must not wait). The confirms of a group are sent after its commit
and in order. So a confirm means that the message and all earlier declarations are on the disk. WAL with
`synchronous=FULL` survives a power cut. `locking_mode=EXCLUSIVE` prevents a second broker from using the file.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, assert_never

from mailpact_devbroker import frames, topology
from mailpact_devbroker.broker import Broker
from mailpact_devbroker.changes import Change, Declared, Erased, Saved, Undeclared
from mailpact_devbroker.errors import AmqpError, JournalError
from mailpact_devbroker.messages import Death, Message, Publication

APPLICATION_ID = 0x4D504442  # "MPDB"
SCHEMA_VERSION = 1

_SCHEMA = f"""
BEGIN;
CREATE TABLE declarations (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, method BLOB NOT NULL);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY, queue TEXT NOT NULL, exchange TEXT NOT NULL, routing_key TEXT NOT NULL,
    header BLOB NOT NULL, body BLOB NOT NULL, persistent INT NOT NULL, deaths TEXT NOT NULL,
    deliveries INT NOT NULL, due_at REAL, held_for TEXT
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""
_MAGIC = b"SQLite format 3\x00"


class Journal:
    """An open journal. `run` must run until `finish`; then call `close`."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            JournalError: the file is damaged, not a journal, of another version, or in use; the file is not changed.
        """
        self._path = path
        self._changes: list[Change] = []
        self._waiting: list[Callable[[], None]] = []
        self._arrived = asyncio.Event()
        self._finished = False
        try:
            _inspect(path)
            self._database = _open(path)
        except (sqlite3.OperationalError, OSError) as error:
            hint = "its folder must exist and no other broker may use it"
            raise JournalError(f"journal {path} cannot be opened ({error}); {hint}") from error
        except sqlite3.DatabaseError as error:
            raise _damaged(path, str(error)) from error
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devbroker-journal")

    def load(self, broker: Broker) -> int:
        """Restore the state of the last run into an empty broker; return the number of messages."""
        try:
            for (method,) in self._database.execute("SELECT method FROM declarations ORDER BY id"):
                topology.replay(broker.topology, frames.decode_method(method))
            for declared in broker.topology.queues.values():
                broker.use(declared)  # the expiry time of an unused queue starts again
            broker.take_changes()
            count = 0
            for row in self._database.execute("SELECT * FROM messages ORDER BY id"):
                broker.restore(*_message(row))
                count += 1
        except (sqlite3.DatabaseError, AmqpError, ValueError, KeyError, TypeError) as error:
            raise _damaged(self._path, str(error)) from error
        return count

    def submit(self, arrived: list[Change], waiting: list[Callable[[], None]]) -> None:
        """Add changes to the next group, and a function that is called when they are on the disk."""
        if arrived or waiting:
            self._changes += arrived
            self._waiting += waiting
            self._arrived.set()

    async def run(self) -> None:
        """Commit group after group until `finish`.

        Raises:
            JournalError: the disk is full or failing; no message of this group is confirmed.
        """
        while not (self._finished and not self._changes and not self._waiting):
            await self._arrived.wait()
            self._arrived.clear()
            group, self._changes = self._changes, []
            waiting, self._waiting = self._waiting, []
            if group:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._thread, self._commit, group)
            for release in waiting:
                release()

    def finish(self) -> None:
        """Let `run` end as soon as all submitted changes are on the disk."""
        self._finished = True
        self._arrived.set()

    def close(self) -> None:
        """Close the file, after a running commit has ended."""
        self._thread.shutdown(wait=True)
        self._database.close()

    def _commit(self, group: list[Change]) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for change in group:
                self._database.execute(*_statement(change))
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(f"journal {self._path} cannot be written: {error}") from error


def _inspect(path: Path) -> None:
    """Check an existing file without changing it."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise _damaged(path, "it is not a database")
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as database:
        marks = ("application_id", "user_version", "quick_check(1)")
        application, schema, verdict = (database.execute(f"PRAGMA {mark}").fetchone()[0] for mark in marks)
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is a database, but not the development broker's; name another file")
    if schema != SCHEMA_VERSION:
        raise _damaged(path, f"it has schema {schema}, and this version knows {SCHEMA_VERSION}")
    if verdict != "ok":
        raise _damaged(path, verdict)


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        if not database.execute("PRAGMA user_version").fetchone()[0]:
            database.executescript(_SCHEMA)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _damaged(path: Path, detail: str) -> JournalError:
    return JournalError(f"journal {path} cannot be read ({detail}); move it away or name another file")


def _message(row: tuple[Any, ...]) -> tuple[str, Message]:
    number, queue, exchange, key, header, body, persistent, deaths, deliveries, due_at, held_for = row
    history = tuple(Death(**death) for death in json.loads(deaths))
    publication = Publication(exchange, key, header, body, None, bool(persistent), history)
    return queue, Message(number, publication, due_at, held_for, deliveries)


def _statement(change: Change) -> tuple[str, tuple[object, ...]]:
    match change:
        case Saved(queue, message):
            return "REPLACE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _row(queue, message)
        case Erased(number):
            return "DELETE FROM messages WHERE id = ?", (number,)
        case Declared(key, method):
            return "INSERT INTO declarations (key, method) VALUES (?, ?)", (key, method)
        case Undeclared(key):
            return "DELETE FROM declarations WHERE key = ?", (key,)
        case _:
            assert_never(change)


def _row(queue: str, message: Message) -> tuple[object, ...]:
    sent = message.publication
    deaths = json.dumps([asdict(death) for death in sent.deaths]) if sent.deaths else "[]"
    content = (sent.exchange, sent.routing_key, sent.header, sent.body, sent.persistent, deaths)
    return (message.id, queue, *content, message.deliveries, message.due_at, message.held_for)
