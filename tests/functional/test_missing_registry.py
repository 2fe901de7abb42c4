"""Commands where there is no registry say so, and make none by the way."""

import json
from pathlib import Path

from tests.peers.entrepot import PROGRAM
from tests.peers.postgresql import PostgreSQL
from tests.peers.process import run

COMMANDS = (
    ("maintenance",),
    ("collect",),
    ("collect", "--dry-run"),
    ("storage", "adopt", "--yes"),
    ("admin", "reset-password", "--administrator", "--generate"),
    ("keys", "rotate"),
    ("keys", "adopt", "--yes"),
    ("keys", "list"),
    ("namespace", "public", "team"),
    ("namespace", "private", "team"),
    ("namespace", "inherit", "team"),
    ("namespace", "list"),
    ("audit", "export"),
    ("audit", "status"),
    ("audit", "public-key"),
    ("audit", "accept-restored", "--yes"),
)
NOT_FOUND = 5


def _refused(command: tuple[str, ...], *options: str | Path) -> str:
    result = run([PROGRAM, *command, *options], succeeds=False)
    assert result.returncode == NOT_FOUND, result.stderr
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("entrepot: there "), result.stderr
    assert "--data" in result.stderr
    return result.stderr


def test_no_command_makes_a_registry_by_the_way(tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing", tmp_path / "empty"
    empty.mkdir()
    for command in COMMANDS:
        assert str(missing) in _refused(command, "--data", missing)
    for command in (("collect",), ("keys", "list")):
        assert str(empty) in _refused(command, "--data", empty)
    assert not missing.exists()
    assert list(empty.iterdir()) == []


def test_no_command_makes_tables_by_the_way(tmp_path: Path, postgresql: PostgreSQL) -> None:
    config = tmp_path / "entrepot.toml"
    with postgresql.new_database() as url:
        config.write_text(f"[database]\nurl = {json.dumps(url)}\n")
        for command in COMMANDS:
            said = _refused(command, "--data", tmp_path / "data", "--config", config)
            assert "postgresql://" not in said
        assert not (tmp_path / "data").exists()
        run([PROGRAM, "migrate", "--config", config])
        printed = run([PROGRAM, "namespace", "list", "--config", config, "--json"]).stdout
        assert json.loads(printed) == []


def test_migrate_makes_one(tmp_path: Path) -> None:
    run([PROGRAM, "migrate", "--data", tmp_path])
    assert json.loads(run([PROGRAM, "namespace", "list", "--data", tmp_path, "--json"]).stdout) == []
    # Its keys come with the first start.
    _refused(("keys", "list"), "--data", tmp_path)
