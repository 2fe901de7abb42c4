"""Passwords and tokens are read from the terminal or standard input, never from the command line."""

import sys
from typing import Annotated

import typer

from entrepot.cli.output import ask
from entrepot.errors import Invalid

PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Generate = Annotated[bool, typer.Option("--generate", help="Generate a password and print it once.")]


def from_stdin(what: str) -> str:
    """Read one line from standard input. Raises Invalid."""
    text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise Invalid(f"there is no {what} on standard input")
    return text


def prompt(label: str, option: str, *, confirm: bool = False) -> str:
    """Ask for a secret. Raises Invalid without a terminal."""
    if not sys.stdin.isatty():
        raise Invalid(f"cannot ask without a terminal: use {option}")
    return ask(label, secret=True, twice=confirm)


def new_password(*, stdin: bool, generate: bool) -> tuple[str, bool]:
    """A new password, and whether it was generated and must be shown. Raises Invalid."""
    if generate:
        from entrepot.identity import passwords

        return passwords.generate(), True
    if stdin:
        return from_stdin("password"), False
    return prompt("New password", "--password-stdin or --generate", confirm=True), False
