"""What can be listed ("Determining Support", "Listing Tags", "Listing Referrers", the catalog)."""

from entrepot.actions import authorize
from entrepot.content import referrers, repositories, tags
from entrepot.errors import Invalid
from entrepot.http.messages import Request, Response, json_response
from entrepot.http.pagination import next_link, page_size
from entrepot.oci import media_types
from entrepot.oci.digest import Digest

REFERRERS_BYTES_MAX = 4 * 1024 * 1024
"""A page of referrers is an image index, and clients do not read larger ones."""
REFERRERS_PAGE_MAX = 1000


async def ping(request: Request) -> Response:
    return json_response(200, {}, [(b"docker-distribution-api-version", b"registry/2.0")])


async def catalog(request: Request) -> Response:
    size = page_size(request)
    reader = await authorize.reader(request.app, request.caller)
    names = await request.app.database.read(repositories.names, reader, request.query_text("last"), size + 1)
    more = next_link("/v2/_catalog", n=size, last=names[size - 1]) if len(names) > size > 0 else []
    return json_response(200, {"repositories": names[:size]}, more)


async def tag_list(request: Request) -> Response:
    size = page_size(request)
    names = await request.app.database.read(tags.names, request.repository, request.query_text("last"), size + 1)
    path = f"/v2/{request.repository_text}/tags/list"
    more = next_link(path, n=size, last=names[size - 1]) if len(names) > size > 0 else []
    return json_response(200, {"name": request.repository_text, "tags": names[:size]}, more)


async def referrers_list(request: Request) -> Response:
    subject = Digest.parse(request.reference)
    artifact_type = request.query_text("artifactType") or None
    size = min(page_size(request), REFERRERS_PAGE_MAX) or REFERRERS_PAGE_MAX
    after = _position(request.query("last"))
    found = await request.app.database.read(
        referrers.descriptors, request.repository, subject, artifact_type, after, size + 1
    )
    page = _fitting(found[:size])
    body = b'{"schemaVersion":2,"mediaType":"%s","manifests":[%s]}' % (
        media_types.OCI_INDEX.encode(),
        b",".join(descriptor for _, descriptor in page),
    )
    headers = [(b"content-type", media_types.OCI_INDEX.encode()), (b"content-length", b"%d" % len(body))]
    if artifact_type is not None:
        headers.append((b"oci-filters-applied", b"artifactType"))
    if len(page) < len(found):
        path = f"/v2/{request.repository_text}/referrers/{subject}"
        headers += next_link(path, artifactType=artifact_type, n=size, last=page[-1][0])
    return Response(200, headers, body)


def _position(text: str | None) -> int:
    """Where the page before ended, as its Link header said."""
    if not text:
        return 0
    if not text.isdecimal() or not text.isascii() or len(text) > 18:
        raise Invalid("last is not valid: follow the Link header of the previous page", {"last": text[:50]})
    return int(text)


def _fitting(found: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The first descriptors that fit into one index, and one at the least."""
    total = 0
    for count, (_, descriptor) in enumerate(found):
        total += len(descriptor) + 1
        if total > REFERRERS_BYTES_MAX and count:
            return found[:count]
    return found
