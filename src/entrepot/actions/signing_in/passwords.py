"""Passwords of users: the registry's own are asked first, then the directories in the order of the settings.

The first that knows the name decides.
"""

import hashlib
import time
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from entrepot.actions import accounts, acts
from entrepot.actions.signing_in import attempts, best_effort, directories, failures, usable
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.database import topics
from entrepot.errors import RateLimited, Unauthenticated
from entrepot.identity import lockout, passwords, users
from entrepot.identity.errors import (
    AccountLocked,
    CredentialsInvalid,
    LoginDelayed,
    PasswordWrong,
    ProviderUnavailable,
    TooManyLogins,
)
from entrepot.identity.lockout import Delay, Policy
from entrepot.identity.names import ROBOT_PREFIX
from entrepot.identity.users import User
from entrepot.principal import Caller, Credential, Origin, Principal

EXTERNAL_TRUSTED_MS = 60_000
"""How long a password that a directory has confirmed is taken without asking again."""
OWN_TRUSTED_MS = 10**12
"""The same for local users: until something about them changes."""
_PASSWORD_BYTES, _COST_BYTES = 600, 100
"""What remembering one costs, roughly."""


@dataclass(frozen=True, slots=True)
class _Confirmed:
    """Credentials that were right, and until when that is believed."""

    principal: Principal
    until_ms: int


async def check(app: App, name: str, password: str, origin: Origin) -> Principal:
    """Raises CredentialsInvalid, AccountDisabled, TooManyLogins, LoginDelayed, ProviderUnavailable."""
    key = hashlib.sha256(f"{len(name)}:{name}{password}".encode("utf-8", "surrogatepass")).digest()
    if (known := _confirmed(app, key) or await _still_right(app, name, key)) is not None:
        await attempts.forgive(app, name, origin)
        return known
    began = time.monotonic()
    try:
        async with app.passwords.turn(next(iter(lockout.keys(name, origin.address)))):
            # Of several at once, the first one's answer may be everybody's.
            return _confirmed(app, key) or await _confirm(app, name, password, origin, key)
    except (Unauthenticated, RateLimited, ProviderUnavailable):
        await app.passwords.even_out(began)
        raise


def _confirmed(app: App, key: bytes) -> Principal | None:
    known: _Confirmed | None = app.caches.passwords.get(topics.USERS, key)
    return known.principal if known is not None and known.until_ms > app.clock() else None


async def _still_right(app: App, name: str, key: bytes) -> Principal | None:
    """Who a local user is whose password was right before, if it is the same and the user may still sign in."""
    right: tuple[int, str] | None = app.caches.passwords.get(topics.RIGHT_PASSWORDS, key)
    if right is None:
        return None
    stamp = app.caches.stamp()
    user = await app.database.look_up(_account_with, name, right)
    if user is None:
        return None
    principal = accounts.principal(user, Credential("password"))
    _keep_confirmed(app, stamp, key, principal, OWN_TRUSTED_MS)
    return principal


def _keep_confirmed(app: App, stamp: int, key: bytes, principal: Principal, trusted_ms: int) -> None:
    confirmed = _Confirmed(principal, app.clock() + trusted_ms)
    app.caches.passwords.put(stamp, topics.USERS, key, confirmed, _PASSWORD_BYTES)


def _account_with(connection: Connection, name: str, right: tuple[int, str]) -> User | None:
    local = users.find(connection, users.LOCAL, name)
    if local is None or (local.id, local.password_hash) != right or not local.usable:
        return None
    account = users.account(connection, local)
    return account if account.usable else None


