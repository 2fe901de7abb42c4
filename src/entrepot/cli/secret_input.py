"""Passwords and tokens: read from the terminal or the standard input, never from the command line."""

import sys
from typing import Annotated

import typer

from entrepot.cli.output import ask
from entrepot.errors import Invalid

PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from the standard input.")]
Generate = Annotated[bool, typer.Option("--generate", help="Generate a password, and print it once.")]


def from_stdin(what: str) -> str:
    """One line. Raises Invalid."""
    text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise Invalid(f"there is no {what} on the standard input")
    return text


def prompt(label: str, option: str, *, confirm: bool = False) -> str:
    """Raises Invalid where nobody can be asked."""
    if not sys.stdin.isatty():
        raise Invalid(f"there is no terminal to ask on: use {option}")
    return ask(label, secret=True, twice=confirm)


def new_password(*, stdin: bool, generate: bool) -> tuple[str, bool]:
    """A password, and whether it was generated and is to be shown. Raises Invalid."""
    if generate:
        from entrepot.identity import passwords

        return passwords.generate(), True
    if stdin:
        return from_stdin("password"), False
    return prompt("New password", "--password-stdin or --generate", confirm=True), False
