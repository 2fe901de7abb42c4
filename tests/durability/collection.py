"""Collection as an operator starts it, or as it will be some day; and something for it to find."""

import os
import time
from pathlib import Path

from entrepot import settings as settings_module
from entrepot import worker as maintenance
from entrepot.app import open_app
from entrepot.clock import system_clock
from entrepot.telemetry.metrics import Metrics
from tests.durability.consistency import files
from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.process import run

GRACE_SECONDS = 60
CONFIG = f"[registry]\norphan_grace_seconds = {GRACE_SECONDS}\nupload_expiry_seconds = 86400\n"


def plant_orphans(data: Path) -> set[str]:
    """What a process leaves that dies between storing and recording, in both places where it can."""
    locations = {
        f"uploads/{'0' * 8}-0000-4000-8000-{'0' * 12}.{'a' * 16}",
        f"blobs/sha256/ab/{'ab' * 32}.{'0' * 8}-0000-4000-8000-{'0' * 11}1.{'b' * 16}",
    }
    for location in locations:
        (data / "storage" / location).write_bytes(b"orphan")
    return locations


def make_older(data: Path, seconds: int) -> None:
    then = time.time() - seconds
    for location in files(data):
        os.utime(data / "storage" / location, (then, then))


def collect(registry: Entrepot) -> str:
    config = registry.directory / "entrepot.toml"
    return run([PROGRAM, "collect", "--data", registry.data, "--config", config]).stdout


async def maintain_later(data: Path, *, seconds: int) -> dict[str, int]:
    """Maintenance as it will be after that time."""
    settings = settings_module.load(variables={}, overrides={"data": data})
    async with open_app(settings, Metrics(), lambda: system_clock() + seconds * 1000) as app:
        return await maintenance.run_once(app)
