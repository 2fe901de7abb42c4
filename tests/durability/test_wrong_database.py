"""An operator's mistake takes nothing away: a store with the wrong database, an empty one, or an older one."""

import json
import random
import shutil
from pathlib import Path

import pytest

from tests.durability.collection import make_older
from tests.durability.conftest import MakeEntrepot
from tests.durability.consistency import assert_consistent, files
from tests.durability.exchange import Connection
from tests.durability.pushes import Image, assert_image_pulls, make_image, push_image
from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.postgresql import PostgreSQL
from tests.peers.process import run
from tests.peers.seaweedfs import SeaweedFS


def _push(registry: Entrepot, seed: int) -> Image:
    image = make_image(random.Random(seed), layer_bytes=200_000)
    with Connection(registry) as connection:
        push_image(connection, "mistake/app", f"v{seed}", image)
    return image


def _collect(registry: Entrepot, *options: str, succeeds: bool = True) -> str:
    command = [PROGRAM, "collect", "--data", registry.data, "--config", registry.directory / "entrepot.toml", *options]
    result = run(command, succeeds=succeeds)
    return result.stdout + result.stderr


def test_another_database_at_the_store_is_refused_and_removes_nothing(
    make_entrepot: MakeEntrepot, tmp_path: Path, seaweedfs: SeaweedFS
) -> None:
    options = "".join(f"{key} = {json.dumps(value)}\n" for key, value in seaweedfs.options().items())
    files_url, bucket_url = f"file://{tmp_path / 'shared'}", seaweedfs.new_url()
    for kind, url, more in (("files", files_url, ""), ("bucket", bucket_url, f"[storage.options]\n{options}")):
        config = f"[registry]\ngarbage_grace_seconds = 60\n[storage]\nurl = {json.dumps(url)}\nredirect = false\n{more}"
        first, second = (make_entrepot(f"{kind}-{name}", config=config) for name in ("first", "second"))
        first.start()
        image = _push(first, 1)

        with pytest.raises(Exception, match=r"storage adopt|ended"):
            second.start()
        assert "the storage belongs to another database than this one" in second.log_path.read_text()
        for _ in range(3):
            assert "storage adopt" in _collect(second, succeeds=False)
        with Connection(first) as connection:
            assert_image_pulls(connection, "mistake/app", "v1", image)
        first.stop()


def test_older_database_collects_nothing_until_somebody_says_so(make_entrepot: MakeEntrepot, tmp_path: Path) -> None:
    config = "[registry]\ngarbage_grace_seconds = 60\n"
    registry = make_entrepot(config=config)
    registry.start()
    before = _push(registry, 1)
    registry.stop()
    backup = tmp_path / "backup"
    backup.mkdir()
    for file in registry.data.glob("entrepot.db*"):
        shutil.copy2(file, backup)
    registry.start()
    after = _push(registry, 2)
    registry.stop()
    everything = files(registry.data)

    for file in registry.data.glob("entrepot.db*"):
        file.unlink()
    for file in backup.iterdir():
        shutil.copy2(file, registry.data)
    make_older(registry.data, 120)
    # It serves what it knows, and says why nothing is collected.
    registry.start()
    assert "the database is older than the storage" in registry.log_path.read_text()
    with Connection(registry) as connection:
        assert_image_pulls(connection, "mistake/app", "v1", before)
    for _ in range(3):
        assert "older than the storage" in _collect(registry, succeeds=False)
    assert files(registry.data) == everything
    registry.stop()

    # Accepted: what the lost days brought is listed, then moved aside, and kept for days.
    config_file = registry.directory / "entrepot.toml"
    run([PROGRAM, "storage", "adopt", "--yes", "--data", registry.data, "--config", config_file])
    assert json.loads(_collect(registry, "--json"))
    _collect(registry)
    _collect(registry)
    aside = {path.name.replace("!", "/") for path in (registry.data / "storage" / "garbage").iterdir()}
    assert files(registry.data) | aside == everything
    assert aside
    registry.start()
    with Connection(registry) as connection:
        assert_image_pulls(connection, "mistake/app", "v1", before)
        # Pushing again what was lost heals it.
        push_image(connection, "mistake/app", "v2", after)
        assert_image_pulls(connection, "mistake/app", "v2", after)
    registry.stop()
    assert_consistent(registry.data)


def test_new_registry_has_no_garbage(tmp_path: Path) -> None:
    run([PROGRAM, "migrate", "--data", tmp_path])
    printed = run([PROGRAM, "collect", "--data", tmp_path, "--dry-run"]).stdout
    assert "stored objects" in printed


def test_replica_with_other_keys_is_refused_until_somebody_says_so(
    make_entrepot: MakeEntrepot, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    """Tokens of one would be no good at the other, as the balancer happens to choose."""
    with postgresql.new_database() as url:
        store = json.dumps(f"file://{tmp_path}/shared")
        config = f"[database]\nurl = {json.dumps(url)}\n[storage]\nurl = {store}\n"
        first, second = (make_entrepot(name, config=config) for name in ("first", "second"))
        first.start()
        with pytest.raises(Exception, match="keys adopt"):
            second.start()
        log = second.log_path.read_text()
        assert "are not those of the registry" in log
        assert "entrepot keys adopt" in log

        shutil.rmtree(second.data / "keys")
        shutil.copytree(first.data / "keys", second.data / "keys")
        second.start()
        second.stop()
        # Changing what signs tokens changes nothing of that.
        run([PROGRAM, "keys", "rotate", "--data", first.data, "--config", first.directory / "entrepot.toml"])
        first.restart()
        first.stop()

        # Both copies are lost: the registry goes on with new ones, once somebody says so.
        for replica in (first, second):
            shutil.rmtree(replica.data / "keys")
        where = ("--data", first.data, "--config", first.directory / "entrepot.toml")
        with pytest.raises(Exception, match="keys adopt"):
            first.start()
        run([PROGRAM, "keys", "adopt", "--yes", *where])
        first.start()
        assert "keys:adopt" in run([PROGRAM, "audit", "export", *where]).stdout
