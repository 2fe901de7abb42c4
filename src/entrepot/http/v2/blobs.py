"""Blobs ("Pulling blobs", "Deleting Blobs")."""

from entrepot.actions import pull
from entrepot.content import blobs
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
    return await blob_response(request, blob, headers)


async def delete(request: Request) -> Response:
    digest = Digest.parse(request.reference)
    await request.app.database.write(blobs.unlink, request.repository, digest)
    return accepted()
