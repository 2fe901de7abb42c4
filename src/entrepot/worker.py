"""Maintenance: what runs beside requests, in a process of its own. One page: what, how often, and the loop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from entrepot.app import App
from entrepot.database import changes
from entrepot.errors import EntrepotError
from entrepot.lifecycle import accounts, orphans, stale_uploads

FIRST_AFTER_SECONDS = 5
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """`run` answers how many things it removed."""

    kind: str
    every_seconds: float
    run: Callable[[App], Awaitable[int]]


async def _expire_uploads(app: App) -> int:
    return await stale_uploads.expire(app.database, app.store, app.clock())


async def _collect_orphans(app: App) -> int:
    grace_ms = app.settings.registry.orphan_grace_seconds * 1000
    return await orphans.collect(app.database, app.store, app.clock() - grace_ms)


async def _expire_accounts(app: App) -> int:
    return await accounts.expire(app.database, app.clock())


async def _refresh_users(app: App) -> int:
    return sum([await accounts.refresh(app.database, directory, app.clock()) for directory in app.directories])


async def _prune_changes(app: App) -> int:
    await app.database.write_soon(changes.prune)
    return 0


TASKS = (
    Task("expired uploads", 60, _expire_uploads),
    Task("orphans", 6 * 3600, _collect_orphans),
    Task("expired tokens and failures", 600, _expire_accounts),
    Task("users without access", 10, _refresh_users),
    Task("changes", 600, _prune_changes),
)


async def run_once(app: App) -> dict[str, int]:
    """Every task once; answers what each removed."""
    return {task.kind: await _run(app, task) for task in TASKS}


async def run_forever(app: App) -> None:
    """Every task in its rhythm, until cancelled. Any number may run at once: tasks only remove what is over."""
    async with asyncio.TaskGroup() as group:
        for task in TASKS:
            group.create_task(_repeat(app, task))


async def _repeat(app: App, task: Task) -> None:
    await asyncio.sleep(FIRST_AFTER_SECONDS)
    while True:
        try:
            await _run(app, task)
        except EntrepotError as error:
            log.warning("%s: %s", task.kind, error.message)
        except Exception:
            log.exception("%s: unexpected error", task.kind)
        await asyncio.sleep(task.every_seconds)


async def _run(app: App, task: Task) -> int:
    removed = await task.run(app)
    if removed:
        app.metrics.collected.labels(task.kind).inc(removed)
        log.info("removed %d %s", removed, task.kind)
    return removed
