"""Robots: accounts for programs, with their tokens and trust rules for workloads."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import Field
from starlette.responses import Response

from entrepot.access.decision import Where
from entrepot.access.permissions import Permission
from entrepot.access.places import NAMESPACE, REGISTRY, Place
from entrepot.actions.manage import robots as manage
from entrepot.actions.manage import tokens as manage_tokens
from entrepot.actions.manage.users import View
from entrepot.http import authorize
from entrepot.http.api import tokens
from entrepot.http.api.names import Key, Text, TokenId
from entrepot.http.api.resource import (
    PAGE_DEFAULT,
    After,
    ApiRoute,
    CurrentRequest,
    IfMatch,
    Model,
    Page,
    PageLimit,
    after_number,
    require_match,
    tagged,
)
from entrepot.http.api.tokens import NewToken, RotateBody, TokenAnswer, TokenBody, moment
from entrepot.http.messages import Request
from entrepot.identity import workloads
from entrepot.identity.names import ROBOT_PREFIX
from entrepot.identity.users import User
from entrepot.identity.workloads import TrustRule
from entrepot.oci.name import RepositoryName

RobotName = Annotated[
    str, Path(max_length=255, description="The robot's name; `team/ci` belongs to the namespace `team`.")
]
Below = Annotated[str, Query(max_length=255, description="Only robots of this namespace and of those below it.")]
RuleId = Annotated[int, Path(ge=0, le=2**53)]


class RobotBody(Model):
    """Members that are left out do not change."""

    description: Text = ""
    disabled: bool = False
    owner: Key = ""
    """The user responsible for it, as `provider:name`; by default, who creates it."""


class RobotAnswer(Model):
    name: str
    username: str
    """The user name to sign in with, together with a token."""
    description: str
    disabled: bool
    owner: str | None
    owner_usable: bool | None
    """Whether the owner can still sign in. If not, the robot still works: disable it, or name another owner."""
    created_at: datetime


class TrustRuleBody(Model):
    provider: Text
    """The name of an OIDC provider in the settings."""
    audience: Text
    """The audience that the workload's token must be issued for."""
    claims: Annotated[dict[Text, Text], Field(min_length=1, max_length=workloads.CLAIMS_MAX)]
    """Claims and the patterns they must match. `*` matches anything without `/` and `:`, and `**` anything."""


class TrustRuleAnswer(Model):
    id: int
    provider: str
    audience: str
    claims: dict[str, str]


async def listing(
    request: CurrentRequest, below: Below = "", after: After = "", limit: PageLimit = PAGE_DEFAULT
) -> Page[RobotAnswer]:
    """List robots in the order in which they were created."""
    place = Place(NAMESPACE, RepositoryName.parse(below)) if below else Place(REGISTRY, "")
    await authorize.require_here(request, place)
    found = await request.app.database.read(manage.page, below=below, after=after_number(after), limit=limit + 1)
    shown = found[:limit]
    return Page(items=[_answer(view) for view in shown], next=str(shown[-1].user.id) if len(found) > limit else None)


async def get(request: CurrentRequest, name: RobotName, response: Response) -> RobotAnswer:
    return tagged(response, _answer(await request.app.database.read(manage.get, name)))


async def put(
    request: CurrentRequest, name: RobotName, body: RobotBody, response: Response, if_match: IfMatch = None
) -> RobotAnswer:
    """Create or change a robot. A new robot has no permissions until it gets a grant."""
    wanted = body.model_dump(exclude_unset=True, exclude={"owner"})
    if "description" in wanted:
        wanted["display_name"] = wanted.pop("description")
    owner = body.owner if "owner" in body.model_fields_set else None
    view, new = await manage.put(request.app, request.caller, name, wanted, owner, _expect(if_match))
    response.status_code = 201 if new else 200
    return tagged(response, _answer(view))


async def delete(request: CurrentRequest, name: RobotName, if_match: IfMatch = None) -> None:
    """Remove a robot and its tokens, trust rules, memberships and grants."""
    await manage.remove(request.app, request.caller, name, _expect(if_match))


async def list_tokens(
    request: CurrentRequest, name: RobotName, after: After = "", limit: PageLimit = PAGE_DEFAULT
) -> Page[TokenAnswer]:
    robot = await request.app.database.read(manage.require, name)
    return await tokens.listing(request, robot, after, limit)


