"""Every command that works on the data directory, where that cannot be written: one line says so, and nothing else."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from entrepot.cli import main
from tests.durability.disks import memory_disk
from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.presence import require_program, require_root
from tests.peers.process import free_port, run

DISK_BYTES = 2**24
READS = ("config check", "config show", "keys list", "audit public-key")
"""They change nothing, and ask nobody but files."""
WRITES: Mapping[str, tuple[str, ...]] = {
    "serve": ("--workers", "1", "--listen"),
    "maintenance": (),
    "collect": (),
    "storage adopt": ("--yes",),
    "migrate": (),
    "admin reset-password": ("--generate",),
    "keys rotate": (),
    "keys adopt": ("--yes",),
    "namespace public": ("team",),
    "namespace private": ("team",),
    "namespace inherit": ("team",),
    "namespace list": (),
    "audit export": (),
    "audit accept-restored": ("--yes",),
    "audit status": (),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that a registry has worked with, on a disk that takes nothing any more."""
    directory = tmp_path_factory.mktemp("read-only")
    with memory_disk(directory / "disk", size_bytes=DISK_BYTES) as disk:
        registry = Entrepot(disk.path, workers=1)
        with registry:
            pass
        (disk.path / "new").mkdir(mode=0o700)
        disk.remount("ro")
        yield registry.data


@pytest.fixture(scope="module")
def unreadable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose database belongs to somebody else, as after a restore by another user."""
    registry = Entrepot(tmp_path_factory.mktemp("unreadable"), workers=1)
    with registry:
        pass
    (registry.data / "entrepot.db").chmod(0)
    return registry.data


def _command(name: str, data: Path) -> list[str | Path]:
    more = list(WRITES.get(name, ()))
    if name == "serve":
        more.append(f"127.0.0.1:{free_port()}")
    return [PROGRAM, *name.split(), *more, "--data", data]


def _assert_one_line(command: list[str | Path], says: str) -> None:
    ended = run(command, succeeds=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("entrepot: ")
    assert says in line


def test_table_has_every_command_that_works_on_the_data_directory() -> None:
    root: Any = get_command(main.app)
    found = set()
    for name in root.list_commands(None):
        command = root.get_command(None, name)
        for full, each in _each(name, command):
            if any(parameter.name == "data" for parameter in each.params):
                found.add(full)
    assert found == {*READS, *WRITES}


def _each(name: str, command: Any) -> list[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    return [(name, command)] if below is None else [(f"{name} {key}", value) for key, value in below.items()]


@pytest.mark.parametrize("name", READS)
def test_command_that_only_reads_works_on_a_read_only_data_directory(name: str, data: Path) -> None:
    assert run(_command(name, data)).stdout


@pytest.mark.parametrize("name", WRITES)
def test_command_on_a_read_only_data_directory_ends_in_one_line(name: str, data: Path) -> None:
    _assert_one_line(_command(name, data), f"Read-only file system: '{data}/")


def test_registry_that_cannot_be_made_is_told_of_in_one_line(data: Path) -> None:
    new = data.parent / "new"
    _assert_one_line(_command("migrate", new), f"Read-only file system: '{new}/")


@pytest.mark.parametrize("name", WRITES)
def test_command_on_a_database_that_it_may_not_open_says_so_in_one_line(name: str, unreadable: Path) -> None:
    require_root("to be kept from a file of its own")
    setpriv = require_program("setpriv", package="util-linux")
    mortal = [setpriv, "--bounding-set=-dac_override,-dac_read_search"]
    _assert_one_line([*mortal, *_command(name, unreadable)], "unable to open database file")