async def _confirm(app: App, name: str, password: str, origin: Origin, key: bytes) -> Principal:
    stamp = app.caches.stamp()
    try:
        user, local = await _check_password(app, name, password, origin)
    except (Unauthenticated, LoginDelayed) as error:
        await failures.record(app, name, origin, error)
        if isinstance(error, AccountLocked):
            raise failures.wrong_password() from None
        raise
    principal = accounts.principal(user, Credential("password"))
    await acts.keep(app, Caller(principal, origin), Act(Action.LOGIN_PASSWORD, f"user:{user.key}"))
    trusted_ms = EXTERNAL_TRUSTED_MS if local is None else OWN_TRUSTED_MS
    _keep_confirmed(app, stamp, key, principal, trusted_ms)
    if local is not None:
        right = (local.id, local.password_hash)
        app.caches.passwords.put(app.caches.stamp(), topics.RIGHT_PASSWORDS, key, right, _PASSWORD_BYTES)
    return principal


async def confirm(app: App, user: User, password: str, origin: Origin) -> None:
    """Have a local user who is signed in already show that it is the one: only the password does, no token.

    Raises PasswordWrong, LoginDelayed, TooManyLogins.
    """
    try:
        await _check_password(app, user.name, password, origin)
    except (Unauthenticated, LoginDelayed) as error:
        await failures.record(app, user.name, origin, error, action=Action.PASSWORD_CONFIRM)
        if isinstance(error, LoginDelayed):
            raise
        raise PasswordWrong("the current password is wrong") from None


async def _check_password(app: App, name: str, password: str, origin: Origin) -> tuple[User, User | None]:
    """The user; and the local one whose password it is, as it was compared, None for a directory's."""
    if len(password) > passwords.PASSWORD_CHARACTERS_MAX or "\x00" in name or len(name) > users.NAME_CHARACTERS_MAX:
        raise failures.wrong_password()
    if name.startswith(ROBOT_PREFIX):
        raise CredentialsInvalid("a robot has no password: sign in with its token")
    counted = lockout.keys(name, origin.address)
    policy = Policy(app.settings.login.failures_free, app.settings.login.delay_seconds_max)
    local, delay = await app.database.read(_look, name, counted, policy, app.clock())
    attempts.require_no_wait(delay)
    _, address, of_name = counted
    async with app.passwords.slot(of_name if delay.known else address, known=delay.known) as slot:
        delay, reserved = await attempts.reserve(app, local, delay, counted, policy, name, password)
        attempts.require_no_wait(delay)
        # For a name that is not here it takes as long, so that time does not tell who is.
        right = await slot.verify(local.password_hash if local else None, password, await _bcrypt_cost(app))
    try:
        if local is not None:
            user = await _own_user(app, local, password, right=right)
        else:
            user = await directories.check(app, name, password)
    except (Unauthenticated, ProviderUnavailable, TooManyLogins) as error:
        if not isinstance(error, Unauthenticated):
            await best_effort.write(app, lockout.give_back, reserved)
        if delay.excepted:
            # As everybody else is answered, or it would tell who is excepted.
            raise attempts.delayed(delay) from None
        raise
    await best_effort.write(app, lockout.succeeded, counted, app.clock(), reserved)
    usable.require(app, user)
    return user, local


def _look(
    connection: Connection, name: str, counted: dict[str, int], policy: Policy, now_ms: int
) -> tuple[User | None, Delay]:
    local = users.find(connection, users.LOCAL, name)
    administrator = local is not None and local.administrator
    return local, lockout.delay(connection, counted, policy, now_ms, administrator=administrator)


async def _bcrypt_cost(app: App) -> int:
    return await app.caches.accounts.remember(
        topics.USERS, "bcrypt cost", lambda: app.database.read(users.bcrypt_cost), _COST_BYTES
    )


async def _own_user(app: App, user: User, password: str, *, right: bool) -> User:
    if not right:
        raise failures.wrong_password()
    # The account that it is linked to is looked at later.
    usable.require(app, user)
    if user.password_hash is not None and passwords.outdated(user.password_hash):
        renewed = await app.passwords.hash(password, user.key)
        # Not if the password was changed meanwhile.
        await app.database.write(
            partial(users.set_password, instead_of=user.password_hash), user.name, renewed, durable=False
        )
    return await app.database.read(users.account, user)
