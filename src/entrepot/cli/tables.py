"""Prints rows: a table for people, JSON for scripts."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice

import orjson
import typer

DRAWN_ROWS_MAX = 1000
"""Drawing a table takes half a millisecond for each row, and needs all of them."""
WIDTH_OF_FILES = 400
"""Characters of a table that is not for a terminal: each row is a line."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)", re.ASCII)


def show(columns: Sequence[str], rows: Iterable[Sequence[object]], *, json: bool) -> None:
    if json:
        show_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    cells = ([text_of(value) for value in row] for row in rows)
    first = list(islice(cells, DRAWN_ROWS_MAX + 1))
    if len(first) <= DRAWN_ROWS_MAX:
        _draw(columns, first)
    else:
        _write(columns, first, cells)


def _draw(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """As wide as the terminal; what is too long for a column goes on in the next line."""
    # Imported here because it takes 80 ms, and JSON does without.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for position, column in enumerate(columns):
        # What names a row can always be copied.
        table.add_column(column, overflow="fold", no_wrap=position == 0)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES).print(table)


def _write(columns: Sequence[str], first: Sequence[Sequence[str]], rest: Iterable[Sequence[str]]) -> None:
    """A line for each row as soon as it is there, the columns as wide as those of the first rows."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(columns, *first, strict=True)]

    def line(row: Iterable[str]) -> str:
        padded = (text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True))
        return f"  {'   '.join(padded).rstrip()}\n"

    sys.stdout.write(f"\n{line(columns)} {'─' * (sum(widths) + 3 * len(widths) - 1)} \n")
    for row in chain(first, rest):
        sys.stdout.write(line(text.replace("\n", "; ") for text in row))


def show_items(items: Iterable[Mapping[str, object]], columns: Sequence[str], *, json: bool) -> None:
    """What the API lists: all that it says as JSON, these members of it as a table. `a.b` is a member's member."""
    if json:
        show_json(list(items))
    else:
        titles = [column.replace("_", " ") for column in columns]
        members = [column.split(".") for column in columns]
        show(titles, ([_member(item, names) for names in members] for item in items), json=False)


def show_lines(texts: Iterable[str], *, json: bool) -> None:
    if json:
        show_json(list(texts))
    else:
        sys.stdout.writelines(f"{printable(text)}\n" for text in texts)


def show_one(item: Mapping[str, object], *, json: bool) -> None:
    """One resource: a row for each member."""
    if json:
        show_json(item)
    else:
        show(("", "value"), [(name.replace("_", " "), value) for name, value in item.items()], json=False)


def show_json(value: object) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


def say(text: str) -> None:
    """For the person, beside what the command prints for the next program."""
    typer.echo(text, err=True)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show on a terminal that something takes its time."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def _member(item: object, names: Sequence[str]) -> object:
    for name in names:
        item = item.get(name) if isinstance(item, dict) else None
    return item


def text_of(value: object) -> str:
    """For people. What could move the cursor, or be read as a command by the terminal, is not in it."""
    if isinstance(value, str):
        moment = _TIME.fullmatch(value)
        return f"{moment[1]} {moment[2]}Z" if moment is not None else printable(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        if set(value) == {"permissions", "kind", "path"}:
            return f"{text_of(value['permissions'])} on {place_text(value)}"
        if set(value) == {"kind", "path"}:
            return place_text(value)
        return ", ".join(f"{key}={text_of(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return (
            "\n".join(text_of(entry) for entry in value) if value and _nested(value) else ", ".join(map(text_of, value))
        )
    return printable(str(value))


def printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def _nested(values: Sequence[object]) -> bool:
    return isinstance(values[0], Mapping)


def place_text(place: Mapping[str, object]) -> str:
    """`namespace:team` for where something holds."""
    return f"{place['kind']}:{place['path']}" if place["path"] else str(place["kind"])
