"""The few places where SQLite and PostgreSQL differ, one function each."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    Integer,
    String,
    Table,
    cast,
    column,
    func,
    literal,
    select,
)


class Upsert:
    """An INSERT with ON CONFLICT, built for a database when it is first needed there.

    Loading SQLAlchemy's part for PostgreSQL takes 0.08 s, which a registry on SQLite starts without.
    """

    def __init__(self, table: Table, complete: Callable[[Any], Executable]) -> None:
        self._table = table
        self._complete = complete
        self._built: dict[str, Executable] = {}

    def for_dialect(self, name: str) -> Executable:
        if name not in self._built:
            insert = import_module(f"sqlalchemy.dialects.{name}").insert
            self._built[name] = self._complete(insert(self._table))
        return self._built[name]


def insert_or_ignore(table: Table, *keys: str, returning: Sequence[Any] = ()) -> Upsert:
    """Insert a row; do nothing, and answer no row, when one with these keys is there."""

    def complete(insert: Any) -> Executable:
        statement = insert.on_conflict_do_nothing(index_elements=list(keys))
        return statement.returning(*returning) if returning else statement  # type: ignore[no-any-return]

    return Upsert(table, complete)


def insert_or_update(table: Table, *keys: str, update: Sequence[str]) -> Upsert:
    """Insert a row, or set these columns of the one with the same keys."""

    def complete(insert: Any) -> Executable:
        values = {name: insert.excluded[name] for name in update}
        return insert.on_conflict_do_update(index_elements=list(keys), set_=values)  # type: ignore[no-any-return]

    return Upsert(table, complete)


def elements(json_array: str, dialect_name: str) -> ColumnElement[str]:
    """The texts of a JSON array, as a column of a table of their own: one parameter for any number of them."""
    if dialect_name == "postgresql":
        from sqlalchemy.dialects.postgresql import JSONB

        # The text as it is: given as JSONB, it would be written as JSON once more.
        array = cast(literal(json_array, String), JSONB)
        return func.jsonb_array_elements_text(array).table_valued("value").c.value.cast(String)
    return func.json_each(json_array).table_valued("value").c.value.cast(String)


def rows(json_array: str, count: int, dialect_name: str) -> list[ColumnElement[str]]:
    """As `elements`, for a JSON array of arrays of so many texts."""
    if dialect_name == "postgresql":
        from sqlalchemy.dialects.postgresql import JSONB

        array = cast(literal(json_array, String), JSONB)
        row = func.jsonb_array_elements(array, type_=JSONB).table_valued(column("value", JSONB)).c.value
        return [row[index].astext for index in range(count)]
    row = func.json_each(json_array).table_valued("value").c.value
    return [func.json_extract(row, f"$[{index}]").cast(String) for index in range(count)]


def numbers(json_array: ColumnElement[str], dialect_name: str) -> ColumnElement[int]:
    """As `elements`, for numbers."""
    if dialect_name == "postgresql":
        from sqlalchemy.dialects.postgresql import JSONB

        texts = func.jsonb_array_elements_text(cast(json_array, JSONB)).table_valued("value")
        return cast(texts.c.value, BigInteger)
    return cast(func.json_each(json_array).table_valued("value").c.value, Integer)


def json_rows(columns: Sequence[ColumnElement[Any]], dialect_name: str) -> ColumnElement[str]:
    """All rows as one text, a JSON array of arrays; NULL or an empty one for none.

    For thousands of rows: a driver takes longer to make one than the database to find it.
    """
    if dialect_name == "postgresql":
        return cast(func.json_agg(func.json_build_array(*columns)), String)
    return func.json_group_array(func.json_array(*columns))


def take_turns(connection: Connection, number: int) -> None:
    """Of transactions that call this with one number, each waits for the end of the one before.

    SQLite has one that writes at a time.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(number)))


def execute(connection: Connection, upsert: Upsert, values: Mapping[str, object]) -> Any:
    return connection.execute(upsert.for_dialect(connection.dialect.name), values)
