"""`entrepot worker` and `entrepot collect`."""

import asyncio
import signal
from typing import Annotated

import typer

from entrepot import settings as settings_module
from entrepot import worker as maintenance
from entrepot.app import open_app
from entrepot.cli.options import JSON, ConfigFile, Data
from entrepot.cli.tables import show
from entrepot.settings import Settings
from entrepot.telemetry import logging as telemetry_logging
from entrepot.telemetry.metrics import Metrics


def worker(
    data: Data = None,
    config: ConfigFile = None,
    follow: Annotated[int | None, typer.Option("--follow", metavar="PID", hidden=True)] = None,
) -> None:
    """Run maintenance only; `entrepot serve` does so by itself."""
    settings = settings_module.load(config, overrides={"data": data})
    telemetry_logging.configure(settings.log.level)
    if follow is not None:
        from entrepot.server import die_with

        die_with(follow)
    asyncio.run(_until_stopped(settings))


def collect(data: Data = None, config: ConfigFile = None, json: JSON = False) -> None:
    """Expire uploads and collect orphaned bytes now."""
    settings = settings_module.load(config, overrides={"data": data})

    async def run() -> dict[str, int]:
        async with open_app(settings, Metrics()) as app:
            return await maintenance.run_once(app)

    removed = asyncio.run(run())
    show(("removed", "count"), [(kind, count) for kind, count in removed.items()], json=json)


async def _until_stopped(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: task.cancel() if task else None)
    try:
        async with open_app(settings, Metrics()) as app:
            await maintenance.run_forever(app)
    except asyncio.CancelledError:
        return
