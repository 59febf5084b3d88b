"""How MySQL and MariaDB are talked to: through PyMySQL, under READ COMMITTED, each wait with a limit.

READ COMMITTED is what makes several processes share tables. Under MySQL's own default, REPEATABLE READ, a relay that
looks for due rows locks the gap behind the last of them, and the site's INSERT waits for it (measured on MariaDB 10.11
and 11.8); and on MariaDB 11.8 a change to a row that was read earlier in the transaction fails (error 1020).
"""

from typing import Any, Final

from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

CONNECTIONS: Final = 5
CONNECT_SECONDS: Final = 3
ANSWER_SECONDS: Final = 5
LOCK_SECONDS: Final = 2  # shorter than the answer's, so that the server says what it was
RECYCLE_SECONDS: Final = 1800  # a firewall between forgets idle connections
MIGRATION_SECONDS: Final = 3600  # to rewrite a large table may take long

TABLE: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
"""Options of every table. A server's own collation would take `straße` and `strasse` for one key, and any two emoji."""

_LOCK_WAIT_TIMEOUT, _DEADLOCK, _RECORD_CHANGED = (1205,), (1213,), (1020,)
_NO_SUCH_TABLE: Final = (1146,)
_IN_THE_WAY: Final = {_LOCK_WAIT_TIMEOUT, _DEADLOCK, _RECORD_CHANGED}

_SESSION: Final = (
    f"SET time_zone='+00:00', sql_mode='STRICT_ALL_TABLES', innodb_lock_wait_timeout={LOCK_SECONDS}"
)


def mysql_engine(url: str) -> Engine:
    """Make the engine for a room's short transactions; nothing is connected yet."""
    return create_engine(
        url,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_pre_ping=True,
        pool_recycle=RECYCLE_SECONDS,
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # an error's text gets into logs, and addresses must not
        connect_args=_connect_arguments(ANSWER_SECONDS),
    )


def mysql_migration_engine(url: str) -> Engine:
    """Make the engine for migrations: its connections are not kept, and a statement may take an hour."""
    return create_engine(
        url,
        poolclass=NullPool,
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # an error's text gets into logs, and addresses must not
        connect_args=_connect_arguments(MIGRATION_SECONDS),
    )


def was_in_the_way(error: DBAPIError) -> bool:
    """Whether the server broke the transaction off only because another was in its way: it may simply run again."""
    return error.orig is not None and error.orig.args[:1] in _IN_THE_WAY


def misses_a_table(error: DBAPIError) -> bool:
    """Whether a table is not there: while a dump is read back, say. PyMySQL calls that a mistake in the program."""
    return error.orig is not None and error.orig.args[:1] == _NO_SUCH_TABLE


def _connect_arguments(answer_seconds: int) -> dict[str, object]:
    return {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": answer_seconds,
        "write_timeout": ANSWER_SECONDS,
        "charset": "utf8mb4",
        "init_command": _SESSION,
    }
