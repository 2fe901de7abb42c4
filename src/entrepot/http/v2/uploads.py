"""Uploads ("Pushing blobs", "Cancel a blob upload", "Mounting a blob from another repository")."""

import re

from entrepot.actions import mount, upload
from entrepot.content.errors import UploadInvalid
from entrepot.content.uploads import UploadSession
from entrepot.http.messages import Headers, Request, Response
from entrepot.http.reception import LengthMismatch
from entrepot.http.v2.answers import created
from entrepot.oci.digest import Digest, parse_algorithm
from entrepot.oci.errors import DigestInvalid, NameInvalid
from entrepot.oci.name import RepositoryName
from entrepot.storage.store import StoredBlob

_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?(\d{1,19})-(\d{1,19})(?:/(?:\d+|\*))?", re.ASCII)


async def post(request: Request) -> Response:
    """Start an upload, or do all of it at once: by mounting, or with the body."""
    digest = _digest(request, "digest")
    mounted = _digest(request, "mount")
    if mounted is not None and (blob := await _mount(request, mounted)) is not None:
        return _created(request, blob)
    algorithm = digest.algorithm if digest else parse_algorithm(request.query("digest-algorithm") or "sha256")
    session, address = upload.start(request.app, request.principal, request.repository, algorithm)
    if digest is not None and mounted is None:
        blob = await upload.receive_whole(
            request.app, request.caller, session, request.repository, digest, request.pieces()
        )
        return _created(request, blob)
    return Response(202, _progress(request, address, 0))


async def get(request: Request) -> Response:
    state = await upload.status(request.app, _session(request))
    return Response(204, _progress(request, request.reference, state.offset))


async def patch(request: Request) -> Response:
    session = _session(request)
    start, length = _content_range(request)
    state = await upload.append(request.app, session, request.pieces(length), start)
    return Response(202, _progress(request, request.reference, state.offset))


async def put(request: Request) -> Response:
    session = _session(request)
    digest = _digest(request, "digest")
    if digest is None:
        raise DigestInvalid("the digest parameter is missing: finish an upload with PUT …?digest=sha256:…")
    start, length = _content_range(request)
    body = request.pieces(length) if request.has_body else None
    blob = await upload.finish(request.app, request.caller, session, request.repository, digest, body, start)
    return _created(request, blob)


async def delete(request: Request) -> Response:
    await upload.cancel(request.app, _session(request))
    return Response(204)


def _session(request: Request) -> UploadSession:
    return upload.resume(request.app, request.principal, request.repository, request.reference)


def _digest(request: Request, parameter: str) -> Digest | None:
    text = request.query(parameter)
    return None if text is None else Digest.parse(text)


async def _mount(request: Request, digest: Digest) -> StoredBlob | None:
    text = request.query("from")
    try:
        source = RepositoryName.parse(text) if text else None
    except NameInvalid:
        # Another registry's name for it: there is nothing here to mount from, and the client uploads.
        return None
    return await mount.blob(request.app, request.caller, request.repository, digest, source)


def _content_range(request: Request) -> tuple[int | None, int | None]:
    """Where the client puts these bytes and how many there are; None, None when it does not say."""
    text = request.header(b"content-range")
    if text is None:
        return None, None
    match = _CONTENT_RANGE.fullmatch(text.strip())
    if match is None:
        raise UploadInvalid("the Content-Range is not valid: write the first and the last byte, such as 0-1023")
    first, last = int(match.group(1)), int(match.group(2))
    if last < first:
        raise UploadInvalid("the Content-Range ends before it starts")
    if request.content_length is not None and request.content_length != last - first + 1:
        raise LengthMismatch(
            f"the Content-Range has {last - first + 1} bytes, but the body has {request.content_length}"
        )
    return first, last - first + 1


def _created(request: Request, blob: StoredBlob) -> Response:
    return created(f"/v2/{request.repository_text}/blobs/{blob.digest}", blob.digest)


def _progress(request: Request, address: str, offset: int) -> Headers:
    return [
        (b"location", f"/v2/{request.repository_text}/blobs/uploads/{address}".encode()),
        (b"range", b"0-%d" % max(0, offset - 1)),
        (b"docker-upload-uuid", address.partition(".")[0].encode()),
        (b"content-length", b"0"),
    ]
