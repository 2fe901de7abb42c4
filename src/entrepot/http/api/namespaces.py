"""Namespaces: whether the repositories below them are public or private."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import Path
from starlette.responses import Response

from entrepot.access.decision import Where
from entrepot.access.permissions import Permission
from entrepot.actions import authorize as decisions
from entrepot.actions.manage import namespaces as manage
from entrepot.http.api.resource import (
    After,
    ApiRoute,
    CurrentRequest,
    IfMatch,
    Model,
    Page,
    PageLimit,
    page_of,
    require_match,
    tagged,
)
from entrepot.http.messages import Request
from entrepot.namespaces import namespaces
from entrepot.namespaces.namespaces import ROOT_POSITION, Visibility
from entrepot.oci.name import RepositoryName

PathOf = Annotated[str, Path(max_length=256, description="A namespace or a repository; empty for the whole registry.")]
VisibilityWord = Literal["public", "private"]


class NamespaceBody(Model):
    visibility: VisibilityWord


class NamespaceEntry(Model):
    """A namespace with a setting. `path` is empty for the whole registry."""

    path: str
    visibility: VisibilityWord


class NamespaceAnswer(Model):
    path: str
    visibility: VisibilityWord
    """The effective visibility. `public` lets everyone pull."""
    source: str | None
    """The path of the deciding setting, its own or of a namespace above. Null: nothing is set, so it is private."""


async def listing(request: CurrentRequest, after: After = "", limit: PageLimit = 100) -> Page[NamespaceEntry]:
    """List the namespaces with a setting of their own that the caller may read."""
    reader = await decisions.reader(request.app, request.caller, Permission.NAMESPACE_READ)
    found = await request.app.database.read(manage.page, reader, after=after, limit=limit + 1)
    entries = [NamespaceEntry(path=entry.path, visibility=word(entry.public)) for entry in found]
    return page_of(entries, limit, lambda entry: entry.path or ROOT_POSITION)


async def get(request: CurrentRequest, path: PathOf, response: Response) -> NamespaceAnswer:
    name = _parse(path)
    return tagged(response, _answer(await request.app.database.read(namespaces.visibility, name)))


async def put(
    request: CurrentRequest, path: PathOf, body: NamespaceBody, response: Response, if_match: IfMatch = None
) -> NamespaceAnswer:
    """Make everything below public or private, except what has a setting of its own."""
    name = _parse(path)
    now, new = await manage.put(
        request.app, request.caller, name, _expect(if_match), public=body.visibility == "public"
    )
    response.status_code = 201 if new else 200
    return tagged(response, _answer(now))


async def delete(request: CurrentRequest, path: PathOf, if_match: IfMatch = None) -> None:
    """Remove the setting, so that the namespace above decides again."""
    name = _parse(path)
    await manage.inherit(request.app, request.caller, name, _expect(if_match))


def _parse(path: str) -> str:
    """Raises NameInvalid."""
    return RepositoryName.parse(path) if path else ""


def word(public: bool) -> VisibilityWord:
    return "public" if public else "private"


def _expect(if_match: str | None) -> Callable[[Visibility], None]:
    return lambda before: require_match(if_match, _answer(before))


def _answer(found: Visibility) -> NamespaceAnswer:
    return NamespaceAnswer(path=found.path, visibility=word(found.public), source=found.source)


def _at(request: Request) -> Where:
    return _parse(request.parameters["path"]) or None


def _throughout(request: Request) -> Where:
    return manage.place(_parse(request.parameters["path"]))


ROUTES = (
    ApiRoute("GET", "/namespaces", listing, Permission.SIGNED_IN),
    ApiRoute("GET", "/namespaces/{path:path}", get, Permission.NAMESPACE_READ, where=_at),
    ApiRoute(
        "PUT",
        "/namespaces/{path:path}",
        put,
        Permission.NAMESPACE_WRITE,
        where=_throughout,
        responses={201: {"model": NamespaceAnswer, "description": "The setting was created."}},
    ),
    ApiRoute("DELETE", "/namespaces/{path:path}", delete, Permission.NAMESPACE_WRITE, status=204, where=_throughout),
)
