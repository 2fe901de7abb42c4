"""Blobs ("Pulling blobs", "Deleting Blobs")."""

from entrepot.actions import delete as delete_action
from entrepot.actions import pull
from entrepot.content.preconditions import known_digests
from entrepot.http.messages import Request, Response
from entrepot.http.streaming import blob_response
from entrepot.http.v2.answers import accepted, digest_header
from entrepot.oci.digest import Digest
from entrepot.storage.driver import Access


async def get(request: Request) -> Response:
    digest = Digest.parse(request.reference)
    known = known_digests(request.header(b"if-none-match"))
    access: Access | None
    if request.method == "GET":
        blob, access = await pull.blob(request.app, request.caller, request.repository, digest, known)
    else:
        blob = await pull.find_blob(request.app, request.repository, digest)
        access = None if digest in known else await request.app.store.open(blob)
    headers = [
        (b"content-type", b"application/octet-stream"),
        digest_header(digest),
        (b"cache-control", b"private, max-age=31536000, immutable"),
    ]
    return blob_response(request, blob, access, headers)


async def delete(request: Request) -> Response:
    digest = Digest.parse(request.reference)
    await delete_action.blob(request.app, request.caller, request.repository, digest)
    return accepted()
