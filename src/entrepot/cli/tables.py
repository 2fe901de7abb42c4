"""Prints rows: a table for people, JSON for scripts."""

from collections.abc import Iterable, Sequence

import orjson
import typer


def show(columns: Sequence[str], rows: Iterable[Sequence[object]], *, json: bool) -> None:
    if json:
        typer.echo(orjson.dumps([dict(zip(columns, row, strict=True)) for row in rows], option=orjson.OPT_INDENT_2))
        return
    # Imported here because it takes 80 ms, and JSON does without.
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    Console().print(table)
