"""Bearer tokens, which this registry signs for some minutes: what they prove, and what they are issued for."""

from dataclasses import dataclass, replace
from functools import partial

from entrepot.access.permissions import REPOSITORY_PERMISSIONS, Permission
from entrepot.actions import accounts, acts, authorize
from entrepot.actions.signing_in import failures, refresh_tokens, stored_tokens, usable
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.database import topics
from entrepot.errors import Invalid
from entrepot.identity import bearer
from entrepot.identity.bearer import Bearer
from entrepot.identity.errors import TokenExpired, TokenInvalid
from entrepot.oci.errors import NameInvalid
from entrepot.oci.name import RepositoryName
from entrepot.principal import Caller, Origin, Principal, Scope


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A bearer token as its receiver sees it; times are in seconds since the epoch."""

    token: str
    issued_at: int
    expires_in: int
    scopes: tuple[Scope, ...]
    refresh_token: str | None = None


async def check(app: App, token: str, origin: Origin) -> Principal:
    """Raises TokenInvalid."""
    now = app.clock() // 1000
    app.keys.token.refresh()
    # Verifying takes 120 microseconds, remembering none. Those that are long are made of many small objects.
    known = await app.caches.accounts.remember(
        topics.BEARERS,
        (app.keys.token.version, token),
        lambda: _verify(app, token, origin, now),
        10 * len(token),
    )
    if known.expires_at + bearer.LEEWAY_SECONDS < now:
        raise TokenInvalid("the bearer token has expired: get a new one")
    principal = known.principal
    if principal.is_anonymous:
        return principal
    user = await accounts.by_id(app, principal.user_id or 0)
    if user is None:
        raise TokenInvalid("the bearer token's user no longer exists")
    if user.epoch != principal.epoch:
        raise TokenInvalid("the user was signed out or has a new password: get a new bearer token")
    usable.require(app, user)
    if user.name != principal.name:
        principal = replace(principal, name=user.name)
    if principal.credential.kind in stored_tokens.CREDENTIALS:
        # A bearer token reaches no further than the stored token it was got with, and ends with it.
        return replace(principal, limits=await stored_tokens.limits_of(app, principal.credential.id))
    return principal


async def _verify(app: App, token: str, origin: Origin, now: int) -> Bearer:
    try:
        return bearer.verify(app.keys.token, token, now)
    except TokenExpired:
        raise
    except TokenInvalid as error:
        raise await failures.record(app, "", origin, error, action=Action.LOGIN_BEARER) from None


async def issue(
    app: App, principal: Principal, requested: list[str], origin: Origin, *, offline: bool = False
) -> IssuedToken:
    """A token for what was asked and is allowed, which may be nothing. Raises Invalid for a malformed scope.

    `offline` asks for a refresh token beside it, which only a password or a stored token gets: what a workload, a
    browser or a certificate shows is over sooner.
    """
    offline = offline and principal.credential.kind in refresh_tokens.KEPT_BY
    scopes = []
    refused = []
    for scope in _parse(requested):
        granted = await _granted(app, Caller(principal, origin), scope)
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
        act = Act(Action.TOKEN_ISSUE, f"user:{principal.key}", detail=detail)
        if offline:
            add = partial(refresh_tokens.add, app=app, principal=principal)
            refresh = await acts.change(app, Caller(principal, origin), act, add)
        else:
            await acts.keep(app, Caller(principal, origin), act)
    return IssuedToken(token, now, lifetime, tuple(scopes), refresh)


async def _granted(app: App, caller: Caller, scope: Scope) -> Scope:
    nothing = replace(scope, actions=frozenset())
    if scope.type == "registry" and scope.name == "catalog":
        granted = await authorize.may(app, caller, Permission.REGISTRY_CATALOG)
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
        if asked and await authorize.may(app, caller, permission, repository):
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
