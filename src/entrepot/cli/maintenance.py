"""`entrepot maintenance` and `entrepot collect`."""

import asyncio
import signal
from typing import Annotated

import typer

from entrepot import maintenance as tasks
from entrepot.app import open_app
from entrepot.cli import direct
from entrepot.cli.options import JSON, ConfigFile, Data
from entrepot.cli.output import show
from entrepot.processes import die_with
from entrepot.settings import Settings
from entrepot.telemetry import logging as telemetry_logging
from entrepot.telemetry.metrics import Metrics


def maintenance(
    data: Data = None,
    config: ConfigFile = None,
    follow: Annotated[int | None, typer.Option("--follow", metavar="PID", hidden=True)] = None,
) -> None:
    """Run only the maintenance process. `entrepot serve` already includes it."""
    settings = direct.load(data, config)
    telemetry_logging.configure(settings.log.level)
    if follow is not None:
        die_with(follow)
    asyncio.run(_until_stopped(settings))


def collect(
    data: Data = None,
    config: ConfigFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what would be done, and change nothing.")] = False,
    accept_many: Annotated[
        bool, typer.Option("--accept-many", help="Move garbage aside even if it is a large share of the store.")
    ] = False,
    json: JSON = False,
) -> None:
    """Expire uploads and tokens and collect garbage now.

    Garbage is listed by one run, moved aside by a later run, and removed by another run days later.
    """
    settings = direct.load(data, config)
    direct.upgrade(settings)

    async def run() -> dict[str, int]:
        async with open_app(settings, Metrics()) as app:
            return await tasks.run_once(app, dry_run=dry_run, accept_many=accept_many)

    counts = asyncio.run(run())
    show(("what", "count"), list(counts.items()), json=json)


async def _until_stopped(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: task.cancel() if task else None)
    try:
        async with open_app(settings, Metrics()) as app:
            await tasks.run_forever(app)
    except asyncio.CancelledError:
        return
