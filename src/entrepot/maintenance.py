"""Maintenance: what runs beside requests, in a process of its own. One page: what, how often, and the loop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from entrepot.app import App
from entrepot.audit import chain, heads, segments
from entrepot.audit.segments import DAY_MS
from entrepot.audit.witness import ChainBroken
from entrepot.database import changes
from entrepot.errors import Conflict, EntrepotError
from entrepot.lifecycle import accounts, garbage, stale_uploads, store_identity

FIRST_AFTER_SECONDS = 5
AFTER_ERROR_SECONDS = 5
GARBAGE_EVERY_SECONDS = 6 * 3600
"""How often all of the store is listed, by one of all replicas."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """`run` answers how many things it removed. `collects` when it is part of collecting what is over."""

    kind: str
    every_seconds: float
    run: Callable[[App], Awaitable[int]]
    first_after_seconds: float = FIRST_AFTER_SECONDS
    collects: bool = True


async def _expire_uploads(app: App) -> int:
    return await stale_uploads.expire(app.database, app.store, app.clock())


async def _collect_garbage(app: App) -> int:
    if not await app.database.write(garbage.claim, app.clock(), GARBAGE_EVERY_SECONDS * 1000):
        return 0
    try:
        found = await garbage.collect(app.database, app.store, garbage_terms(app))
    except Conflict:
        app.metrics.garbage_stopped.inc()
        raise
    log.info(
        "garbage: of %d objects, %d newly listed, %d moved aside, %d moved back, %d removed",
        found.stored,
        found.listed,
        found.moved_aside,
        found.moved_back,
        found.removed,
    )
    return found.removed


def garbage_terms(app: App) -> garbage.Terms:
    registry = app.settings.registry
    return garbage.Terms(app.clock(), registry.garbage_grace_seconds * 1000, registry.garbage_keep_days * DAY_MS)


async def _advance_store(app: App) -> int:
    await store_identity.advance(app.database, app.store)
    return 0


async def _expire_accounts(app: App) -> int:
    return await accounts.expire(app.database, app.clock())


async def _refresh_users(app: App) -> int:
    return sum(
        [
            await accounts.refresh(app.database, directory, app.clock())
            for directory in app.providers.directories
            if directory.can_find
        ]
    )


async def _prune_changes(app: App) -> int:
    await app.database.write(changes.prune, durable=False)
    return 0


async def _seal_audit(app: App) -> int:
    await chain.seal_all(app.database)
    return 0


async def _sign_audit(app: App) -> int:
    now_ms = app.clock()
    signed = await app.database.look_up(heads.last)
    try:
        if signed is None or now_ms - signed.signed_at_ms >= app.settings.audit.sign_every_seconds * 1000:
            await heads.sign_end(app.database, app.witness, now_ms)
        await heads.keep_newest(app.database, app.witness)
    except ChainBroken:
        app.metrics.audit_chain_broken.inc()
        raise
    kept = app.witness.read()
    app.metrics.audit_signed.set(kept["seq"] if kept is not None else 0)
    return 0


async def _archive_audit(app: App) -> int:
    days = app.settings.audit.retention_days
    if not days:
        return 0
    await segments.archive(
        app.database,
        app.store,
        app.witness,
        app.clock,
        segment_records=app.settings.audit.segment_records,
        retention_days=days,
    )
    sent = await app.forwarder.sent_until(app.database)
    return await segments.remove(app.database, app.store, older_than_ms=app.clock() - days * DAY_MS, until=sent)


async def _forward_audit(app: App) -> int:
    await app.forwarder.run(app.database)
    return 0


TASKS = (
    Task("expired uploads", 60, _expire_uploads),
    # Of all replicas one does it, when it is due; never soon after a start, which may be one with the wrong database.
    Task("garbage", 600, _collect_garbage, first_after_seconds=600, collects=False),
    Task("store's generation", 3600, _advance_store, first_after_seconds=3600, collects=False),
    Task("expired tokens and failures", 600, _expire_accounts),
    Task("users without access", 10, _refresh_users),
    Task("changes", 600, _prune_changes),
    Task("audit seals", 0.5, _seal_audit, first_after_seconds=0, collects=False),
    Task("audit signatures", 1, _sign_audit, first_after_seconds=1, collects=False),
    Task("audit forwarding", 0.5, _forward_audit, first_after_seconds=1, collects=False),
    Task("archived audit records", 600, _archive_audit, collects=False),
)


async def run_once(app: App, *, dry_run: bool = False, accept_many: bool = False) -> dict[str, int]:
    """Collect what is over, once; returns what each task removed, and what became of garbage.

    A dry run removes nothing, and looks at garbage only.
    """
    removed = {} if dry_run else {task.kind: await _run(app, task) for task in TASKS if task.collects}
    terms = garbage_terms(app)
    found = await garbage.collect(app.database, app.store, terms, dry_run=dry_run, accept_many=accept_many)
    return {
        **removed,
        "stored objects": found.stored,
        "garbage newly listed": found.listed,
        "garbage moved aside": found.moved_aside,
        "garbage moved back": found.moved_back,
        "garbage removed": found.removed,
    }


async def run_forever(app: App) -> None:
    """Every task in its rhythm, until cancelled. Any number may run at once: tasks only remove what is over."""
    async with asyncio.TaskGroup() as group:
        for task in TASKS:
            group.create_task(_repeat(app, task))


async def _repeat(app: App, task: Task) -> None:
    await asyncio.sleep(task.first_after_seconds)
    while True:
        pause_seconds = task.every_seconds
        try:
            await _run(app, task)
        except EntrepotError as error:
            log.warning("%s: %s", task.kind, error.message)
            pause_seconds = max(pause_seconds, AFTER_ERROR_SECONDS)
        except Exception:
            log.exception("%s: unexpected error", task.kind)
            pause_seconds = max(pause_seconds, AFTER_ERROR_SECONDS)
        await asyncio.sleep(pause_seconds)


async def _run(app: App, task: Task) -> int:
    removed = await task.run(app)
    if removed:
        app.metrics.collected.labels(task.kind).inc(removed)
        log.info("removed %d %s", removed, task.kind)
    return removed
