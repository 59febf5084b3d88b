"""Connects to MySQL and MariaDB, by PyMySQL, with READ COMMITTED and a limit for each wait.

Several processes share the tables. With MySQL's default, REPEATABLE READ, a relay that looks for due rows locks the gap
behind the last row, and the site's INSERT waits for that lock (measured on MariaDB 10.11 and 11.8). On MariaDB 11.8 a
change to a row that was read earlier in the transaction would fail too (error 1020).
"""

import ssl
from typing import Any, Final

from pymysql.constants import CLIENT
from sqlalchemy import Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import DBAPIError

CONNECTIONS: Final = 5
CONNECT_SECONDS: Final = 3
ANSWER_SECONDS: Final = 5
LOCK_SECONDS: Final = 2  # shorter than ANSWER_SECONDS, so that the server says what was locked
RECYCLE_SECONDS: Final = 1800  # a firewall on the way may drop idle connections
MIGRATION_SECONDS: Final = 3600  # rewriting a large table may take long

# FOUND_ROWS is SQLAlchemy's own flag, which this value replaces: `rowcount` is the number of rows found.
_JOINING: Final = {"client_flag": CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS}

TABLE: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
"""Options of every table. A server's own collation may treat `straße` and `strasse`, or two emoji, as one key."""

_NO_SUCH_TABLE: Final = 1146
# The login or the database is wrong (1044, 1045, 1049, 1130, 1698), a right is missing (1142, 1143, 1227), the password
# has to be changed (1820, 1862), the account is locked (3118, and 4151 on MariaDB).
_REFUSALS: Final = (1044, 1045, 1049, 1130, 1142, 1143, 1227, 1698, 1820, 1862, 3118, 4151)
_IN_THE_WAY: Final = (1205, 1213, 1020)  # lock wait timeout, deadlock, record changed

_SESSION: Final = (
    f"SET time_zone='+00:00', sql_mode='STRICT_ALL_TABLES', innodb_lock_wait_timeout={LOCK_SECONDS}"
)


def mysql_engine(url: str, *, joins_statements: bool = False, for_migrations: bool = False) -> Engine:
    """Return an engine, not yet connected; `joins_statements` as for `open_database`.

    With `for_migrations` connections are not kept, and a statement may take an hour.
    """
    address = make_url(url)
    # Without options PyMySQL encrypts if the server can, and checks nothing.
    ca_file = address.normalized_query.get("ssl_ca", [None])[0]
    tls = {"ssl": ssl.create_default_context(cafile=ca_file)} if address.query else {}
    pool: dict[str, Any] = {"poolclass": NullPool}
    if not for_migrations:
        pool = {
            "pool_size": CONNECTIONS,
            "max_overflow": 0,
            "pool_pre_ping": True,
            "pool_recycle": RECYCLE_SECONDS,
        }
    return create_engine(
        address.set(query={}),
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # an error's text gets into logs, and addresses must not
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": MIGRATION_SECONDS if for_migrations else ANSWER_SECONDS,
            "write_timeout": ANSWER_SECONDS,
            "charset": "utf8mb4",
            "init_command": _SESSION,
            **tls,
            **(_JOINING if joins_statements else {}),
        },
        **pool,
    )


def was_in_the_way(error: DBAPIError) -> bool:
    """Return whether the server ended the transaction because of a lock or a deadlock, so that it may run again."""
    return _code(error) in _IN_THE_WAY


def is_refused(error: DBAPIError) -> bool:
    """Return whether the server refuses the user, the password, the database or a permission."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error.orig) or _code(error) in _REFUSALS


def misses_a_table(error: DBAPIError) -> bool:
    """Return whether a table does not exist, for instance while a dump is restored: no mistake in the statement."""
    return _code(error) == _NO_SUCH_TABLE


def _code(error: DBAPIError) -> object:
    return error.orig.args[0] if error.orig is not None and error.orig.args else None