async def create_token(request: CurrentRequest, name: RobotName, body: TokenBody) -> NewToken:
    """Create a token for the robot. Limit it to what it is for."""
    robot = await _robot_for_token(request, name)
    made = await manage_tokens.create(request.app, request.caller, robot, tokens.parse(body))
    return tokens.new(request, robot, *made)


async def rotate_token(request: CurrentRequest, name: RobotName, token_id: TokenId, body: RotateBody) -> NewToken:
    """Replace a token with a new one like it. The old one can stay valid for a while."""
    robot = await _robot_for_token(request, name)
    made = await manage_tokens.rotate(request.app, request.caller, robot, token_id, body.overlap_seconds)
    return tokens.new(request, robot, *made)


async def delete_token(request: CurrentRequest, name: RobotName, token_id: TokenId) -> None:
    robot = await request.app.database.read(manage.require, name)
    await manage_tokens.revoke(request.app, request.caller, robot, token_id)


async def list_trust_rules(request: CurrentRequest, name: RobotName) -> Page[TrustRuleAnswer]:
    """List all trust rules of the robot."""
    robot = await request.app.database.read(manage.require, name)
    rules = await request.app.database.read(workloads.of_robot, robot.id)
    return Page(items=[_rule(rule) for rule in rules], next=None)


async def create_trust_rule(request: CurrentRequest, name: RobotName, body: TrustRuleBody) -> TrustRuleAnswer:
    """Let workloads whose tokens have these claims sign in as the robot."""
    manage.namespace_of(name)
    rule = await manage.add_trust_rule(request.app, request.caller, name, body.provider, body.audience, body.claims)
    return _rule(rule)


async def delete_trust_rule(request: CurrentRequest, name: RobotName, rule_id: RuleId) -> None:
    manage.namespace_of(name)
    await manage.remove_trust_rule(request.app, request.caller, name, rule_id)


async def _robot_for_token(request: CurrentRequest, name: str) -> User:
    manage.require_unlimited(request.principal)
    return await request.app.database.read(manage.require, name)


def _expect(if_match: str | None) -> Callable[[View | None], None]:
    return lambda before: require_match(if_match, None if before is None else _answer(before))


def _answer(view: View) -> RobotAnswer:
    user = view.user
    return RobotAnswer(
        name=user.name,
        username=f"{ROBOT_PREFIX}{user.name}",
        description=user.display_name,
        disabled=user.disabled,
        owner=view.owner,
        owner_usable=view.owner_usable,
        created_at=moment(user.created_at_ms),
    )


def _rule(rule: TrustRule) -> TrustRuleAnswer:
    return TrustRuleAnswer(id=rule.id, provider=rule.provider, audience=rule.audience, claims=dict(rule.claims))


def _namespace(request: Request) -> Where:
    return manage.namespace_of(request.parameters["name"])


_TOKENS, _RULES = "/robots/{name:path}/tokens", "/robots/{name:path}/trust-rules"
_ROTATE = _TOKENS + "/{token_id}/rotate"

_NEW: dict[int | str, dict[str, Any]] = {201: {"model": RobotAnswer, "description": "The robot was created."}}

# Names have slashes in them: what comes after a name is looked for first.
ROUTES = (
    ApiRoute("GET", "/robots", listing, Permission.ROBOT_READ, where=None),
    ApiRoute("GET", _TOKENS, list_tokens, Permission.ROBOT_READ, where=_namespace),
    ApiRoute("POST", _TOKENS, create_token, Permission.ROBOT_WRITE, where=_namespace, status=201),
    ApiRoute("POST", _ROTATE, rotate_token, Permission.ROBOT_WRITE, where=_namespace, status=201),
    ApiRoute("DELETE", _TOKENS + "/{token_id}", delete_token, Permission.ROBOT_WRITE, where=_namespace, status=204),
    ApiRoute("GET", _RULES, list_trust_rules, Permission.ROBOT_READ, where=_namespace),
    ApiRoute("POST", _RULES, create_trust_rule, Permission.TRUST_WRITE, status=201),
    ApiRoute("DELETE", _RULES + "/{rule_id}", delete_trust_rule, Permission.TRUST_WRITE, status=204),
    ApiRoute("GET", "/robots/{name:path}", get, Permission.ROBOT_READ, where=_namespace),
    ApiRoute("PUT", "/robots/{name:path}", put, Permission.ROBOT_WRITE, where=_namespace, responses=_NEW),
    ApiRoute("DELETE", "/robots/{name:path}", delete, Permission.ROBOT_WRITE, where=_namespace, status=204),
)
