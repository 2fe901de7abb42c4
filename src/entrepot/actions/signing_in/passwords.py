"""Turns credentials into a principal, and principals into bearer tokens.

What a password may be: a stored token of this registry, a signed token of an issuer that it trusts, or the
password of a user. For the last, the registry's own users are asked first, then the directories in the order of
the settings; the first that knows the name decides.
"""

import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Concatenate, ParamSpec

from sqlalchemy import Connection

from entrepot.access.permissions import REPOSITORY_PERMISSIONS, Permission
from entrepot.actions import accounts, acts, authorize
from entrepot.app import App
from entrepot.audit import record
from entrepot.audit.record import FAILED, REFUSED, Act
from entrepot.errors import EntrepotError, Invalid, RateLimited, StorageFull, Unauthenticated, Unavailable
from entrepot.identity import bearer, groups, lockout, passwords, tokens, users
from entrepot.identity.bearer import Bearer
from entrepot.identity.errors import (
    AccountDisabled,
    AccountLocked,
    CredentialsInvalid,
    LoginDelayed,
    PasswordWrong,
    ProviderUnavailable,
    TokenExpired,
    TokenInvalid,
    TooManyLogins,
)
from entrepot.identity.external import ExternalUser
from entrepot.identity.lockout import Policy, Standing
from entrepot.identity.names import ROBOT_PREFIX
from entrepot.identity.tokens import Token
from entrepot.identity.users import User
from entrepot.oci.errors import NameInvalid
from entrepot.oci.name import RepositoryName
from entrepot.principal import Credential, Limit, Origin, Principal, Scope

P = ParamSpec("P")
log = logging.getLogger(__name__)

BEARER_TOPIC = "bearer"
"""Verified signatures depend on nothing that changes: nobody announces this topic."""
RIGHT_TOPIC = "right passwords"
"""Local users and the hashes that their passwords were compared with. Nobody announces this topic: it is looked whether
the hash is still the user's. Else a change of any user would have everybody's password hashed again, 0.25 s each."""
FORGIVEN_TOPIC = "forgiven"
"""When it was last looked whether somebody who is right had failed before: nobody announces this topic either."""
FORGIVEN_EVERY_MS = 60_000
EXTERNAL_TRUSTED_MS = 60_000
"""How long a password that a directory has confirmed is taken without asking again."""
OWN_TRUSTED_MS = 10**12
"""The same for local users: until something about them changes."""
DAY_MS = 24 * 3600 * 1000
_LIMIT_BYTES = 200
_BCRYPT_COST = "bcrypt cost"
_REFRESHABLE = frozenset({"password", "token", "robot"})
"""Kinds of credentials that a refresh token may stand for."""
_STORED = frozenset({"token", "robot", "refresh"})
"""Kinds of credentials whose id is a stored token's."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A bearer token as its receiver sees it; times are in seconds since the epoch."""

    token: str
    issued_at: int
    expires_in: int
    scopes: tuple[Scope, ...]
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True)
class _Confirmed:
    """Credentials that were right, and until when that is believed."""

    principal: Principal
    until_ms: int


async def with_password(app: App, name: str, password: str, origin: Origin) -> Principal:
    """Raises CredentialsInvalid, AccountDisabled, TooManyLogins, LoginDelayed, ProviderUnavailable."""
    if tokens.looks_like_token(password):
        return await with_token(app, password, origin, name)
    key = hashlib.sha256(f"{len(name)}:{name}{password}".encode("utf-8", "surrogatepass")).digest()
    if (known := _confirmed(app, key) or await _still_right(app, name, key)) is not None:
        await _forgive(app, name, origin)
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
    known: _Confirmed | None = app.cache.get(users.TOPIC, key)
    return known.principal if known is not None and known.until_ms > app.clock() else None


async def _still_right(app: App, name: str, key: bytes) -> Principal | None:
    """Who a local user is whose password was right before, if it is the same and the user may still sign in."""
    right: tuple[int, str] | None = app.cache.get(RIGHT_TOPIC, key)
    if right is None:
        return None
    stamp = app.cache.stamp()
    user = await app.database.look_up(_account_with, name, right)
    if user is None:
        return None
    principal = accounts.principal(user, Credential("password"))
    app.cache.put(stamp, users.TOPIC, key, _Confirmed(principal, app.clock() + OWN_TRUSTED_MS), 600)
    return principal


