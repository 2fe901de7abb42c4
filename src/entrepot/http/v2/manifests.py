"""Manifests ("Pulling manifests", "Pushing Manifests", "Deleting Manifests", "Deleting Tags")."""

import asyncio
from contextlib import nullcontext

from entrepot.actions import delete as delete_action
from entrepot.actions import pull, push
from entrepot.content.preconditions import Precondition, known_digests
from entrepot.errors import TooLarge
from entrepot.http.messages import Request, Response
from entrepot.http.v2.answers import accepted, created, digest_header
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid
from entrepot.oci.manifest import MANIFEST_BYTES_MAX, ManifestDocument
from entrepot.oci.name import Tag, parse_reference

TAGS_IN_REQUEST_MAX = 50
LARGE_BYTES = 128 * 1024
"""A manifest of more than that is read in a thread, one at a time: it takes up to 60 ms."""


class TooManyTags(TooLarge):
    code = "too_many_tags"


async def get(request: Request) -> Response:
    reference = parse_reference(request.reference)
    known = known_digests(request.header(b"if-none-match"))
    if request.method == "GET":
        stored = await pull.manifest(request.app, request.caller, request.repository, reference, known)
    else:
        stored = await pull.find_manifest(request.app, request.repository, reference)
    headers = [
        (b"content-type", stored.media_type.encode()),
        (b"content-length", b"%d" % len(stored.payload)),
        digest_header(stored.digest),
        (b"etag", b'"%s"' % stored.digest.encode()),
    ]
    if stored.digest in known:
        return Response(304, headers[2:])
    return Response(200, headers, stored.payload)


async def put(request: Request) -> Response:
    reference = parse_reference(request.reference)
    names = [Tag.parse(name) for name in request.query_all("tag")]
    if len(names) > TAGS_IN_REQUEST_MAX:
        raise TooManyTags(f"too many tags: give at most {TAGS_IN_REQUEST_MAX} with one manifest")
    payload = await request.body(MANIFEST_BYTES_MAX)
    digest = _digest(reference, payload)
    if isinstance(reference, Tag):
        names.append(reference)
    async with request.app.large_manifests if len(payload) > LARGE_BYTES else nullcontext():
        document = await _parse(payload, request.header(b"content-type") or "")
        pushed = await push.manifest(
            request.app,
            request.caller,
            request.repository,
            reference,
            digest,
            names,
            document,
            _precondition(request),
        )
    headers = [(b"oci-tag", tag.encode()) for tag in pushed.tags]
    if pushed.subject is not None:
        headers.append((b"oci-subject", pushed.subject.encode()))
    return created(f"/v2/{request.repository_text}/manifests/{reference}", digest, headers)


async def delete(request: Request) -> Response:
    reference = parse_reference(request.reference)
    app, caller = request.app, request.caller
    if isinstance(reference, Tag):
        await delete_action.tag(app, caller, request.repository, reference, _precondition(request))
    else:
        await delete_action.manifest(app, caller, request.repository, reference, _precondition(request))
    return accepted()


async def _parse(payload: bytes, content_type: str) -> ManifestDocument:
    """Raises what `ManifestDocument.parse` raises."""
    if len(payload) <= LARGE_BYTES:
        return ManifestDocument.parse(payload, content_type)
    return await asyncio.to_thread(ManifestDocument.parse, payload, content_type)


def _precondition(request: Request) -> Precondition:
    return Precondition.parse(request.header(b"if-match"), request.header(b"if-none-match"))


def _digest(reference: Digest | Tag, payload: bytes) -> Digest:
    if not isinstance(reference, Digest):
        return Digest.of(payload)
    digest = Digest.of(payload, reference.algorithm)
    if digest != reference:
        raise DigestInvalid(
            "the digest of the sent manifest differs from the digest in the URL",
            {"announced": reference, "received": digest},
        )
    return digest
