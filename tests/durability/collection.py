"""Collection as an operator starts it, or as it will be some day; and something for it to find."""

import os
import time
from pathlib import Path

from entrepot import maintenance
from entrepot import settings as settings_module
from entrepot.app import open_app
from entrepot.clock import system_clock
from entrepot.telemetry.metrics import Metrics
from tests.durability.consistency import files
from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.process import run

GRACE_SECONDS = 60
RUNS = 3
CONFIG = f"[registry]\ngarbage_grace_seconds = {GRACE_SECONDS}\ngarbage_keep_days = 0\nupload_expiry_seconds = 86400\n"


def plant_garbage(data: Path) -> set[str]:
    """What a process leaves that dies between storing and recording, in both places where it can."""
    locations = {
        f"uploads/{'0' * 8}-0000-4000-8000-{'0' * 12}.{'a' * 16}",
        f"blobs/sha256/ab/{'ab' * 32}.{'0' * 8}-0000-4000-8000-{'0' * 11}1.{'b' * 16}",
    }
    for location in locations:
        (data / "storage" / location).write_bytes(b"garbage")
    return locations


def make_older(data: Path, seconds: int) -> None:
    then = time.time() - seconds
    for location in files(data):
        os.utime(data / "storage" / location, (then, then))


def collect(registry: Entrepot) -> str:
    """Three runs: one lists garbage, one moves it aside, one removes it. Returns what the last one printed."""
    config = registry.directory / "entrepot.toml"
    command = [PROGRAM, "collect", "--data", registry.data, "--config", config]
    return [run(command).stdout for _ in range(RUNS)][-1]


async def maintain_later(data: Path, *, seconds: int) -> dict[str, int]:
    """Maintenance as it will be after that time."""
    settings = settings_module.load(variables={}, overrides={"data": data})
    async with open_app(settings, Metrics(), lambda: system_clock() + seconds * 1000) as app:
        for _ in range(RUNS - 1):
            await maintenance.run_once(app)
        return await maintenance.run_once(app)