def _account_with(connection: Connection, name: str, right: tuple[int, str]) -> User | None:
    local = users.find(connection, users.LOCAL, name)
    if local is None or (local.id, local.password_hash) != right or not local.usable:
        return None
    account = users.account(connection, local)
    return account if account.usable else None


async def _forgive(app: App, name: str, origin: Origin) -> None:
    """Forget wrong passwords of who is right, here too, where nothing is checked any more: now and then is enough."""
    counted, now_ms = lockout.keys(name, origin.address), app.clock()
    here = next(iter(counted))
    looked_at_ms: int | None = app.cache.get(FORGIVEN_TOPIC, here)
    if looked_at_ms is not None and looked_at_ms > now_ms - FORGIVEN_EVERY_MS:
        return
    app.cache.put(app.cache.stamp(), FORGIVEN_TOPIC, here, now_ms, 300)
    if await app.database.look_up(lockout.has_failed, counted):
        await _note(app, lockout.succeeded, counted, now_ms)


async def _confirm(app: App, name: str, password: str, origin: Origin, key: bytes) -> Principal:
    stamp = app.cache.stamp()
    try:
        user, local = await _check_password(app, name, password, origin)
    except (Unauthenticated, LoginDelayed) as error:
        await _failed(app, name, origin, error)
        if isinstance(error, AccountLocked):
            raise _wrong() from None
        raise
    principal = accounts.principal(user, Credential("password"))
    await acts.keep(app, principal, origin, Act("login:password", f"user:{user.key}"))
    trusted_ms = EXTERNAL_TRUSTED_MS if local is None else OWN_TRUSTED_MS
    app.cache.put(stamp, users.TOPIC, key, _Confirmed(principal, app.clock() + trusted_ms), 600)
    if local is not None:
        app.cache.put(app.cache.stamp(), RIGHT_TOPIC, key, (local.id, local.password_hash), 600)
    return principal


async def confirm_password(app: App, user: User, password: str, origin: Origin) -> None:
    """Have a local user who is signed in already show that it is the one: only the password does, no token.

    Raises PasswordWrong, LoginDelayed, TooManyLogins.
    """
    try:
        await _check_password(app, user.name, password, origin)
    except (Unauthenticated, LoginDelayed) as error:
        await _failed(app, user.name, origin, error, action="password:confirm")
        if isinstance(error, LoginDelayed):
            raise
        raise PasswordWrong("the current password is wrong") from None


async def with_token(app: App, text: str, origin: Origin, name: str | None = None) -> Principal:
    """Who a stored token is for. `name`, when one is given beside it, has to be the owner's. Raises TokenInvalid."""
    token_id = tokens.parse_id(text)
    token, user = await _find_token(app, token_id) if token_id is not None else (None, None)
    now_ms = app.clock()
    if token is None or user is None or token.kind == tokens.REFRESH or not tokens.matches(token, text):
        error = TokenInvalid("the token is not valid, or was revoked: make a new one")
        raise await _failed(app, name or "", origin, error, action="login:token")
    try:
        if await _ended(app, token):
            raise TokenInvalid(f"the token {token.name} has expired: make a new one")
        if name is not None and name not in _login_names(user):
            raise TokenInvalid("the token belongs to another user: sign in with that user's name")
        _require_usable(app, user)
    except Unauthenticated as error:
        raise await _failed(app, name or user.name, origin, error, action="login:token", token=token) from None
    if token.used_at_ms is None or token.used_at_ms < now_ms - tokens.USED_EVERY_MS:
        await _note_use(app, token, origin)
    kind = "robot" if user.is_robot else "token"
    return accounts.principal(user, Credential(kind, token.id), token.limits)


