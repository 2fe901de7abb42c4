"""Asks the one decision (`access/decision.py`): joins what is known of the user with what holds for the place."""

from entrepot.access.conditions import Context
from entrepot.access.decision import Asked, Decision, Where, Why, decide, depends_on_grants
from entrepot.access.permissions import PLACED, REPOSITORY_PERMISSIONS, Permission
from entrepot.access.places import Place
from entrepot.access.rights import NO_RIGHTS, Visible
from entrepot.actions import accounts
from entrepot.app import App
from entrepot.content.repositories import Reader
from entrepot.database import topics
from entrepot.namespaces import namespaces
from entrepot.oci.name import RepositoryName
from entrepot.principal import Caller, Limit

_NOTHING = Visible(everything=False)
_VISIBILITY_BYTES = 300
"""What remembering one costs, roughly."""


async def ask(app: App, caller: Caller, permission: Permission, where: Where = None) -> Decision:
    """May the caller do this there? A path is a repository's or a namespace's."""
    asked = Asked(permission, where, Context(caller, app.clock()))
    if permission in app.public_permissions:
        # Also while nothing can be read.
        return decide(asked, None, NO_RIGHTS, everybody=app.public_permissions)
    user = await accounts.find(app, caller.principal)
    rights = await accounts.rights_of(app, user) if depends_on_grants(permission, user) else NO_RIGHTS
    decision = decide(asked, user, rights, everybody=app.public_permissions)
    if decision.why is not Why.NOTHING or permission is not Permission.REPOSITORY_PULL or not isinstance(where, str):
        return decision
    public = await is_public(app, where)
    return decide(asked, user, rights, everybody=app.public_permissions, public=True) if public else decision


async def may(app: App, caller: Caller, permission: Permission, where: Where = None) -> bool:
    return (await ask(app, caller, permission, where)).allowed


async def reader(app: App, caller: Caller, permission: Permission = Permission.REPOSITORY_PULL) -> Reader:
    """What this caller may pull, as lists want it; or where it has another permission.

    The scopes of a bearer token are for repositories alone.
    """
    if caller.principal.scopes is not None and permission not in REPOSITORY_PERMISSIONS:
        return Reader(_NOTHING)
    limits = caller.principal.limits
    visible_by_limits = None if limits is None else _visible_by_limits(limits, permission)
    user = await accounts.find(app, caller.principal)
    if user is not None and not user.usable:
        return Reader(_NOTHING, _NOTHING)
    if user is not None and user.administrator:
        return Reader(Visible(everything=True), visible_by_limits)
    rights = await accounts.rights_of(app, user)
    return Reader(rights.visible(permission, Context(caller, app.clock())), visible_by_limits)


async def is_public(app: App, repository: str) -> bool:
    return await app.caches.accounts.remember(
        topics.NAMESPACES,
        repository,
        lambda: app.database.look_up(namespaces.is_public, RepositoryName(repository)),
        _VISIBILITY_BYTES,
    )


def resource(permission: Permission, where: Where) -> str:
    """How the audit log calls what a permission was asked for."""
    if isinstance(where, Place):
        return place_resource(where)
    if permission not in PLACED or where is None:
        return "registry"
    return f"{'repository' if permission in REPOSITORY_PERMISSIONS else 'namespace'}:{where}"


def place_resource(place: Place) -> str:
    """How the audit log calls a place."""
    return f"{place.kind}:{place.path}" if place.path else "registry"


def _visible_by_limits(limits: tuple[Limit, ...], permission: Permission) -> Visible:
    reaching = [limit for limit in limits if {"*", permission.value} & limit.permissions]
    by_kind = {
        kind: tuple(limit.path for limit in reaching if limit.kind == kind)
        for kind in ("registry", "namespace", "repository", "pattern")
    }
    return Visible(bool(by_kind["registry"]), by_kind["namespace"], by_kind["repository"], by_kind["pattern"])
