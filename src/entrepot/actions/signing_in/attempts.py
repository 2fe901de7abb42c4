"""Counts wrong passwords, by which further tries have to wait."""

import hmac
import logging
from functools import partial

from entrepot.actions.signing_in import best_effort
from entrepot.app import App
from entrepot.database import topics
from entrepot.errors import Unavailable
from entrepot.identity import lockout
from entrepot.identity.errors import LoginDelayed
from entrepot.identity.lockout import Delay, Policy
from entrepot.identity.users import User
from entrepot.principal import Origin

FORGIVEN_EVERY_MS = 60_000
_FORGIVEN_BYTES = 300
"""What remembering one costs, roughly."""

log = logging.getLogger(__name__)


async def reserve(
    app: App,
    local: User | None,
    delay: Delay,
    counted: dict[str, int],
    policy: Policy,
    name: str,
    password: str,
) -> tuple[Delay, tuple[str, ...]]:
    """Count the try before it is checked; what stands before it now, and what was counted."""
    text = f"{len(name)}:{name}{password}".encode("utf-8", "surrogatepass")
    attempt = hmac.digest(app.keys.upload, b"login attempt " + text, "sha256")[:16]
    administrator = local is not None and local.administrator
    try:
        return await app.database.write(
            partial(lockout.reserve, administrator=administrator), counted, policy, app.clock(), attempt, durable=False
        )
    except Unavailable as error:
        log.warning("a login attempt could not be counted: %s", error.message)
        return delay, ()


def require_no_wait(delay: Delay) -> None:
    """Raises LoginDelayed."""
    if delay.wait and not delay.excepted:
        raise delayed(delay)


def delayed(delay: Delay) -> LoginDelayed:
    return LoginDelayed(f"too many wrong passwords: try again in {delay.wait} seconds", delay.wait)


async def forgive(app: App, name: str, origin: Origin) -> None:
    """Forget wrong passwords of who is right, here too, where nothing is checked any more: now and then is enough."""
    counted, now_ms = lockout.keys(name, origin.address), app.clock()
    here = next(iter(counted))
    looked_at_ms: int | None = app.caches.passwords.get(topics.FORGIVEN, here)
    if looked_at_ms is not None and looked_at_ms > now_ms - FORGIVEN_EVERY_MS:
        return
    app.caches.passwords.put(app.caches.stamp(), topics.FORGIVEN, here, now_ms, _FORGIVEN_BYTES)
    if await app.database.look_up(lockout.has_failed, counted):
        await best_effort.write(app, lockout.succeeded, counted, now_ms)
