"""Explains why a user may or may not do something."""

from dataclasses import replace
from typing import Annotated

from fastapi import Query

from entrepot.access.permissions import GRANTABLE, PLACED, Permission
from entrepot.access.rights import Considered
from entrepot.actions import accounts
from entrepot.actions import authorize as decisions
from entrepot.actions import explain as actions
from entrepot.errors import Invalid, NotFound
from entrepot.http import authorize
from entrepot.http.api.references import PlaceModel, Time, parse_reference, time_of
from entrepot.http.api.resource import ApiRoute, CurrentRequest, Model
from entrepot.identity import tokens, users
from entrepot.identity.users import User
from entrepot.oci.name import RepositoryName
from entrepot.principal import ANONYMOUS, NO_CREDENTIAL, Caller, Credential, Origin, Principal

ACTIONS = {permission.value: permission for permission in GRANTABLE}
SHORT = {"pull": "repository:pull", "push": "repository:push", "delete": "repository:delete"}
PermissionText = Annotated[
    str,
    Query(
        description="A permission such as repository:push. pull, push and delete are short for those of a repository.",
        json_schema_extra={"enum": [*sorted(SHORT), *sorted(ACTIONS)]},
    ),
]
ResourceOf = Annotated[
    str,
    Query(max_length=300, description="repository:team/app, namespace:team, a path alone, or registry (the default)."),
]


class ConsideredModel(Model):
    """A grant that applies to the user, and why it does not allow the action."""

    id: int
    role: str
    place: PlaceModel
    through: str
    """`user`, `group`, `signed-in` or `everyone`."""
    group: str | None
    condition: str | None
    expires_at: Time | None
    applies: bool
    missing: str | None


class ExplanationAnswer(Model):
    allowed: bool
    user: str
    action: str
    resource: str
    because: list[str]
    """The reasons, as sentences."""
    advice: list[str]
    """What the user can do to be allowed; empty if the action is allowed."""
    limits: list[str] | None
    """The token's limits; null if it has none."""
    grants: list[ConsideredModel]


async def explain(
    request: CurrentRequest,
    action: PermissionText,
    resource: ResourceOf = "",
    user: Annotated[
        str, Query(max_length=320, description="The user, as provider:name or anonymous; without it, the caller.")
    ] = "",
    token: Annotated[
        str, Query(max_length=16, description="The id of one of the user's tokens, whose limits then apply.")
    ] = "",
    address: Annotated[str, Query(max_length=64, description="The client address to assume, for conditions.")] = "",
    user_agent: Annotated[str, Query(max_length=512, description="The user agent to assume, for conditions.")] = "",
) -> ExplanationAnswer:
    """Explain whether a user may do something, why, and what to do about it.

    Everyone may ask about themselves; asking about others needs `access:explain`. The answer for a repository
    is the same whether it exists or not.
    """
    permission, path = _parse(action, resource)
    principal = request.principal
    own = not user or user == principal.key
    closely = await decisions.may(request.app, request.caller, Permission.ACCESS_EXPLAIN)
    if not own:
        await authorize.require(request, Permission.ACCESS_EXPLAIN, None)
        principal = await _other(request, user)
    if token:
        principal = await _with_token(request, principal, token)
    here = request.origin
    origin = Origin(address or here.address, user_agent or here.user_agent, here.request_id)
    answer = await actions.explain(request.app, Caller(principal, origin), permission, path, closely=closely)
    return ExplanationAnswer(
        allowed=answer.allowed,
        user=principal.key,
        action=permission.value,
        resource=decisions.resource(permission, path),
        because=answer.because,
        advice=answer.advice,
        limits=None if principal.limits is None else [actions.limit_text(limit) for limit in principal.limits],
        grants=[_considered(entry) for entry in answer.considered],
    )


def _parse(action: str, resource: str) -> tuple[Permission, str | None]:
    """Raises Invalid, NameInvalid."""
    permission = ACTIONS.get(SHORT.get(action, action))
    if permission is None:
        raise Invalid(f"this action is unknown: use one of {', '.join([*SHORT, *sorted(ACTIONS)])}")
    kind, colon, path = resource.partition(":")
    if not colon:
        path = "" if kind == "registry" else kind
    elif kind not in {"repository", "namespace"}:
        raise Invalid("the resource is not valid: write repository:NAME, namespace:NAME, a name, or registry")
    if permission not in PLACED or not path:
        return permission, None
    return permission, RepositoryName.parse(path.strip("/"))


async def _other(request: CurrentRequest, user: str) -> Principal:
    if user == ANONYMOUS.key:
        return ANONYMOUS
    found: User = await request.app.database.read(users.require, *parse_reference(user, "user"))
    account: User = await request.app.database.read(users.account, found)
    return accounts.principal(account, NO_CREDENTIAL)


async def _with_token(request: CurrentRequest, principal: Principal, token_id: str) -> Principal:
    """The user, signed in with one of their tokens. Raises TokenUnknown."""
    found = await request.app.database.read(users.find, principal.provider, principal.name)
    if found is None:
        raise NotFound("anonymous users have no tokens: name a user, or leave the token out")
    token = await request.app.database.read(tokens.require, found.id, token_id)
    kind = "robot" if found.is_robot else "token"
    return replace(principal, credential=Credential(kind, token.id), limits=token.limits)


def _considered(entry: Considered) -> ConsideredModel:
    right = entry.right
    return ConsideredModel(
        id=right.grant_id,
        role=right.role.name,
        place=PlaceModel.of(right.place),
        through=right.through,
        group=right.group or None,
        condition=right.condition,
        expires_at=None if right.expires_at_ms is None else time_of(right.expires_at_ms),
        applies=not entry.missing,
        missing=entry.missing or None,
    )


ROUTES = (ApiRoute("GET", "/access/explain", explain, Permission.SIGNED_IN),)
