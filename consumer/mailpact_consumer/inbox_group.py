"""Builds the statements of one group of the inbox's most frequent writes, and sends them to the database together.

On MySQL and MariaDB the statements are one packet with one wait for the answer. A wait costs more than the network: the
thread that has waited gets the interpreter back from the event loop's thread after up to 5 ms. SQLite has no network,
and takes one statement at a time.

The statements are text, because SQLAlchemy needs more CPU time to build such statements than all other work on a group
takes. The caller sorts the rows by their keys (see `inbox.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple

from pymysql.constants import CLIENT
from sqlalchemy import Connection, select
from sqlalchemy.dialects import mysql

from mailpact.database import clock
from mailpact.database.transactions import translated

NEW_CLAIM: Final = (
    "message_id, recipient_sha256, body_sha256, publisher_id, template_digest, token, uncertain, due"
)
SENT: Final = (
    "message_id, recipient_sha256, body_sha256, publisher_id, template_digest, token,"
    " attempts, smtp_code, last_reply, due"
)

Values = Sequence[object]

_MYSQL_NOW: Final = str(clock.now().compile(dialect=mysql.dialect()))


class Found(NamedTuple):
    """A row of a message that was claimed in this group."""

    message_id: str
    token: str
    body_sha256: str
    first_seen: int
    attempts: int
    uncertain: int
    unanswered: int
    tried_since: int
    events: int


@dataclass(frozen=True, slots=True)
class _Words:
    """The SQL that differs between databases: an INSERT that skips existing rows, several rows, and a lock."""

    on_duplicate: str
    refused: str
    rows: str
    lock: str
    concatenated: str


_SQLITE: Final = _Words(
    on_duplicate="ON CONFLICT (message_id, recipient_sha256) DO UPDATE SET",
    refused="excluded.{}",
    rows="VALUES ",
    lock="",
    concatenated="{} || {}",
)
_MYSQL: Final = _Words(
    on_duplicate="ON DUPLICATE KEY UPDATE",
    refused="VALUES({})",
    rows="",
    lock=" FOR UPDATE",
    concatenated="CONCAT({}, {})",
)


class Group:
    """The statements of one group, in the order in which they are added.

    `now` is the time by the database's clock in microseconds since 1970; None takes the time of the group's start.
    """

    def __init__(self, connection: Connection, owner: str, now: int | None = None) -> None:
        self._connection = connection
        self._words = _SQLITE if connection.dialect.name == "sqlite" else _MYSQL
        self._owner = owner
        self._statements: list[tuple[str, Values]] = []
        if now is not None:
            self._now = str(now)
        elif _joins_statements(connection):
            self._now = "@mailpact_now"
            self._add(f"SET {self._now} = {_MYSQL_NOW}")
        else:
            self._now = str(connection.execute(select(clock.now())).scalar_one())

    def record_sent(self, rows: Sequence[Values]) -> None:
        """Set rows to `sent`, whatever their state; each of `rows` has the values of SENT, and `due` is not None."""
        refused, now = self._words.refused.format, self._now
        due = self._words.concatenated.format("COALESCE(inbox.due, '')", refused("due"))
        replaced = ("state", "owner", "smtp_code", "last_reply", "ended_at")
        self._insert(
            f"{SENT}, owner, state, first_seen, tried_since, ended_at, due_since, uncertain, events",
            rows,
            f"'sent', {now}, {now}, {now}, {now}, 0, 1",
            f"due_since = COALESCE(inbox.due_since, {refused('due_since')}), due = {due},"
            " events = inbox.events + 1, next_try_at = NULL, "
            + ", ".join([f"{name} = {refused(name)}" for name in replaced]),
        )

    def claim_new(self, rows: Sequence[Values], *, has_event: bool) -> None:
        """Write `sending` rows, and leave a row of the same key as it is; each of `rows` has NEW_CLAIM's values.

        `has_event` says that `due` of each of these rows is a status event.
        """
        now = self._now
        self._insert(
            f"{NEW_CLAIM}, owner, state, attempts, first_seen, tried_since, due_since, events",
            rows,
            f"'sending', 1, {now}, {now}, {f'{now}, 1' if has_event else 'NULL, 0'}",
            "message_id = inbox.message_id",  # not INSERT IGNORE, which would also shorten values that are too long
        )

    def clear(self, published: Sequence[Values]) -> None:
        """Remove confirmed status events; each of `published` has both values of the key, `events` and `due_since`."""
        if not published:
            return
        ids = [row[0] for row in published]
        self._add(
            f"UPDATE inbox SET due = NULL, due_since = NULL WHERE message_id IN ({_marks(len(ids))})"  # noqa: S608  # every value is a parameter
            " AND (message_id, recipient_sha256, events, due_since) IN"
            f" ({self._words.rows}{_rows(published, '')})",
            [*ids, *chain.from_iterable(published)],
        )

    def execute(self, message_ids: Sequence[str], tokens: Sequence[str]) -> tuple[int, bool]:
        """Execute the statements; return the group's time, and whether the messages have only rows with these tokens.

        The rows of the messages stay locked. Raises DBAPIError, like SQLAlchemy.
        """
        if not message_ids:
            self._add(f"SELECT {self._now}, 0, 0")
        else:
            self._add(
                f"SELECT {self._now}, COUNT(*), COUNT(CASE WHEN token IN ({_marks(len(tokens))}) THEN 1 END)"  # noqa: S608  # as above
                f" FROM inbox WHERE message_id IN ({_marks(len(message_ids))}){self._words.lock}",
                [*tokens, *message_ids],
            )
        ((now, rows, ours),) = _execute(self._connection, self._statements)
        return int(now), rows == ours == len(tokens)

    def rows(self, message_ids: Sequence[str]) -> Sequence[Found]:
        """Return the rows of the messages, after `execute`."""
        query = (
            f"SELECT {', '.join(Found._fields)} FROM inbox"  # noqa: S608  # as above
            f" WHERE message_id IN ({_marks(len(message_ids))}){self._words.lock}"
        )
        return [Found(*row) for row in _execute(self._connection, [(query, message_ids)])]

    def _insert(self, names: str, rows: Sequence[Values], constants: str, changes: str) -> None:
        if rows:
            owned = [(*row, self._owner) for row in rows]
            self._add(
                f"INSERT INTO inbox ({names}) VALUES {_rows(owned, constants)}"  # noqa: S608  # as above
                f" {self._words.on_duplicate} {changes}",
                [*chain.from_iterable(owned)],
            )

    def _add(self, text: str, values: Values = ()) -> None:
        self._statements.append((text, values))


def _rows(rows: Sequence[Values], constants: str) -> str:
    """Return rows of question marks, each followed by the same constants."""
    row = f"({_marks(len(rows[0]))}{constants and ', '}{constants})"
    return ", ".join([row] * len(rows))


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _execute(connection: Connection, statements: Sequence[tuple[str, Values]]) -> Sequence[Any]:
    """Execute the statements in order, together if possible, and return the rows of the last one."""
    driver: Any = connection.connection  # the interface of the driver that SQLAlchemy uses
    cursor = driver.cursor()
    try:
        if _joins_statements(connection):
            cursor.execute(";".join([_with_literals(text, values) for text, values in statements]))
            while cursor.nextset():
                pass
        else:
            for text, values in statements:
                cursor.execute(text, tuple(values))
        return list(cursor.fetchall())
    except connection.dialect.loaded_dbapi.Error as error:
        raise translated(error, connection, cursor) from error
    finally:
        cursor.close()


def _with_literals(text: str, values: Values) -> str:
    return text.replace("?", "%s") % tuple(map(literal, values))


def literal(value: object) -> str:
    """Return a text, an integer or None as a literal of MySQL. Raises TypeError for any other value.

    PyMySQL takes ten times as long: it looks for the type's encoder, and escapes each quotation mark of a status event.
    In a string between apostrophes, only the apostrophe and the backslash need a backslash before them, under the
    `sql_mode` that our sessions set and in UTF-8.
    """
    if isinstance(value, str):
        if "'" in value or "\\" in value:
            value = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{value}'"
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(int(value))
    raise TypeError(f"a value of type {type(value).__name__} has no literal here")


def _joins_statements(connection: Connection) -> bool:
    """Return whether the server takes several statements, separated by semicolons, in one packet on this connection."""
    driver = connection.connection.dbapi_connection
    return bool(getattr(driver, "client_flag", 0) & CLIENT.MULTI_STATEMENTS)
