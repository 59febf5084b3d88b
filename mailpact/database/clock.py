"""The database's clock, in whole microseconds since 1970 (UTC): hosts share rows, and a host's clock may be wrong."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

SECOND = 1_000_000  # microseconds, the unit of stored times


def moment(microseconds: int) -> datetime:
    """Return a stored time, in UTC."""
    return datetime.fromtimestamp(microseconds / SECOND, UTC)


class now(FunctionElement[int]):  # noqa: N801  # reads as the SQL function that it is
    """The SQL expression for the time at which the statement runs, in microseconds since 1970 (UTC)."""

    type = BigInteger()
    inherit_cache = True


@compiles(now, "sqlite")
def _sqlite(element: now, compiler: Any, **options: Any) -> str:  # SQLAlchemy hands over any of its compilers
    return (
        "(CAST(strftime('%s', 'now') AS INTEGER) * 1000000"
        " + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000)"
    )


@compiles(now, "mysql")
def _mysql(element: now, compiler: Any, **options: Any) -> str:  # SQLAlchemy hands over any of its compilers
    # Not UNIX_TIMESTAMP, which ends in 2038 on many servers.
    return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
