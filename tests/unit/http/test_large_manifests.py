"""Of large manifests one at a time is taken in; small ones, which nearly all are, go on beside it."""

import asyncio
import json
from pathlib import Path

import pytest

from entrepot.app import App, open_app
from entrepot.cli import direct
from entrepot.http.bodies import Bodies
from entrepot.http.messages import Message, Request
from entrepot.http.v2 import manifests
from entrepot.http.v2.manifests import LARGE_BYTES
from entrepot.oci import media_types
from entrepot.oci.digest import Digest
from entrepot.principal import Caller, Principal
from entrepot.settings import RegistrySettings, Settings
from entrepot.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio

CONFIG = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest.of(b"{}"), "size": 2}
SMALL = json.dumps({"schemaVersion": 2, "config": CONFIG, "layers": []}).encode()


def _put(app: App, tag: str, payload: bytes) -> Request:
    def receive() -> asyncio.Future[Message]:
        message: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(message.set_result, {"type": "http.request", "body": payload})
        return message

    headers = [(b"content-type", media_types.OCI_MANIFEST.encode()), (b"content-length", b"%d" % len(payload))]
    scope = {"type": "http", "method": "PUT", "path": "/", "query_string": b"", "headers": headers}
    request = Request(app, scope, receive, "id", Bodies())
    request.repository_text, request.reference = "team/app", tag
    request.caller = Caller(Principal("local", "alice"), request.origin)
    return request


async def test_large_manifests_wait_for_one_another_and_small_ones_for_none(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, registry=RegistrySettings(allow_sparse_manifests=True))
    await asyncio.to_thread(direct.upgrade, settings)
    async with open_app(settings, Metrics()) as app:
        await app.large_manifests.acquire()
        large = asyncio.create_task(manifests.put(_put(app, "large", SMALL.ljust(LARGE_BYTES + 1))))
        for tag in ("one", "two", "three"):
            assert (await manifests.put(_put(app, tag, SMALL.ljust(LARGE_BYTES)))).status == 201
        assert not large.done()
        app.large_manifests.release()
        assert (await large).status == 201
