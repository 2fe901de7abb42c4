"""All that the `entrepot` command writes: rows as tables for people, JSON and bytes for programs, errors, questions.

No other module of the command line writes or asks by itself: what comes from a server, a file or another user is shown
here, and can neither command the terminal nor hide in it nor begin a line of its own.
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
"""Drawing a table takes half a millisecond for each row, and needs all of them."""
WIDTH_OF_FILES = 400
"""Characters of a table that is not for a terminal: each row is a line."""
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

    def padded(row: Iterable[str]) -> str:
        cells = (text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True))
        return f"  {'   '.join(cells).rstrip()}\n"

    sys.stdout.write(f"\n{padded(map(visible, columns))} {'─' * (sum(widths) + 3 * len(widths) - 1)} \n")
    for row in chain(first, rest):
        sys.stdout.write(padded(text.replace("\n", "; ") for text in row))


def show_items(items: Iterable[Mapping[str, object]], columns: Sequence[str], *, json: bool) -> None:
    """What the API lists: all that it says as JSON, these members of it as a table. `a.b` is a member's member."""
    if json:
        show_json(list(items))
    else:
        titles = [column.replace("_", " ") for column in columns]
        members = [column.split(".") for column in columns]
        show(titles, ([_member(item, names) for names in members] for item in items), json=False)


def show_lines(texts: Iterable[str], *, json: bool) -> None:
    """Each text in a line."""
    if json:
        show_json(list(texts))
    else:
        sys.stdout.writelines(f"{visible(text)}\n" for text in texts)


def show_one(item: Mapping[str, object], *, json: bool) -> None:
    """One resource: a row for each member."""
    if json:
        show_json(item)
    else:
        show(("", "value"), [(name.replace("_", " "), value) for name, value in item.items()], json=False)


def show_json(value: object) -> None:
    typer.echo(visible_json(orjson.dumps(value, option=orjson.OPT_INDENT_2)))


def line(text: str) -> None:
    """One line, whatever is in it."""
    typer.echo(visible(text))


def page(text: str) -> None:
    """Several lines, of which all that begin one are the program's own."""
    typer.echo(visible(text, "\n"))


def exact(text: str) -> None:
    """One line that is to be used as it is, as a token: only a terminal gets it as it can be shown."""
    if sys.stdout.isatty():
        line(text)
    else:
        typer.echo(text.encode())


@contextmanager
def data_to(path: Path | None) -> Iterator[Callable[[bytes], object]]:
    """What takes bytes for a file, or for the standard output, as they are: only a terminal gets what can be shown."""
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
    """Raises OSError when what was written has not arrived."""
    sys.stdout.flush()


# For the person, on the standard error.


def say(text: str) -> None:
    """One line beside what the command prints for the next program."""
    typer.echo(visible(text), err=True)


def greet(lines: Iterable[str]) -> None:
    """What somebody needs to go on."""
    typer.echo("\n".join(map(visible, lines)), err=True)


def fail(message: str, *, lines: bool = False) -> None:
    """What is wrong. With `lines`, the message has several, and all but the first are indented."""
    say_lines(f"entrepot: {message}") if lines else say(f"entrepot: {message}")


def say_lines(text: str) -> None:
    """Several lines, of which none looks like the beginning of something else."""
    typer.echo(_indented(text), err=True)


def crash(error: BaseException) -> None:
    """Where a defect is."""
    say_lines("".join(traceback.format_exception(error)).rstrip("\n"))


@contextmanager
def usage_shown() -> Iterator[None]:
    """Have what is wrong with a command line, which typer prints, quote what was written there as it can be shown."""
    try:
        yield
    except TyperException as error:
        if hasattr(error, "format_message"):
            shown = visible(error.format_message(), "\n")
            error.format_message = lambda: shown  # type: ignore[method-assign]
        raise


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show on a terminal that something takes its time."""
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
    """Send what the program's parts log, and what ends a thread, to the standard error, unless a log is configured."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    threading.excepthook = lambda ended: crash(ended.exc_value) if ended.exc_value is not None else None


# Values as text.


def text_of(value: object) -> str:
    """For people."""
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
    """`namespace:team` for where something holds."""
    return visible(f"{place['kind']}:{place['path']}" if place["path"] else str(place["kind"]))


def _member(item: object, names: Sequence[str]) -> object:
    for name in names:
        item = item.get(name) if isinstance(item, dict) else None
    return item


def _nested(values: Sequence[object]) -> bool:
    return isinstance(values[0], Mapping)


def _indented(text: str) -> str:
    return visible(_LINE_BEGINS.sub("\n  ", text), "\n")
