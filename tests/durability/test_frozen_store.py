"""A store that takes connections and says nothing, as one behind a network that drops packets: its replicas go on."""

import json
import os
import random
import signal
import time

from tests.durability.conftest import MakeEntrepot
from tests.durability.exchange import Connection
from tests.durability.pushes import make_image, push_at_once, push_image
from tests.peers.seaweedfs import SeaweedFS

REPOSITORY = "durability/frozen"
WAIT_SECONDS_MAX = 60
POLL_SECONDS = 0.2


def _checks(connection: Connection, status: str) -> dict[str, str]:
    """What /readyz tells once it says this, as a balancer sees it that never gets anything but 200."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        answer = connection.request("GET", "/readyz")
        assert answer.status == 200, answer
        told = json.loads(answer.body)
        if told["status"] == status:
            checks: dict[str, str] = told["checks"]
            return checks
        assert time.monotonic() < deadline, told
        time.sleep(POLL_SECONDS)


def test_frozen_store_degrades_the_registry_and_manifests_are_served(
    make_entrepot: MakeEntrepot, seaweedfs: SeaweedFS
) -> None:
    options = "".join(f"{key} = {json.dumps(value)}\n" for key, value in seaweedfs.options().items())
    url = seaweedfs.new_url()
    config = f"[storage]\nurl = {json.dumps(url)}\nredirect = false\n[storage.options]\n{options}"
    registry = make_entrepot(config=config)
    registry.start()
    image = make_image(random.Random(1), layer_bytes=200_000)
    with Connection(registry) as connection:
        push_image(connection, REPOSITORY, "before", image)
        assert set(_checks(connection, "ready").values()) == {"ok"}
        os.kill(seaweedfs.server.pid, signal.SIGSTOP)
        try:
            checks = _checks(connection, "degraded")
            assert (checks["database"], checks["storage reading"]) == ("ok", "failed")
            manifest = connection.request("GET", f"/v2/{REPOSITORY}/manifests/before")
            assert (manifest.status, manifest.body) == (200, image.manifest)
            small = push_at_once(connection, REPOSITORY, b"small blobs are in the database")
            assert small.status == 201, small
        finally:
            os.kill(seaweedfs.server.pid, signal.SIGCONT)
        assert set(_checks(connection, "ready").values()) == {"ok"}
        push_image(connection, REPOSITORY, "after", make_image(random.Random(2), layer_bytes=200_000))
    registry.stop()
