"""Runs statements that are compiled once.

At each execution SQLAlchemy looks the statement up, sorts its values and prepares the types of its result. For the
short statements of a registration this takes more CPU time than the database needs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, CursorResult, bindparam
from sqlalchemy.sql import ClauseElement

from mailpact.database.transactions import translated


def bound(*columns: str) -> dict[str, BindParameter[Any]]:
    """Return the values of an INSERT that a `Prepared` statement gets under the names of their columns."""
    return {column: bindparam(column) for column in columns}


class Prepared:
    """A statement whose values are passed to the driver unchanged.

    `statement` may differ for each dialect. The names of its bound values are those of `rows` and `write`, which raise
    the errors of `Connection.execute`, and KeyError for a missing value.
    """

    def __init__(self, statement: ClauseElement | Mapping[str, ClauseElement]) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, dict[str, Any], Sequence[str] | None]] = {}

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute a query."""
        return connection.exec_driver_sql(*self._bound(connection, values))

    def write(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Execute a statement that returns no rows; return the id of the row that it has inserted, if there is one.

        SQLAlchemy's preparations for a result would take more CPU time than the rest.
        """
        text, bound_values = self._bound(connection, values)
        cursor = connection.connection.cursor()
        try:
            cursor.execute(text, bound_values)
            return cursor.lastrowid or 0
        except connection.dialect.loaded_dbapi.Error as error:
            raise translated(error, connection, cursor) from error
        finally:
            cursor.close()

    def _bound(self, connection: Connection, values: Mapping[str, Any]) -> tuple[str, Any]:
        dialect = connection.dialect.name
        if dialect not in self._compiled:
            self._compiled[dialect] = self._compile(connection)
        text, constants, order = self._compiled[dialect]
        all_values = {**constants, **values}
        return text, all_values if order is None else tuple([all_values[name] for name in order])

    def _compile(self, connection: Connection) -> tuple[str, dict[str, Any], Sequence[str] | None]:
        statement = self._statement
        if isinstance(statement, Mapping):
            statement = statement[connection.dialect.name]
        compiled = statement.compile(dialect=connection.dialect)
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        return str(compiled), constants, getattr(compiled, "positiontup", None)