async def with_bearer(app: App, token: str, origin: Origin) -> Principal:
    """Raises TokenInvalid."""
    if tokens.looks_like_token(token):
        return await with_token(app, token, origin)
    now = app.clock() // 1000
    app.keys.token.refresh()
    key = (app.keys.token.version, token)
    known: Bearer | None = app.cache.get(BEARER_TOPIC, key)
    if known is None:
        # Verifying takes 120 microseconds, remembering none.
        try:
            known = bearer.verify(app.keys.token, token, now)
        except TokenExpired:
            raise
        except TokenInvalid as error:
            raise await _failed(app, "", origin, error, action="login:bearer") from None
        # Those that are long are made of many small objects.
        app.cache.put(app.cache.stamp(), BEARER_TOPIC, key, known, 10 * len(token))
    if known.expires_at + bearer.LEEWAY_SECONDS < now:
        raise TokenInvalid("the bearer token has expired: get a new one")
    principal = known.principal
    if principal.is_anonymous:
        return principal
    user = await accounts.by_id(app, principal.user_id or 0)
    if user is None:
        raise TokenInvalid("the bearer token's user is not there any more")
    if user.epoch != principal.epoch:
        raise TokenInvalid("the user was signed out, or got another password: get a new bearer token")
    _require_usable(app, user)
    if user.name != principal.name:
        principal = replace(principal, name=user.name)
    if principal.credential.kind in _STORED:
        # A bearer token reaches no further than the stored token it was got with, and ends with it.
        return replace(principal, limits=await _limits_of(app, principal.credential.id))
    return principal


async def with_external_user(
    app: App, provider: str, known: ExternalUser, origin: Origin, *, credential: Credential, action: str
) -> Principal:
    """Who a provider's user is here: made or brought up to date, and recorded as signed in.

    Raises AccountDisabled.
    """
    user = await _provision(app, provider, known)
    principal = accounts.principal(user, credential)
    # Names change, and are given to others: what the provider identifies the user by does not.
    detail = {"provider": provider, "subject": known.subject}
    try:
        _require_usable(app, user)
    except AccountDisabled as error:
        refused = Act(action, f"user:{user.key}", outcome=REFUSED, reason=error.message, detail=detail)
        await acts.keep(app, principal, origin, refused)
        raise
    await acts.keep(app, principal, origin, Act(action, f"user:{user.key}", detail=detail))
    return principal


async def issue_token(
    app: App, principal: Principal, requested: list[str], origin: Origin, *, offline: bool = False
) -> IssuedToken:
    """A token for what was asked and is allowed, which may be nothing. Raises Invalid for a malformed scope.

    `offline` asks for a refresh token beside it, which only a password or a stored token gets: what a workload, a
    browser or a certificate shows is over sooner.
    """
    offline = offline and principal.credential.kind in _REFRESHABLE
    scopes = []
    refused = []
    for scope in _parse(requested):
        granted = await _granted(app, principal, origin, scope)
        if granted.actions:
            scopes.append(granted)
        if scope.actions - granted.actions - {"*"}:
            refused.append(f"{scope.type}:{scope.name}:{','.join(sorted(scope.actions - granted.actions))}")
    now, lifetime = app.clock() // 1000, app.settings.token.lifetime_seconds
    token = bearer.issue(app.keys.token.newest(), principal, tuple(scopes), now, lifetime)
    refresh = None
    if not principal.is_anonymous:
        detail: dict[str, object] = {
            "granted": [f"{s.type}:{s.name}:{','.join(sorted(s.actions))}" for s in scopes],
            "not_granted": refused,
            "refresh_token": offline,
        }
        act = Act("token:issue", f"user:{principal.key}", detail=detail)
        if offline:
            composed = await acts.compose(app, principal, origin, act)
            refresh = await app.database.write(_record_refreshable, app, principal, composed)
        else:
            await acts.keep(app, principal, origin, act)
    return IssuedToken(token, now, lifetime, tuple(scopes), refresh)


