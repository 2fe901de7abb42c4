"""Changes of a directory, by OpenLDAP's programs: what the product asks with is not what tests tell with."""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.peers.presence import require_program
from tests.peers.process import run

Values = str | bytes | Iterable[str]


class Changes:
    """Sends changes to one server as one who may make them."""

    def __init__(self, url: str, *, dn: str, password: str, ca_file: Path | None = None) -> None:
        self._program = require_program("ldapmodify", package="ldap-utils")
        self._options = ["-x", "-H", url, "-D", dn, "-w", password]
        self._environment = {"LDAPNOINIT": "1"} if ca_file is None else {"LDAPTLS_CACERT": str(ca_file)}

    def add(self, dn: str, attributes: Mapping[str, Values]) -> None:
        self._send([_line("dn", dn), "changetype: add", *_lines(attributes)])

    def replace(self, dn: str, attributes: Mapping[str, Values]) -> None:
        """Each attribute gets these values; with none it goes."""
        changes: list[str] = []
        for name, values in attributes.items():
            changes += [f"replace: {name}", *_lines({name: values}), "-"]
        self._send([_line("dn", dn), "changetype: modify", *changes])

    def add_values(self, dn: str, attributes: Mapping[str, Values]) -> None:
        changes: list[str] = []
        for name, values in attributes.items():
            changes += [f"add: {name}", *_lines({name: values}), "-"]
        self._send([_line("dn", dn), "changetype: modify", *changes])

    def remove(self, dn: str) -> None:
        self._send([_line("dn", dn), "changetype: delete"])

    def _send(self, lines: list[str]) -> None:
        run([self._program, *self._options], environment=self._environment, stdin="\n".join(lines) + "\n\n")


def _lines(attributes: Mapping[str, Values]) -> list[str]:
    found: list[str] = []
    for name, values in attributes.items():
        several = [values] if isinstance(values, str | bytes) else values
        found += [_line(name, value) for value in several]
    return found


def _line(name: str, value: str | bytes) -> str:
    """Always in base64: then no value can end a line or be taken for something else."""
    raw = value if isinstance(value, bytes) else value.encode()
    return f"{name}:: {base64.b64encode(raw).decode()}"
