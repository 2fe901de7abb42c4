"""Turns credentials into a principal, and principals into bearer tokens."""

import hashlib
from dataclasses import dataclass, replace

from entrepot.access.permissions import REPOSITORY_PERMISSIONS, Permission
from entrepot.actions import authorize
from entrepot.app import App
from entrepot.errors import Invalid
from entrepot.identity import bearer, passwords, users
from entrepot.identity.bearer import Bearer
from entrepot.identity.errors import CredentialsInvalid, TokenInvalid
from entrepot.oci.errors import NameInvalid
from entrepot.oci.name import RepositoryName
from entrepot.principal import REPOSITORY_ACTIONS_MAX, Principal, Scope

BEARER_TOPIC = "bearer"
"""Verified tokens depend on nothing that changes: nobody announces this topic."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A bearer token as its receiver sees it; times are in seconds since the epoch."""

    token: str
    issued_at: int
    expires_in: int
    scopes: tuple[Scope, ...]


async def with_password(app: App, name: str, password: str) -> Principal:
    """Raises CredentialsInvalid, or TooManyLogins when too many wait already."""
    key = hashlib.sha256(f"{len(name)}:{name}{password}".encode("utf-8", "surrogatepass")).digest()
    known: Principal | None = app.cache.get(users.TOPIC, key)
    if known is not None:
        return known
    if len(password) > passwords.PASSWORD_CHARACTERS_MAX or "\x00" in name or len(name) > 255:
        raise _wrong()
    stamp = app.cache.stamp()
    user = await app.database.read(users.find, users.LOCAL, name)
    password_hash = user.password_hash if user else None
    if not await app.passwords.verify(password_hash, password) or user is None:
        raise _wrong()
    principal = Principal(user.provider, user.name)
    app.cache.put(stamp, users.TOPIC, key, principal, 500)
    return principal


def with_bearer(app: App, token: str) -> Principal:
    """Raises TokenInvalid."""
    now = app.clock() // 1000
    known: Bearer | None = app.cache.get(BEARER_TOPIC, token)
    if known is None:
        # Verifying takes 120 microseconds, remembering none.
        known = bearer.verify(app.keys.token, token)
        app.cache.put(app.cache.stamp(), BEARER_TOPIC, token, known, len(token) + 1000)
    if known.expires_at + bearer.LEEWAY_SECONDS < now:
        raise TokenInvalid("the bearer token has expired: get a new one")
    return known.principal


async def issue_token(app: App, principal: Principal, requested: list[str]) -> IssuedToken:
    """A token for what was asked and is allowed, which may be nothing. Raises Invalid for a malformed scope."""
    scopes = []
    for scope in _parse(requested):
        granted = await _granted(app, principal, scope)
        if granted.actions:
            scopes.append(granted)
    now, lifetime = app.clock() // 1000, app.settings.token.lifetime_seconds
    token = bearer.issue(app.keys.token, principal, tuple(scopes), now, lifetime)
    return IssuedToken(token, now, lifetime, tuple(scopes))


async def _granted(app: App, principal: Principal, scope: Scope) -> Scope:
    if scope.type == "registry" and scope.name == "catalog":
        granted = await authorize.user_may(app, principal, Permission.REGISTRY_CATALOG, None)
        return scope if granted else replace(scope, actions=frozenset())
    if scope.type.partition("(")[0] != "repository":
        return replace(scope, actions=frozenset())
    try:
        repository = RepositoryName.parse(scope.name)
    except NameInvalid:
        return replace(scope, actions=frozenset())
    actions = set()
    for permission in REPOSITORY_PERMISSIONS:
        asked = permission.action in scope.actions or "*" in scope.actions
        if asked and await authorize.user_may(app, principal, permission, repository):
            actions.add(permission.action)
    return Scope("repository", repository, frozenset(actions))


def _parse(requested: list[str]) -> list[Scope]:
    """`type:name:action,action`, several in one text separated by spaces; a name may have a host and port in it."""
    scopes = []
    for text in " ".join(requested).split():
        type_, _, rest = text.partition(":")
        name, _, actions = rest.rpartition(":")
        if not name:
            raise Invalid("a scope is written type:name:action,action", {"scope": text[:200]})
        scopes.append(Scope(type_, name, frozenset(filter(None, actions.split(",")))))
    if len(scopes) > REPOSITORY_ACTIONS_MAX:
        raise Invalid(f"ask for {REPOSITORY_ACTIONS_MAX} scopes at most")
    return scopes


def _wrong() -> CredentialsInvalid:
    return CredentialsInvalid("the user name or the password is wrong")