async def with_refresh_token(app: App, text: str, origin: Origin) -> Principal:
    """Who a refresh token was issued to; it lives on by being used. Raises TokenInvalid."""
    token_id = tokens.parse_id(text)
    token, user = await _find_token(app, token_id) if token_id is not None else (None, None)
    now_ms = app.clock()
    wrong = token is None or token.kind != tokens.REFRESH or not tokens.matches(token, text)
    try:
        if token is None or user is None or wrong or await _ended(app, token):
            raise TokenInvalid("the refresh token is not valid, was revoked or has expired: sign in again")
        _require_usable(app, user)
    except Unauthenticated as error:
        who = user.name if user else ""
        raise await _failed(app, who, origin, error, action="login:refresh", token=token) from None
    if token.used_at_ms is None or token.used_at_ms < now_ms - tokens.USED_EVERY_MS:
        expires_at_ms = now_ms + app.settings.token.refresh_lifetime_seconds * 1000
        await _note(app, tokens.used, token.id, origin.address, now_ms, expires_at_ms)
    return accounts.principal(user, Credential("refresh", token.id), token.limits)


def _record_refreshable(connection: Connection, app: App, principal: Principal, act: bytes) -> str | None:
    record.write(connection, act)
    user = users.get(connection, principal.user_id or 0)
    if user is None:
        return None
    now_ms = app.clock()
    expires_at_ms = now_ms + app.settings.token.refresh_lifetime_seconds * 1000
    # A refresh token reaches as far as what it was got with, and goes when that goes.
    parent = principal.credential.id if principal.credential.kind in _STORED else ""
    if parent:
        source = tokens.find(connection, parent)
        if source is not None and source.expires_at_ms is not None:
            expires_at_ms = min(expires_at_ms, source.expires_at_ms)
    name = f"docker login ({parent})" if parent else "docker login"
    _, text = tokens.add(
        connection,
        tokens.REFRESH,
        user,
        name,
        limits=principal.limits,
        expires_at_ms=expires_at_ms,
        now_ms=now_ms,
        parent_id=parent or None,
    )
    return text


async def _check_password(app: App, name: str, password: str, origin: Origin) -> tuple[User, User | None]:
    """The user; and the local one whose password it is, as it was compared, None for a directory's."""
    if len(password) > passwords.PASSWORD_CHARACTERS_MAX or "\x00" in name or len(name) > users.NAME_CHARACTERS_MAX:
        raise _wrong()
    if name.startswith(ROBOT_PREFIX):
        raise CredentialsInvalid("a robot signs in with its token")
    counted = lockout.keys(name, origin.address)
    policy = Policy(app.settings.login.failures_free, app.settings.login.delay_seconds_max)
    local, standing = await app.database.read(_look, name, counted, policy, app.clock())
    _require_no_wait(standing)
    _, address, of_name = counted
    async with app.passwords.place(of_name if standing.known else address, known=standing.known) as place:
        standing, reserved = await _reserve(app, local, standing, counted, policy, name, password)
        _require_no_wait(standing)
        # For a name that is not here it takes as long, so that time does not tell who is.
        right = await place.verify(local.password_hash if local else None, password, await _bcrypt_cost(app))
    try:
        if local is not None:
            user = await _own_user(app, local, password, right=right)
        else:
            user = await _directory_user(app, name, password)
    except (Unauthenticated, ProviderUnavailable, TooManyLogins) as error:
        if not isinstance(error, Unauthenticated):
            await _note(app, lockout.give_back, reserved)
        if standing.excepted:
            # As everybody else is answered, or it would tell who is excepted.
            raise _delayed(standing) from None
        raise
    await _note(app, lockout.succeeded, counted, app.clock(), reserved)
    _require_usable(app, user)
    return user, local


def _look(
    connection: Connection, name: str, counted: dict[str, int], policy: Policy, now_ms: int
) -> tuple[User | None, Standing]:
    local = users.find(connection, users.LOCAL, name)
    administrator = local is not None and local.administrator
    return local, lockout.standing(connection, counted, policy, now_ms, administrator=administrator)


