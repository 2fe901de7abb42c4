"""Blobs ("Pulling blobs", "Deleting Blobs")."""

from entrepot.actions import delete as delete_action
from entrepot.actions import pull
from entrepot.http.messages import Request, Response
from entrepot.http.streaming import blob_response
from entrepot.http.v2.answers import accepted, digest_header
from entrepot.oci.digest import Digest


async def get(request: Request) -> Response:
    digest = Digest.parse(request.reference)
    blob = await pull.blob(request.app, request.repository, digest)
    headers = [
        (b"content-type", b"application/octet-stream"),
        digest_header(digest),
        (b"cache-control", b"private, max-age=31536000, immutable"),
    ]
    response = await blob_response(request, blob, headers)
    if request.method == "GET" and response.status != 304:
        await pull.note_blob(request.app, request.caller, request.repository_text, digest)
    return response


async def delete(request: Request) -> Response:
    digest = Digest.parse(request.reference)
    await delete_action.blob(request.app, request.caller, request.repository, digest)
    return accepted()
