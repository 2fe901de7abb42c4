"""Groups: local ones with their members, and those of providers."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.responses import Response

from entrepot.access.permissions import Permission
from entrepot.actions.manage import groups as manage
from entrepot.http.api.names import Name, ProviderName, ProviderQuery, Text
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
from entrepot.http.api.tokens import moment
from entrepot.identity import groups
from entrepot.identity.groups import Group
from entrepot.identity.users import LOCAL


class GroupBody(Model):
    description: Text = ""


class GroupAnswer(Model):
    provider: str
    name: str
    description: str
    created_at: datetime


class MemberAnswer(Model):
    provider: str
    name: str


async def listing(
    request: CurrentRequest, provider: ProviderQuery = None, after: After = "", limit: PageLimit = PAGE_DEFAULT
) -> Page[GroupAnswer]:
    """List groups in the order in which they were added."""
    found = await request.app.database.read(groups.page, provider=provider, after=after_number(after), limit=limit + 1)
    shown = found[:limit]
    return Page(items=[_answer(group) for group in shown], next=str(shown[-1].id) if len(found) > limit else None)


async def get(request: CurrentRequest, provider: ProviderName, name: Name, response: Response) -> GroupAnswer:
    return tagged(response, _answer(await request.app.database.read(groups.require, provider, name)))


async def put(
    request: CurrentRequest,
    provider: ProviderName,
    name: Name,
    body: GroupBody,
    response: Response,
    if_match: IfMatch = None,
) -> GroupAnswer:
    """Create a group or change its description. A provider's group can get grants before any member signs in."""
    group, new = await manage.put(request.app, request.caller, provider, name, body.description, _expect(if_match))
    response.status_code = 201 if new else 200
    return tagged(response, _answer(group))


async def delete(request: CurrentRequest, provider: ProviderName, name: Name, if_match: IfMatch = None) -> None:
    """Remove a group and its grants."""
    await manage.remove(request.app, request.caller, provider, name, _expect(if_match))


async def list_members(
    request: CurrentRequest, provider: ProviderName, name: Name, after: After = "", limit: PageLimit = PAGE_DEFAULT
) -> Page[MemberAnswer]:
    """List a group's members; of a provider's group, those who have signed in."""
    database = request.app.database
    group = await database.read(groups.require, provider, name)
    found = await database.read(groups.members, group, after=after_number(after), limit=limit + 1)
    items = [MemberAnswer(provider=member[1], name=member[2]) for member in found[:limit]]
    return Page(items=items, next=str(found[limit - 1][0]) if len(found) > limit else None)


async def put_member(request: CurrentRequest, group: Name, provider: ProviderName, name: Name) -> None:
    """Add a user or a robot to a local group."""
    await manage.add_member(request.app, request.caller, group, provider, name)


async def delete_member(request: CurrentRequest, group: Name, provider: ProviderName, name: Name) -> None:
    await manage.remove_member(request.app, request.caller, group, provider, name)


def _expect(if_match: str | None) -> Callable[[Group | None], None]:
    return lambda before: require_match(if_match, None if before is None else _answer(before))


def _answer(group: Group) -> GroupAnswer:
    return GroupAnswer(
        provider=group.provider,
        name=group.name,
        description=group.description,
        created_at=moment(group.created_at_ms),
    )


_MEMBER = f"/groups/{LOCAL}/{{group}}/members/{{provider}}/{{name:path}}"

_NEW: dict[int | str, dict[str, Any]] = {201: {"model": GroupAnswer, "description": "The group was created."}}

# Providers have groups with slashes in their names: what comes after a name is looked for first.
ROUTES = (
    ApiRoute("GET", "/groups", listing, Permission.GROUP_READ),
    ApiRoute("PUT", _MEMBER, put_member, Permission.GROUP_WRITE, status=204),
    ApiRoute("DELETE", _MEMBER, delete_member, Permission.GROUP_WRITE, status=204),
    ApiRoute("GET", "/groups/{provider}/{name:path}/members", list_members, Permission.GROUP_READ),
    ApiRoute("GET", "/groups/{provider}/{name:path}", get, Permission.GROUP_READ),
    ApiRoute("PUT", "/groups/{provider}/{name:path}", put, Permission.GROUP_WRITE, responses=_NEW),
    ApiRoute("DELETE", "/groups/{provider}/{name:path}", delete, Permission.GROUP_WRITE, status=204),
)
