"""Somebody with the database sets the audit log back: the registry notices, exports tell, and an operator decides."""

import json
import random
import sqlite3
import time
from pathlib import Path

from tests.durability.conftest import MakeEntrepot
from tests.durability.exchange import Connection
from tests.durability.pushes import make_image, push_image
from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.process import run

WAIT_SECONDS_MAX = 60
POLL_SECONDS = 0.2


def _audit(registry: Entrepot, *arguments: str, succeeds: bool = True) -> str:
    command = [PROGRAM, "audit", *arguments, "--data", str(registry.data)]
    result = run(command, succeeds=succeeds)
    return result.stdout + result.stderr


def _verify(registry: Entrepot, file: Path, since: str, *, succeeds: bool) -> str:
    key = file.with_name("key.pem")
    key.write_text(_audit(registry, "public-key"))
    _audit(registry, "export", "--output", str(file))
    command = [PROGRAM, "audit", "verify", str(file), "--key", str(key), "--since", since]
    return run(command, succeeds=succeeds).stdout


def _signed(registry: Entrepot) -> int:
    rows = {row["audit log"]: row["value"] for row in json.loads(_audit(registry, "status", "--json"))}
    return int(rows["kept outside up to"])


def _push_until_signed(registry: Entrepot, tag: str, beyond: int) -> int:
    with Connection(registry) as connection:
        push_image(connection, "log/app", tag, make_image(random.Random(tag)))
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while (signed := _signed(registry)) <= beyond:
        assert time.monotonic() < deadline
        time.sleep(POLL_SECONDS)
    return signed


def _set_back(database: Path, to: int) -> None:
    with sqlite3.connect(database) as connection:
        for table in ("audit_records", "audit_heads"):
            connection.execute(f"DELETE FROM {table} WHERE seq > ?", (to,))
        connection.execute("DELETE FROM audit_pending")
        connection.execute(
            "UPDATE audit_chain SET (seq, hash) = (SELECT seq, hash FROM audit_records WHERE seq = ?)", (to,)
        )
    connection.close()


def test_log_that_was_set_back_is_noticed_told_and_accepted(make_entrepot: MakeEntrepot, tmp_path: Path) -> None:
    registry = make_entrepot(config="[audit]\nsign_every_seconds = 1\n")
    registry.start()
    first = _push_until_signed(registry, "one", 0)
    second = _push_until_signed(registry, "two", first)
    kept = tmp_path / "kept.jsonl"
    told = _verify(registry, kept, f"{second}:{'0' * 64}", succeeds=False)
    assert f"another hash for record {second}" in told
    assert "intact" in _verify(registry, tmp_path / "now.jsonl", str(kept), succeeds=True)
    registry.stop()

    _set_back(registry.data / "entrepot.db", first)
    registry.start()
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while "differs from the one that was signed" not in registry.log_path.read_text():
        assert time.monotonic() < deadline
        time.sleep(POLL_SECONDS)
    told = _verify(registry, tmp_path / "later.jsonl", str(kept), succeeds=False)
    assert "missing" in told or "replaced" in told, told
    assert _signed(registry) >= second

    assert "continues from" in _audit(registry, "accept-restored", "--yes")
    _push_until_signed(registry, "three", first)
    plain = [PROGRAM, "audit", "verify", str(tmp_path / "last.jsonl"), "--key", str(tmp_path / "key.pem")]
    _audit(registry, "export", "--output", str(tmp_path / "last.jsonl"))
    assert "intact" in run(plain).stdout
    (accepted,) = [
        line["record"]
        for line in map(json.loads, (tmp_path / "last.jsonl").read_text().splitlines())
        if line.get("record", {}).get("action") == "audit:accept-restored"
    ]
    assert accepted["actor"].startswith("operator:")
    assert accepted["detail"]["signed_seq"] >= second
    # Who kept something from before is told for ever.
    assert "replaced" in _verify(registry, tmp_path / "last.jsonl", str(kept), succeeds=False)
    registry.stop()
