"""Statements of the request path: compiled once for each database, and given to its driver as they are.

SQLAlchemy takes some 60 microseconds to execute a statement that SQLite answers in 5. What runs a thousand times a
second goes past that; everything else uses the connection as usual, and both see the same transaction.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Executable
from sqlalchemy.exc import DBAPIError

from entrepot.database.dialect import Upsert

Row = tuple[Any, ...]
_Compiled = tuple[str, tuple[str, ...] | None, dict[str, Any]]
"""Text, order of the parameters where they have one, and the values that are part of the statement."""


class Statement:
    """A statement whose parameters are always the same ones. Rows come as the driver makes them.

    The methods raise what SQLAlchemy raises.
    """

    def __init__(self, statement: Executable | Upsert) -> None:
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

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

    def run_each(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Execute it for each of these values."""
        if rows:
            text, order, constants = self._for(connection, rows[0])
            self._call(connection, "executemany", text, [_parameters(order, constants, values) for values in rows])

    def _execute(self, connection: Connection, values: Mapping[str, object]) -> Any:
        text, order, constants = self._for(connection, values)
        return self._call(connection, "execute", text, _parameters(order, constants, values))

    def _call(self, connection: Connection, method: str, text: str, parameters: object) -> Any:
        driver_connection: Any = connection.connection.driver_connection
        try:
            return getattr(driver_connection.cursor(), method)(text, parameters)
        except driver_errors(connection) as error:
            raise DBAPIError.instance(
                text, None, error, driver_errors(connection), dialect=connection.dialect
            ) from error

    def _for(self, connection: Connection, values: Mapping[str, object]) -> _Compiled:
        name = connection.dialect.name
        if name not in self._compiled:
            self._compiled[name] = self._compile(connection, values)
        return self._compiled[name]

    def _compile(self, connection: Connection, values: Mapping[str, object]) -> _Compiled:
        statement: Any = self._statement
        if isinstance(statement, Upsert):
            statement = statement.for_dialect(connection.dialect.name)
        compiled = statement.compile(dialect=connection.dialect, column_keys=list(values))
        constants = {key: value for key, value in compiled.params.items() if key not in values and value is not None}
        order = tuple(compiled.positiontup) if compiled.positional else None
        return str(compiled), order, constants


def _parameters(order: tuple[str, ...] | None, constants: dict[str, Any], values: Mapping[str, object]) -> object:
    if constants:
        values = {**constants, **values}
    return values if order is None else [values[key] for key in order]


def driver_errors(connection: Connection) -> type[Exception]:
    errors: type[Exception] = connection.dialect.loaded_dbapi.Error
    return errors
