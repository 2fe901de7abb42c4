"""All output of the `entrepot` command: tables for people, JSON and bytes for programs, errors, questions.

No other module of the command line writes or asks. Text from a server, a file or another user is shown
so that it can neither control the terminal, nor be invisible, nor begin a line of its own.
"""

import codecs
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import orjson
import typer
from typer.exceptions import TyperException

from entrepot.telemetry.terminal import visible, visible_json

DRAWN_ROWS_MAX = 1000
"""Drawing a table takes half a millisecond per row, and needs all rows first."""
WIDTH_OF_FILES = 400
"""The width of a table that does not go to a terminal: each row is one line."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)", re.ASCII)
_LINE_BEGINS = re.compile(r"\n(?!  |\n|$)")


# For the next program, on the standard output.


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
    """Draw a table as wide as the terminal; text too long for a column continues on the next line."""
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
    """Write each row as a line as soon as it arrives, with columns as wide as in the first rows."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(columns, *first, strict=True)]

    def padded(row: Iterable[str]) -> str:
        cells = (text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True))
        return f"  {'   '.join(cells).rstrip()}\n"

    sys.stdout.write(f"\n{padded(map(visible, columns))} {'─' * (sum(widths) + 3 * len(widths) - 1)} \n")
    for row in chain(first, rest):
        sys.stdout.write(padded(text.replace("\n", "; ") for text in row))


def show_items(items: Iterable[Mapping[str, object]], columns: Sequence[str], *, json: bool) -> None:
    """Show a list of the API: everything as JSON, or these members as a table. `a.b` is a nested member."""
    if json:
        show_json(list(items))
    else:
        titles = [column.replace("_", " ") for column in columns]
        members = [column.split(".") for column in columns]
        show(titles, ([_member(item, names) for names in members] for item in items), json=False)


def show_lines(texts: Iterable[str], *, json: bool) -> None:
    """Show each text on a line."""
    if json:
        show_json(list(texts))
    else:
        sys.stdout.writelines(f"{visible(text)}\n" for text in texts)


def show_one(item: Mapping[str, object], *, json: bool) -> None:
    """Show one resource, with a row for each member."""
    if json:
        show_json(item)
    else:
        show(("", "value"), [(name.replace("_", " "), value) for name, value in item.items()], json=False)


def show_json(value: object) -> None:
    typer.echo(visible_json(orjson.dumps(value, option=orjson.OPT_INDENT_2)))


def line(text: str) -> None:
    """Write exactly one line, whatever the text contains."""
    typer.echo(visible(text))


def page(text: str) -> None:
    """Write several lines; every line break in the text must be the program's own."""
    typer.echo(visible(text, "\n"))


def exact(text: str) -> None:
    """Write one line unchanged, such as a token. Only for a terminal, it is made safe to show."""
    if sys.stdout.isatty():
        line(text)
    else:
        typer.echo(text.encode())


@contextmanager
def data_to(path: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that writes bytes to a file or to standard output. Only for a terminal, they are made safe."""
    if path is None:
        with _takes(sys.stdout.buffer) as put:
            yield put
        return
    with path.open("wb") as file, _takes(file) as put:
        yield put


@contextmanager
def _takes(file: BinaryIO) -> Iterator[Callable[[bytes], object]]:
    if not file.isatty():
        yield file.write
    else:
        # A character may come in two pieces.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        yield lambda piece: file.write(visible(decoder.decode(piece), "\n").encode())
        file.write(visible(decoder.decode(b"", final=True), "\n").encode())
    file.flush()


def flush() -> None:
    """Flush the output. Raises OSError if it could not be written."""
    sys.stdout.flush()


# For the person, on the standard error.


def say(text: str) -> None:
    """Write one line to standard error, apart from the output for the next program."""
    typer.echo(visible(text), err=True)


def greet(lines: Iterable[str]) -> None:
    """Write what the user needs to get started."""
    typer.echo("\n".join(map(visible, lines)), err=True)


def fail(message: str, *, lines: bool = False) -> None:
    """Write an error. With `lines`, the message has several lines, and all but the first are indented."""
    say_lines(f"entrepot: {message}") if lines else say(f"entrepot: {message}")


def say_lines(text: str) -> None:
    """Write several lines, none of which can be mistaken for the start of another message."""
    typer.echo(_indented(text), err=True)


def crash(error: BaseException) -> None:
    """Write the traceback of a defect."""
    say_lines("".join(traceback.format_exception(error)).rstrip("\n"))


@contextmanager
def usage_shown() -> Iterator[None]:
    """Make the usage errors that typer prints safe to show, since they quote the command line."""
    try:
        yield
    except TyperException as error:
        if hasattr(error, "format_message"):
            shown = visible(error.format_message(), "\n")
            error.format_message = lambda: shown  # type: ignore[method-assign]
        raise


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show on a terminal that the command is waiting."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(visible(text))):
        yield


def ask(question: str, *, secret: bool = False, twice: bool = False) -> str:
    return str(typer.prompt(visible(question), hide_input=secret, confirmation_prompt=twice, err=True))


def confirm(question: str) -> bool:
    return typer.confirm(visible(question))


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _indented(super().format(record))


def show_warnings() -> None:
    """Send log messages and errors of threads to standard error, unless a log is configured."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    threading.excepthook = lambda ended: crash(ended.exc_value) if ended.exc_value is not None else None


# Values as text.


def text_of(value: object) -> str:
    """A value as text for people."""
    if isinstance(value, str):
        moment = _TIME.fullmatch(value)
        return f"{moment[1]} {moment[2]}Z" if moment is not None else visible(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        if set(value) == {"permissions", "kind", "path"}:
            return f"{text_of(value['permissions'])} on {place_text(value)}"
        if set(value) == {"kind", "path"}:
            return place_text(value)
        return ", ".join(f"{text_of(key)}={text_of(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return (
            "\n".join(text_of(entry) for entry in value) if value and _nested(value) else ", ".join(map(text_of, value))
        )
    return visible(str(value))


def place_text(place: Mapping[str, object]) -> str:
    """A place as text, such as `namespace:team`."""
    return visible(f"{place['kind']}:{place['path']}" if place["path"] else str(place["kind"]))


def _member(item: object, names: Sequence[str]) -> object:
    for name in names:
        item = item.get(name) if isinstance(item, dict) else None
    return item


def _nested(values: Sequence[object]) -> bool:
    return isinstance(values[0], Mapping)


def _indented(text: str) -> str:
    return visible(_LINE_BEGINS.sub("\n  ", text), "\n")
