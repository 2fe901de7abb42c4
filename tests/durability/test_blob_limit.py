"""No blob is larger than the operator says, however it is sent; and every response is harmless in a browser."""

from collections.abc import Iterator

import httpx

from tests.clients.images import digest_of
from tests.durability.conftest import MakeEntrepot
from tests.durability.consistency import files

LIMIT = 200_000
CONFIG = f"[registry]\nblob_bytes_max = {LIMIT}\n"


def _pieces(content: bytes) -> Iterator[bytes]:
    """Without saying how many there will be."""
    for start in range(0, len(content), 50_000):
        yield content[start : start + 50_000]


def test_blob_that_is_too_large_is_refused_however_it_is_sent(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot(config=CONFIG)
    registry.start()
    large, fitting = b"x" * (LIMIT + 1), b"y" * LIMIT
    path = "/v2/limit/app/blobs/uploads/"
    with registry.client() as client:

        def address() -> str:
            location: str = client.post(path).headers["location"]
            return location

        query = {"digest": digest_of(large)}
        refused: list[httpx.Response] = [
            client.post(path, params=query, content=large),
            client.post(path, params=query, content=_pieces(large)),
            client.put(address(), params=query, content=large),
            client.patch(address(), content=large),
            client.patch(address(), content=_pieces(large)),
        ]
        # Piece by piece: what fits is kept, what goes beyond is not.
        location = client.patch(address(), content=fitting).headers["location"]
        refused.append(client.patch(location, content=b"z"))
        for answer in refused:
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "SIZE_INVALID")
            assert "blob_bytes_max" in answer.json()["errors"][0]["message"]
        assert client.put(location, params={"digest": digest_of(fitting)}).status_code == 201
        assert client.get(f"/v2/limit/app/blobs/{digest_of(fitting)}").content == fitting
    assert len([location for location in files(registry.data) if location.startswith("blobs/")]) == 1
    registry.stop()


def test_no_response_is_a_page_to_a_browser(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot()
    registry.start()
    content = b"<script>alert(1)</script>" * 10_000
    with registry.client() as client:
        path = "/v2/limit/app/blobs/uploads/"
        assert client.post(path, params={"digest": digest_of(content)}, content=content).status_code == 201
        blob = f"/v2/limit/app/blobs/{digest_of(content)}"
        answers = [
            client.get(blob),
            client.get(blob, headers={"range": "bytes=0-9"}),
            client.get("/v2/limit/app/manifests/none"),
            client.get("/v2/limit/app/tags/list"),
            client.get("/api/v1/account"),
            client.get("/api/v1/openapi.json"),
            client.get("/api/v1/nothing"),
            client.get("/healthz"),
            client.get("/nothing"),
            client.get("/"),
        ]
    for answer in answers:
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], answer.url
        (policy,) = answer.headers.get_list("content-security-policy")
        assert policy.startswith("default-src 'none'"), answer.url
    registry.stop()