async def _reserve(
    app: App,
    local: User | None,
    standing: Standing,
    counted: dict[str, int],
    policy: Policy,
    name: str,
    password: str,
) -> tuple[Standing, tuple[str, ...]]:
    """Count the try before it is checked; what stands before it now, and what was counted."""
    text = f"{len(name)}:{name}{password}".encode("utf-8", "surrogatepass")
    attempt = hmac.digest(app.keys.upload, b"login attempt " + text, "sha256")[:16]
    administrator = local is not None and local.administrator
    try:
        return await app.database.write_soon(
            lockout.reserve, counted, policy, app.clock(), attempt, administrator=administrator
        )
    except Unavailable as error:
        log.warning("a login cannot be counted: %s", error.message)
        return standing, ()


def _require_no_wait(standing: Standing) -> None:
    """Raises LoginDelayed."""
    if standing.wait and not standing.excepted:
        raise _delayed(standing)


def _delayed(standing: Standing) -> LoginDelayed:
    return LoginDelayed(f"too many wrong passwords: try again in {standing.wait} seconds", standing.wait)


async def _bcrypt_cost(app: App) -> int:
    known: int | None = app.cache.get(users.TOPIC, _BCRYPT_COST)
    if known is None:
        stamp = app.cache.stamp()
        known = await app.database.read(users.bcrypt_cost)
        app.cache.put(stamp, users.TOPIC, _BCRYPT_COST, known, 100)
    return known


async def _own_user(app: App, user: User, password: str, *, right: bool) -> User:
    if not right:
        raise _wrong()
    # The account that it is linked to is looked at later.
    _require_usable(app, user)
    if user.password_hash is not None and passwords.outdated(user.password_hash):
        renewed = await app.passwords.hash(password, user.key)
        # Not if the password was changed meanwhile.
        await app.database.write_soon(users.set_password, user.name, renewed, instead_of=user.password_hash)
    return await app.database.read(users.account, user)


async def _directory_user(app: App, name: str, password: str) -> User:
    """Ask the directories in order. One that does not answer is passed over, unless nobody else knows the name."""
    unavailable: ProviderUnavailable | None = None
    for directory in app.directories:
        try:
            known = await directory.authenticate(name, password)
        except CredentialsInvalid:
            # In the same words as for everybody.
            raise _wrong() from None
        except ProviderUnavailable as error:
            unavailable = unavailable or error
            continue
        if known is not None:
            return await _provision(app, directory.name, known)
    if unavailable is not None:
        raise unavailable
    raise _wrong()


async def _provision(app: App, provider: str, known: ExternalUser) -> User:
    try:
        return await app.database.write(_provision_row, provider, known, app.clock())
    except StorageFull:
        # Who was here before is let in as before.
        user = await app.database.read(users.find_subject, provider, known.subject)
        if user is None or user.gone:
            raise
        return await app.database.read(users.account, user)


async def _note(
    app: App, function: Callable[Concatenate[Connection, P], object], *args: P.args, **kwargs: P.kwargs
) -> None:
    """Write down what only helps: nobody is kept out because a disk is full."""
    try:
        await app.database.write_soon(function, *args, **kwargs)
    except Unavailable as error:
        log.warning("what is known of a login cannot be written: %s", error.message)


def _provision_row(connection: Connection, provider: str, known: ExternalUser, now_ms: int) -> User:
    user = users.provision(connection, provider, known, now_ms)
    account = users.account(connection, user)
    # The groups are those of the login, whoever it is linked to.
    groups.set_of_user(connection, account, provider, known.groups, now_ms)
    return account if user.usable else user


async def _find_token(app: App, token_id: str) -> tuple[Token | None, User | None]:
    """The token, and who signs in with it: its owner, or the account that the owner is another login of."""
    token: Token | None = app.cache.get(tokens.TOPIC, token_id)
    if token is None:
        stamp = app.cache.stamp()
        token = await app.database.look_up(tokens.find, token_id)
        if token is None:
            return None, None
        app.cache.put(stamp, tokens.TOPIC, token_id, token, 1200 + _LIMIT_BYTES * len(token.limits or ()))
    # By number: its name may have become another user's.
    owner = await accounts.by_id(app, token.user_id)
    if owner is None or owner.linked_to is None or not owner.usable:
        return token, owner
    return token, await accounts.by_id(app, owner.linked_to) or owner


