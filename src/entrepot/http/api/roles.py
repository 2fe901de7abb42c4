"""Roles: the built-in ones, and those that administrators create."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Path
from starlette.responses import Response

from entrepot.access import roles
from entrepot.access.permissions import Permission
from entrepot.access.roles import Role
from entrepot.actions.manage import roles as manage
from entrepot.http.api.resource import ApiRoute, CurrentRequest, IfMatch, Model, Page, require_match, tagged

RoleName = Annotated[str, Path(max_length=64)]


class RoleBody(Model):
    description: str = ""
    permissions: list[str]
    """Some of the permissions that `GET /roles/administrator` lists."""


class RoleAnswer(Model):
    name: str
    description: str
    permissions: list[str]
    built_in: bool


async def listing(request: CurrentRequest) -> Page[RoleAnswer]:
    """List all roles."""
    found = await request.app.database.read(roles.everything)
    return Page(items=[_answer(found[name]) for name in sorted(found)], next=None)


async def get(request: CurrentRequest, name: RoleName, response: Response) -> RoleAnswer:
    return tagged(response, _answer(await request.app.database.read(roles.require, name)))


async def put(
    request: CurrentRequest, name: RoleName, body: RoleBody, response: Response, if_match: IfMatch = None
) -> RoleAnswer:
    """Create or change a role. A change applies from the next request to everyone who has the role."""
    role = roles.parse(name, body.description, body.permissions)
    new = await manage.put(request.app, request.caller, role, _expect(if_match))
    response.status_code = 201 if new else 200
    return tagged(response, _answer(role))


async def delete(request: CurrentRequest, name: RoleName, if_match: IfMatch = None) -> None:
    """Remove a role that nobody has."""
    await manage.remove(request.app, request.caller, name, _expect(if_match))


def _expect(if_match: str | None) -> Callable[[Role | None], None]:
    return lambda before: require_match(if_match, None if before is None else _answer(before))


def _answer(role: Role) -> RoleAnswer:
    return RoleAnswer(
        name=role.name,
        description=role.description,
        permissions=sorted(permission.value for permission in role.permissions),
        built_in=role.built_in,
    )


_NEW: dict[int | str, dict[str, Any]] = {201: {"model": RoleAnswer, "description": "The role was created."}}
ROUTES = (
    ApiRoute("GET", "/roles", listing, Permission.SIGNED_IN),
    ApiRoute("GET", "/roles/{name}", get, Permission.SIGNED_IN),
    ApiRoute("PUT", "/roles/{name}", put, Permission.ROLE_WRITE, responses=_NEW),
    ApiRoute("DELETE", "/roles/{name}", delete, Permission.ROLE_WRITE, status=204),
)
