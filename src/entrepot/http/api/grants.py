"""Grants: who has which role, where, until when and under which condition."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import Field
from starlette.responses import Response

from entrepot.access.conditions import CONDITION_CHARACTERS_MAX
from entrepot.access.errors import GrantUnknown
from entrepot.access.grants import GROUP, USER
from entrepot.access.permissions import Permission
from entrepot.access.places import NAMESPACE, REGISTRY, Place
from entrepot.actions.manage import grants as manage
from entrepot.actions.manage.grants import GrantTerms, Shown
from entrepot.errors import Denied, Invalid
from entrepot.http import authorize
from entrepot.http.api.references import PlaceKind, PlaceModel, Reference, Time, milliseconds, parse_reference, time_of
from entrepot.http.api.resource import (
    After,
    ApiRoute,
    CurrentRequest,
    IfMatch,
    Model,
    Page,
    PageLimit,
    after_number,
    page_of,
    require_match,
    tagged,
)

Number = Annotated[int, Path(ge=1, lt=2**63)]
PathFilter = Annotated[str, Query(max_length=255)]


class UserSubject(Model):
    user: Reference
    """A robot, or a user who has signed in at least once."""


class GroupSubject(Model):
    group: Reference
    """A group. Members of a provider's group need not have signed in yet."""


class AnybodySubject(Model):
    kind: Literal["signed-in", "everyone"]


SubjectModel = UserSubject | GroupSubject | AnybodySubject


class GrantBody(Model):
    role: str = Field(max_length=64)
    subject: SubjectModel
    place: PlaceModel
    condition: str | None = Field(default=None, max_length=CONDITION_CHARACTERS_MAX)
    """A CEL expression about the request. The grant applies only to requests for which it is true."""
    expires_at: Time | None = None


class GrantAnswer(Model):
    id: int
    role: str
    subject: SubjectModel
    place: PlaceModel
    condition: str | None
    expires_at: Time | None
    created_by: str
    created_at: Time


async def listing(
    request: CurrentRequest,
    below: Annotated[PathFilter, Query(description="Only in this namespace or below it.")] = "",
    kind: Annotated[PlaceKind | None, Query(description="Only at one place: its kind, together with `path`.")] = None,
    path: PathFilter = "",
    user: Annotated[str, Query(max_length=320, description="Only for this user or robot, as provider:name.")] = "",
    group: Annotated[str, Query(max_length=320, description="Only for this group, as provider:name.")] = "",
    after: After = "",
    limit: PageLimit = 100,
) -> Page[GrantAnswer]:
    """List grants in the order they were made. For one namespace, use `below`, or `kind` and `path`."""
    place = Place.parse(kind, path) if kind is not None else None
    if place is None and path:
        raise Invalid("path is given without kind: give the kind of the place, too")
    if user and group:
        raise Invalid("user and group are both given: give only one of them")
    if place is not None:
        # Those of one place do not tell what is below it.
        await authorize.require_here(request, place.anchor)
    asked = Place.parse(NAMESPACE, below) if below else Place(REGISTRY, "")
    if place is None or below:
        await authorize.require_here(request, asked)
    subject_kind = USER if user else GROUP if group else ""
    if subject_kind:
        parse_reference(user or group, subject_kind)
    found = await request.app.database.read(
        manage.page,
        after=after_number(after),
        limit=limit + 1,
        place=place,
        below=asked.path,
        subject_kind=subject_kind,
        subject=user or group,
    )
    return page_of([_answer(shown) for shown in found], limit, lambda grant: grant.id)


async def get(request: CurrentRequest, grant_id: Number, response: Response) -> GrantAnswer:
    shown = await _readable(request, grant_id)
    await authorize.require_here(request, shown.grant.place.anchor)
    return tagged(response, _answer(shown))


async def post(request: CurrentRequest, body: GrantBody, response: Response) -> GrantAnswer:
    """Grant a role. If the same grant exists already, it is returned with status 200."""
    place = body.place.place()
    await authorize.require_here(request, place.anchor)
    kind, name = _subject(body.subject)
    expires_at_ms = None if body.expires_at is None else milliseconds(body.expires_at)
    terms = GrantTerms(body.role, kind, name, place, body.condition, expires_at_ms)
    shown, new = await manage.add(request.app, request.caller, terms)
    response.status_code = 201 if new else 200
    return tagged(response, _answer(shown))


async def delete(request: CurrentRequest, grant_id: Number, if_match: IfMatch = None) -> None:
    """Revoke a grant. It no longer applies to the next request."""
    shown = await _readable(request, grant_id)
    await authorize.require_here(request, shown.grant.place)
    await manage.remove(request.app, request.caller, shown, _expect(if_match))


async def _readable(request: CurrentRequest, grant_id: int) -> Shown:
    """Raises GrantUnknown for a grant that the caller may not read, as if it did not exist."""
    unknown = GrantUnknown(f"there is no grant {grant_id} that you may read")
    try:
        shown = await request.app.database.read(manage.require, grant_id)
        await authorize.require(request, Permission.GRANT_READ, shown.grant.place.anchor)
    except (Denied, GrantUnknown):
        raise unknown from None
    return shown


def _subject(subject: SubjectModel) -> tuple[str, str]:
    """The kind of the subject, and its name if it has one."""
    if isinstance(subject, UserSubject):
        return USER, subject.user
    if isinstance(subject, GroupSubject):
        return GROUP, subject.group
    return subject.kind, ""


def _expect(if_match: str | None) -> Callable[[Shown], None]:
    return lambda before: require_match(if_match, _answer(before))


def _answer(shown: Shown) -> GrantAnswer:
    grant = shown.grant
    subject: SubjectModel
    if grant.subject.kind == USER:
        subject = UserSubject(user=shown.subject)
    elif grant.subject.kind == GROUP:
        subject = GroupSubject(group=shown.subject)
    else:
        subject = AnybodySubject.model_construct(kind=grant.subject.kind)
    return GrantAnswer(
        id=grant.id,
        role=grant.role,
        subject=subject,
        place=PlaceModel.of(grant.place),
        condition=grant.condition,
        expires_at=None if grant.expires_at_ms is None else time_of(grant.expires_at_ms),
        created_by=grant.created_by,
        created_at=time_of(grant.created_at_ms),
    )


ROUTES = (
    ApiRoute("GET", "/grants", listing, Permission.GRANT_READ, where=None),
    ApiRoute(
        "POST",
        "/grants",
        post,
        Permission.GRANT_WRITE,
        status=201,
        where=None,
        responses={200: {"model": GrantAnswer, "description": "The same grant exists already."}},
    ),
    ApiRoute("GET", "/grants/{grant_id}", get, Permission.GRANT_READ, where=None),
    ApiRoute("DELETE", "/grants/{grant_id}", delete, Permission.GRANT_WRITE, status=204, where=None),
)