async def _ended(app: App, token: Token) -> bool:
    """Whether it has expired, or what it was got with has, or is not there any more."""
    now_ms = app.clock()
    while not token.expired(now_ms):
        if token.parent_id is None:
            return False
        parent, _ = await _find_token(app, token.parent_id)
        if parent is None:
            return True
        token = parent
    return True


async def _limits_of(app: App, token_id: str) -> tuple[Limit, ...] | None:
    token, _ = await _find_token(app, token_id)
    if token is None or await _ended(app, token):
        raise TokenInvalid("the token that this bearer token was got with was revoked or has expired")
    return token.limits


async def _note_use(app: App, token: Token, origin: Origin) -> None:
    now_ms = app.clock()
    await _note(app, tokens.used, token.id, origin.address, now_ms)
    # Only what is still remembered: the token may have been revoked meanwhile.
    stamp = app.cache.stamp()
    known: Token | None = app.cache.get(tokens.TOPIC, token.id)
    if known is not None:
        app.cache.put(stamp, tokens.TOPIC, token.id, replace(known, used_at_ms=now_ms), 1200)


async def _failed(
    app: App,
    name: str,
    origin: Origin,
    error: EntrepotError,
    action: str = "login:password",
    token: Token | None = None,
) -> EntrepotError:
    """Record the failure; what to raise, which is LoginDelayed where there were too many from there.

    Who has the right credentials never comes here, however many wrong ones came from the same address.
    """
    # Some give their token as the name: the log is read by many, and must not have it.
    name = tokens.redacted(name[: users.NAME_CHARACTERS_MAX])
    detail = {"token": token.id} if token is not None else None
    act = Act(action, f"user:{name}", outcome=FAILED, reason=error.message, detail=detail)
    wait = await acts.fail(app, origin, act)
    return LoginDelayed(f"too many wrong credentials: try again in {wait} seconds", wait) if wait else error


async def _granted(app: App, principal: Principal, origin: Origin, scope: Scope) -> Scope:
    nothing = replace(scope, actions=frozenset())
    if scope.type == "registry" and scope.name == "catalog":
        granted = await authorize.user_may(app, principal, origin, Permission.REGISTRY_CATALOG, None)
        return scope if granted else nothing
    if scope.type.partition("(")[0] != "repository":
        return nothing
    try:
        repository = RepositoryName.parse(scope.name)
    except NameInvalid:
        return nothing
    actions = set()
    for permission in REPOSITORY_PERMISSIONS:
        asked = permission.action in scope.actions or "*" in scope.actions
        if asked and await authorize.user_may(app, principal, origin, permission, repository):
            actions.add(permission.action)
    return Scope("repository", repository, frozenset(actions))


def _parse(requested: list[str]) -> list[Scope]:
    """Each is `type:name:action,action`; a name may have a host and port in it."""
    scopes = []
    for text in requested:
        type_, _, rest = text.partition(":")
        name, _, actions = rest.rpartition(":")
        if not name:
            raise Invalid("a scope is written type:name:action,action", {"scope": text[:200]})
        scopes.append(Scope(type_, name, frozenset(filter(None, actions.split(",")))))
    return scopes


def _login_names(user: User) -> tuple[str, ...]:
    return (f"{ROBOT_PREFIX}{user.name}",) if user.is_robot else (user.name,)


def _require_usable(app: App, user: User) -> None:
    """Raises AccountDisabled, and TokenInvalid for who has to sign in by the provider again."""
    days = app.sign_in_again_days.get(user.provider, 0)
    if days and (user.refreshed_at_ms or 0) < app.clock() - days * DAY_MS:
        raise TokenInvalid(
            f"{user.name} has not signed in by {user.provider} for {days} days: sign in there again, in a browser or "
            "with entrepot login"
        )
    if user.gone:
        raise AccountDisabled(f"{user.name} is not known to the provider {user.provider} any more, or disabled there")
    if user.disabled:
        raise AccountDisabled(f"{user.name} is disabled in this registry: ask an administrator")


def _wrong() -> CredentialsInvalid:
    return CredentialsInvalid("the user name or the password is wrong")
