"""The repositories that the caller may pull, and their tags. Only a push creates a repository."""

from typing import Annotated

from fastapi import Path, Query
from starlette.responses import Response

from entrepot.access.decision import Where
from entrepot.access.permissions import Permission
from entrepot.actions import authorize as decisions
from entrepot.content import repositories, tags
from entrepot.http.api.namespaces import VisibilityWord, word
from entrepot.http.api.references import Time, time_of
from entrepot.http.api.resource import After, ApiRoute, CurrentRequest, Model, Page, PageLimit, page_of, tagged
from entrepot.http.messages import Request
from entrepot.oci.name import RepositoryName

RepositoryPath = Annotated[str, Path(max_length=255)]


class RepositoryEntry(Model):
    name: str
    visibility: VisibilityWord
    created_at: Time


class RepositoryAnswer(RepositoryEntry):
    tags: int
    manifests: int
    bytes: int
    """The size of all its blobs. A blob that several repositories share is stored once."""


class TagEntry(Model):
    name: str
    digest: str
    media_type: str
    size: int
    """The size of the manifest itself."""
    pushed_by: str
    """Who pushed the manifest."""
    updated_by: str
    """Who created the tag, or moved it to this manifest."""
    updated_at: Time
    """When the tag was created, or moved to this manifest."""


async def listing(
    request: CurrentRequest,
    below: Annotated[str, Query(max_length=255, description="Only in this namespace or below it.")] = "",
    search: Annotated[str, Query(max_length=255, description="Only names that contain this text.")] = "",
    after: After = "",
    limit: PageLimit = 100,
) -> Page[RepositoryEntry]:
    """List the repositories that the caller may pull from, by name."""
    reader = await decisions.reader(request.app, request.caller)
    found = await request.app.database.read(
        repositories.page, reader, after=after, limit=limit + 1, below=below.strip("/"), text=search
    )
    entries = [
        RepositoryEntry(name=entry.name, visibility=word(entry.public), created_at=time_of(entry.created_at_ms))
        for entry in found
    ]
    return page_of(entries, limit, lambda entry: entry.name)


async def get(request: CurrentRequest, name: RepositoryPath, response: Response) -> RepositoryAnswer:
    found, content = await request.app.database.read(repositories.describe, RepositoryName.parse(name))
    answer = RepositoryAnswer(
        name=found.name,
        visibility=word(found.public),
        created_at=time_of(found.created_at_ms),
        tags=content.tags,
        manifests=content.manifests,
        bytes=content.bytes,
    )
    return tagged(response, answer)


async def tag_listing(
    request: CurrentRequest, name: RepositoryPath, after: After = "", limit: PageLimit = 100
) -> Page[TagEntry]:
    """List the repository's tags, by name."""
    found = await request.app.database.read(tags.page, RepositoryName.parse(name), after=after, limit=limit + 1)
    entries = [
        TagEntry(
            name=tag.name,
            digest=tag.digest,
            media_type=tag.media_type,
            size=tag.size,
            pushed_by=tag.pushed_by,
            updated_by=tag.updated_by,
            updated_at=time_of(tag.updated_at_ms),
        )
        for tag in found
    ]
    return page_of(entries, limit, lambda tag: tag.name)


def _of_the_path(request: Request) -> Where:
    return RepositoryName.parse(request.parameters["name"])


ROUTES = (
    ApiRoute("GET", "/repositories", listing, Permission.REGISTRY_CATALOG),
    # Before the repository itself, which else would be one whose name ends in /tags.
    ApiRoute("GET", "/repositories/{name:path}/tags", tag_listing, Permission.REPOSITORY_PULL, where=_of_the_path),
    ApiRoute("GET", "/repositories/{name:path}", get, Permission.REPOSITORY_PULL, where=_of_the_path),
)
