"""Gathers the records of acts that are many and change nothing, pulls above all, and writes them within one second.

Failures of an origin that has too many of them are gathered for longer. Records of logins and refusals that cannot be
written, because the disk is full, wait here as well.

Pulls that are alike in all but their time, within that second, become one record with their count: who pulled what, how
and from where is all there, and a client that asks for one manifest a thousand times a second does not fill the log.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from entrepot.audit import record
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.principal import ANONYMOUS, NOWHERE, Caller, Origin

FLUSH_SECONDS = 0.5
FLOOD_SECONDS = 30.0
"""How long failures that are too many are gathered."""
FLOODS_MAX = 1000
"""Floods that are told apart; what comes on top counts as from anywhere."""
DISTINCT_MAX = 50_000
"""Different pulls that may wait when they cannot be written; what comes on top is lost, and the log says so."""

PullKey = tuple[str | None, ...]
"""All that a record has of a pull, as text: its hash is at hand, and that of a principal with its scopes is not."""
Write = Callable[[list[bytes]], Awaitable[None]]
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pulls:
    caller: Caller
    act: Act
    first_at_ms: int
    owner: str | None
    count: int = 1
    due_at: float = 0.0
    """When it is written at the earliest, on the monotonic clock."""


class PullLog:
    """`write` keeps records for good."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._gathered: dict[PullKey, _Pulls] = {}
        self._late: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._lost = 0
        self._floods = 0

    def add(
        self,
        at_ms: int,
        caller: Caller,
        action: Action,
        resource: str,
        digest: str | None,
        tag: str | None = None,
        *,
        owner: str | None = None,
    ) -> None:
        principal, origin = caller.principal, caller.origin
        key = (
            principal.provider,
            principal.name,
            principal.credential.kind,
            principal.credential.id,
            origin.address,
            origin.user_agent,
            action,
            resource,
            digest,
            tag,
        )
        known = self._gathered.get(key)
        if known is not None:
            known.count += 1
            return
        if len(self._gathered) >= DISTINCT_MAX:
            self._lost += 1
            return
        act = Act(action, resource, digest, detail={"tag": tag} if tag else None)
        self._gathered[key] = _Pulls(caller, act, at_ms, owner)
        self._start()

    def add_act(self, at_ms: int, caller: Caller, act: Act, *, owner: str | None = None) -> None:
        """As `add`, for any other act that changes nothing."""
        key = (
            caller.principal.key,
            caller.principal.credential.id,
            caller.origin.address,
            caller.origin.user_agent,
            act.action,
            act.resource,
            act.outcome,
            act.reason,
            repr(act.detail),
        )
        self._add(key, _Pulls(caller, act, at_ms, owner))

    def add_flood(self, at_ms: int, caller: Caller, act: Act) -> None:
        """Count one of many failures: all of this action from this address, or of this user, are one record."""
        key: PullKey = ("flood", caller.principal.key, caller.origin.address, act.action, act.outcome)
        if self._floods >= FLOODS_MAX and key not in self._gathered:
            caller = Caller(ANONYMOUS, NOWHERE)
            key = ("flood", caller.principal.key, caller.origin.address, act.action, act.outcome)
        self._floods += key not in self._gathered
        quiet = Caller(caller.principal, Origin(caller.origin.address, "", ""))
        due_at = time.monotonic() + FLOOD_SECONDS
        self._add(key, _Pulls(quiet, act, at_ms, None, due_at=due_at))

    def _add(self, key: PullKey, new: _Pulls) -> None:
        known = self._gathered.get(key)
        if known is not None:
            known.count += 1
        elif len(self._gathered) >= DISTINCT_MAX:
            self._lost += 1
        else:
            self._gathered[key] = new
            self._start()

    def add_late(self, composed: bytes) -> None:
        """Keep a record that could not be written when it should have been, until it can."""
        if len(self._late) >= DISTINCT_MAX:
            self._lost += 1
            return
        self._late.append(composed)
        self._start()

    async def close(self) -> None:
        """Write what is left, after what is being written: a record that is there must not be written again."""
        self._closing.set()
        if self._task is not None:
            await self._task
        await self._flush()

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), FLUSH_SECONDS)
        try:
            await self._flush()
        finally:
            self._task = None
            if (self._gathered or self._late) and not self._closing.is_set():
                self._task = asyncio.get_running_loop().create_task(self._flush_soon())

    async def _flush(self) -> None:
        now, waiting = time.monotonic(), self._gathered
        gathered = {key: one for key, one in waiting.items() if one.due_at <= now or self._closing.is_set()}
        self._gathered = {key: one for key, one in waiting.items() if key not in gathered}
        self._floods -= sum(key[0] == "flood" for key in gathered)
        late, self._late = self._late, []
        if not gathered and not late:
            return
        records = list(late)
        records += [
            record.compose(one.first_at_ms, one.caller, one.act, owner=one.owner, count=one.count)
            for one in gathered.values()
        ]
        try:
            await self._write(records)
        except BaseException as error:
            self._late = late + self._late
            # They are as old as they are; what has come meanwhile is counted with them.
            for key, pulls in gathered.items():
                since = self._gathered.get(key)
                pulls.count += since.count if since is not None else 0
                self._floods += key[0] == "flood" and since is None
                self._gathered[key] = pulls
            if isinstance(error, asyncio.CancelledError):
                raise
            count = len(self._gathered) + len(self._late)
            log.error("the audit log cannot be written, %d records are waiting: %s", count, error)
            return
        if self._lost:
            log.error("%d records were lost because the audit log could not be written", self._lost)
            self._lost = 0
