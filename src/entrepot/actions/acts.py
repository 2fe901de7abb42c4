"""Puts acts into the audit log: in the transaction of the change, by themselves, or, for pulls, soon after."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Connection

from entrepot.actions import accounts
from entrepot.app import App
from entrepot.audit import record
from entrepot.audit.actions import Action
from entrepot.audit.record import FAILED, REFUSED, Act, Missing
from entrepot.errors import Denied, Unavailable
from entrepot.identity import lockout
from entrepot.identity.users import ROBOT
from entrepot.principal import ANONYMOUS, Caller, Origin

T = TypeVar("T")
FLOOD = "too many such events in a short time: further ones are only counted"
log = logging.getLogger(__name__)


async def compose(app: App, caller: Caller, act: Act) -> bytes:
    """The record of an act that is about to be done; give it to `record.write` in the transaction that does it."""
    owner = await accounts.owner_key(app, caller.principal)
    return record.compose(app.clock(), caller, act, owner=owner)


async def keep(app: App, caller: Caller, act: Act) -> None:
    """Record an act that changes nothing here: it is on stable storage when this returns.

    Where nothing can be written, on a full disk, the record waits in memory until it can be: pulls go on.
    """
    composed = await compose(app, caller, act)
    try:
        await app.database.write(record.write, composed)
    except Unavailable as error:
        log.error("the audit record of %s cannot be written yet: %s", act.action, error.message)
        app.pulls.add_late(composed)


async def change(app: App, caller: Caller, act: Act, run: Callable[[Connection], T]) -> T:
    """Do something in a transaction, with the record of it; neither is there without the other."""
    return await app.database.write(record.with_record(run, await compose(app, caller, act)))


async def change_as(app: App, caller: Caller, run: Callable[[Connection], tuple[T, Iterable[Act]]]) -> T:
    """As `change`, for acts that are known only once they are done: `run` answers them, none where nothing changed."""
    owner, now_ms = await accounts.owner_key(app, caller.principal), app.clock()

    def both(connection: Connection) -> T:
        result, done = run(connection)
        for act in done:
            record.write(connection, record.compose(now_ms, caller, act, owner=owner))
        return result

    return await app.database.write(both)


async def or_refuse(app: App, caller: Caller, action: Action | Missing, resource: str, doing: Awaitable[T]) -> T:
    """Await what is done; when it turns out that it is not allowed, record that. Raises what it raises."""
    try:
        return await doing
    except Denied as refusal:
        await refuse(app, caller, action, resource, refusal.message)
        raise


async def refuse(app: App, caller: Caller, action: Action | Missing, resource: str, reason: str) -> None:
    who = lockout.network_of(caller.origin.address) if caller.principal.is_anonymous else caller.principal.key
    act = Act(action, resource, outcome=REFUSED, reason=reason)
    if not app.failures.take(who):
        await keep(app, caller, act)
    else:
        app.pulls.add_flood(app.clock(), caller, replace(act, resource="", reason=FLOOD))


async def fail(app: App, origin: Origin, act: Act) -> int:
    """Record that somebody could not show who they are; for how many seconds there were too many from that address.

    The first ones are kept one by one; of more, only how many there were, whatever kind of credentials they tried.
    """
    nobody = Caller(ANONYMOUS, origin)
    wait = app.failures.take(lockout.network_of(origin.address))
    if not wait:
        await keep(app, nobody, act)
    else:
        app.pulls.add_flood(app.clock(), nobody, Act(act.action, "user:", outcome=FAILED, reason=FLOOD))
    return wait


def too_many(app: App, caller: Caller) -> None:
    """Record that requests of this user, or of nobody from this address, are refused: once for each and half minute."""
    act = Act(Action.REQUEST_LIMIT, "", outcome=REFUSED, reason="too many requests: further ones are only counted")
    app.pulls.add_flood(app.clock(), caller, act)


def gather(app: App, caller: Caller, act: Act) -> None:
    """Record an act that changes nothing and may be repeated often, soon, with its count."""
    app.pulls.add_act(app.clock(), caller, act)


async def pulled(app: App, caller: Caller, action: Action, repository: str, digest: str, tag: str | None) -> None:
    """Record that content goes out, soon."""
    if app.settings.audit.pulls:
        owner = await accounts.owner_key(app, caller.principal) if caller.principal.provider == ROBOT else None
        app.pulls.add(app.clock(), caller, action, f"repository:{repository}", digest, tag, owner=owner)
