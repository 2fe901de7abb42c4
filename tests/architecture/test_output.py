"""The command line writes, and asks, in one module: nothing that it shows can go past what makes it harmless."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.program import PACKAGE

OUTPUT = "output.py"
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}
QUESTIONS = {"isatty", "fileno"}
"""What is asked of a stream without writing to it."""
WRITERS = {"echo", "secho", "echo_via_pager", "prompt", "confirm", "launch", "progressbar", "style"}
"""Of typer, and of click."""
MODULES_OF_WRITERS = {"rich", "click", "getpass", "traceback", "pprint", "warnings"}
FILES = sorted(path for path in (PACKAGE / "cli").rglob("*.py") if path.name != OUTPUT)


def writes(tree: ast.AST) -> Iterator[str]:
    """What in a module writes by itself, or could."""
    asked = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in QUESTIONS}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="print" | "input" | "breakpoint" as name):
                yield f"{name} in line {node.lineno}"
            case ast.Attribute(value=ast.Name(id="sys"), attr=name) if name in STREAMS and id(node) not in asked:
                yield f"sys.{name} in line {node.lineno}"
            case ast.Attribute(value=ast.Name(id="typer"), attr=name) if name in WRITERS:
                yield f"typer.{name} in line {node.lineno}"
            case ast.Attribute(value=ast.Name(id="os"), attr="write"):
                yield f"os.write in line {node.lineno}"
            case ast.ImportFrom(module=str(module), names=names):
                yield from (
                    f"{module}.{name.name} in line {node.lineno}"
                    for name in names
                    if module.partition(".")[0] in MODULES_OF_WRITERS
                    or (module == "typer" and name.name in WRITERS)
                    or (module == "sys" and name.name in STREAMS)
                )
            case ast.Import(names=names):
                yield from (
                    f"{name.name} in line {node.lineno}"
                    for name in names
                    if name.name.partition(".")[0] in MODULES_OF_WRITERS
                )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_module_of_the_command_line_writes_nothing_by_itself(path: Path) -> None:
    assert list(writes(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "text",
    [
        "print('a')",
        "import sys\nsys.stdout.write('a')",
        "import sys\nsys.stdout.buffer.write(b'a')",
        "import sys\nshow = sys.stderr",
        "from sys import stdout",
        "import typer\ntyper.echo('a')",
        "import typer\ntyper.confirm('a')",
        "from typer import echo",
        "def late():\n    from rich.console import Console",
        "from rich import print",
        "import click",
        "import traceback",
        "import os\nos.write(1, b'a')",
    ],
)
def test_module_that_writes_is_found(text: str) -> None:
    assert len(list(writes(ast.parse(text)))) == 1


def test_module_that_only_asks_for_a_terminal_is_not_found() -> None:
    assert list(writes(ast.parse("import sys\nsys.stdin.readline()\nsys.stderr.isatty()"))) == []
