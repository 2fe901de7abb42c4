"""Headers that several of the API's answers share."""

from entrepot.http.messages import Headers, Response
from entrepot.oci.digest import Digest


def digest_header(digest: Digest) -> tuple[bytes, bytes]:
    return (b"docker-content-digest", digest.encode())


def created(location: str, digest: Digest, headers: Headers | None = None) -> Response:
    common = [(b"location", location.encode()), digest_header(digest), (b"content-length", b"0")]
    return Response(201, [*common, *(headers or [])])


def accepted() -> Response:
    return Response(202, [(b"content-length", b"0")])
