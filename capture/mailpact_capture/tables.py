"""The store's SQLite file: its tables, and the check that an existing file is a store of Mailpact.

A row's id is its position in the order of arrival and is never reused, so the id serves as a cursor. The table
`highest` holds the highest id that was given before the latest deletion. The raw bytes are in a separate table: a
search reads every row of `mail`, and must not read megabytes of raw mail.

A commit writes each changed page to the disk, so a new mail changes few pages. That is why there is no AUTOINCREMENT,
whose table would change with every mail, and why mails that are read have an index: unread mails are counted by it.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from mailpact_capture.errors import StoreFileError

APPLICATION_ID: Final = 0x4D504354  # "MPCT"
SCHEMA_VERSION: Final = 3
BUSY_SECONDS: Final = 5
WAL_PAGES: Final = 2000
PAGE_BYTES: Final = 4096  # SQLite's default
_CACHE_PAGES: Final = 512  # SQLite's default is 2,000 KiB

_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = (
    100  # https://sqlite.org/fileformat.html, 1.3: user_version at 60, application_id at 68
)

_CREATE: Final = f"""
PRAGMA auto_vacuum = INCREMENTAL;
BEGIN IMMEDIATE;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE mail (
    id               INTEGER PRIMARY KEY,
    public_id        TEXT NOT NULL UNIQUE,
    received_us      INTEGER NOT NULL,
    size             INTEGER NOT NULL,
    read             INTEGER NOT NULL DEFAULT 0,
    tags             TEXT NOT NULL,
    mail_from        TEXT NOT NULL,
    rcpt_tos         TEXT NOT NULL,
    helo             TEXT NOT NULL,
    peer             TEXT NOT NULL,
    username         TEXT NOT NULL,
    message_id       TEXT NOT NULL,
    subject          TEXT NOT NULL,
    addressees       TEXT NOT NULL,
    attachments      INTEGER NOT NULL,
    inlines          INTEGER NOT NULL,
    snippet          TEXT NOT NULL,
    defect           TEXT NOT NULL,
    found_tags       TEXT NOT NULL,
    found_from       TEXT NOT NULL,
    found_to         TEXT NOT NULL,
    found_cc         TEXT NOT NULL,
    found_bcc        TEXT NOT NULL,
    found_reply_to   TEXT NOT NULL,
    found_rcpt       TEXT NOT NULL,
    found_message_id TEXT NOT NULL,
    found_subject    TEXT NOT NULL,
    found_text       TEXT NOT NULL
);
CREATE TABLE raw (
    id    INTEGER PRIMARY KEY REFERENCES mail (id) ON DELETE CASCADE,
    bytes BLOB NOT NULL
);
CREATE TABLE highest (id INTEGER NOT NULL);
CREATE TABLE room (bytes BLOB NOT NULL);
CREATE TABLE namespace (
    name TEXT NOT NULL,
    id   INTEGER NOT NULL REFERENCES mail (id) ON DELETE CASCADE,
    PRIMARY KEY (name, id)
) WITHOUT ROWID;
CREATE INDEX namespace_mail ON namespace (id);
CREATE INDEX mail_read ON mail (id) WHERE read = 1;
CREATE INDEX mail_tagged ON mail (tags) WHERE tags <> '[]';
COMMIT;
"""


def connect(path: Path, *, is_durable: bool = True) -> sqlite3.Connection:
    """Open or create the store in `path`. The connection belongs to the calling thread, which must close it.

    If `is_durable`, a commit returns only when the data is on the disk. Raises StoreFileError if the file is not a
    store, is damaged or has another format; then the file is not changed.
    """
    try:
        is_new = not path.exists() or path.stat().st_size == 0
        if is_new:
            path.touch(mode=0o600)
        else:
            with path.open("rb") as file:
                _check_header(path, file.read(_HEADER_BYTES))
        path.chmod(0o600)  # only this user may read captured mail; SQLite gives its other files the same mode
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
    except (OSError, sqlite3.Error) as error:
        raise StoreFileError(f"the mail store {path} cannot be opened: {error}") from error
    connection.row_factory = sqlite3.Row
    try:
        if is_new:
            connection.executescript(_CREATE)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'OFF'}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("SELECT id, found_text FROM mail ORDER BY id DESC LIMIT 1").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise StoreFileError(f"the mail store {path} cannot be used: {error}") from error
    return connection


def lengthen_wal(connection: sqlite3.Connection) -> None:
    """Make the WAL file as long as it can become before SQLite reuses it from the beginning.

    An fsync of a growing file also writes the file's new length and blocks, and takes about twice as long. The
    transaction is larger than SQLite's cache, so its pages are written to the WAL. Then the transaction is rolled
    back, and the next transactions overwrite these pages. A small commit then forces the long file to the disk. The
    store is not ready before, so that the first mail does not wait for that.
    """
    with contextlib.suppress(sqlite3.Error):  # a disk that is full now may have space for mail later
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(
                "INSERT INTO room VALUES (zeroblob(?))", ((WAL_PAGES + _CACHE_PAGES) * PAGE_BYTES,)
            )
        finally:
            connection.execute("ROLLBACK")
        connection.executescript("BEGIN IMMEDIATE; INSERT INTO room VALUES (''); DELETE FROM room; COMMIT")


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open an already open store for reading only. Several threads may use the connection, one at a time."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA query_only = ON")
    return connection


def _check_header(path: Path, header: bytes) -> None:
    """Check the file's header without SQLite.

    When SQLite opens a foreign database, it could write files next to the database.
    """
    application_id = int.from_bytes(header[68:72], "big")
    version = int.from_bytes(header[60:64], "big")
    if not header.startswith(_SQLITE_MAGIC) or application_id != APPLICATION_ID:
        raise StoreFileError(
            f"{path} is not a mail store; it was left as it is. Choose another file for --store"
        )
    if version < SCHEMA_VERSION:
        raise StoreFileError(
            f"the mail store {path} has format {version}, which an earlier version wrote; this version knows "
            f"{SCHEMA_VERSION} only. The file was left as it is. Choose another file for --store"
        )
    if version > SCHEMA_VERSION:
        raise StoreFileError(
            f"the mail store {path} was written by a newer release (format {version}, this one knows "
            f"{SCHEMA_VERSION}); it was left as it is. Update Mailpact or choose another file for --store"
        )
