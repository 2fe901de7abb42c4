"""Statements of the request path: compiled once for each database, and given to its driver as they are.

SQLAlchemy takes some 60 microseconds to execute a statement that SQLite answers in 5. What runs a thousand times a
second goes past that; everything else uses the connection as usual, and both see the same transaction.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Executable
from sqlalchemy.exc import DBAPIError

from entrepot.database.dialect import Upsert

Row = tuple[Any, ...]


class Statement:
    """A statement whose parameters are always the same ones. Rows come as the driver makes them.

    The methods raise what SQLAlchemy raises.
    """

    def __init__(self, statement: Executable | Upsert) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, tuple[str, ...] | None, dict[str, Any]]] = {}

    def one(self, connection: Connection, **values: object) -> Row | None:
        """The only row, None when there is none."""
        row: Row | None = self._execute(connection, values).fetchone()
        return row

    def all(self, connection: Connection, **values: object) -> list[Row]:
        rows: list[Row] = self._execute(connection, values).fetchall()
        return rows

    def run(self, connection: Connection, **values: object) -> int:
        """How many rows it concerned."""
        count: int = self._execute(connection, values).rowcount
        return count

    def _execute(self, connection: Connection, values: dict[str, object]) -> Any:
        name = connection.dialect.name
        if name not in self._compiled:
            self._compiled[name] = self._compile(connection, values)
        text, order, constants = self._compiled[name]
        if constants:
            values = {**constants, **values}
        parameters: object = values if order is None else [values[key] for key in order]
        driver_connection: Any = connection.connection.driver_connection
        cursor = driver_connection.cursor()
        try:
            return cursor.execute(text, parameters)
        except driver_errors(connection) as error:
            raise DBAPIError.instance(
                text, None, error, driver_errors(connection), dialect=connection.dialect
            ) from error

    def _compile(
        self, connection: Connection, values: Mapping[str, object]
    ) -> tuple[str, tuple[str, ...] | None, dict[str, Any]]:
        """Text, order of the parameters where they have one, and the values that are part of the statement."""
        statement: Any = self._statement
        if isinstance(statement, Upsert):
            statement = statement.for_dialect(connection.dialect.name)
        compiled = statement.compile(dialect=connection.dialect, column_keys=list(values))
        constants = {key: value for key, value in compiled.params.items() if key not in values and value is not None}
        order = tuple(compiled.positiontup) if compiled.positional else None
        return str(compiled), order, constants


def driver_errors(connection: Connection) -> type[Exception]:
    errors: type[Exception] = connection.dialect.loaded_dbapi.Error
    return errors
