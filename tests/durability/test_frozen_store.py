"""A store that takes connections and says nothing, as one behind a network that drops packets: its replicas go on."""

import contextlib
import http.client
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.clients.images import digest_of
from tests.durability.conftest import MakeEntrepot
from tests.durability.exchange import Answer, Connection, request
from tests.durability.pushes import (
    Acknowledged,
    finishing,
    get_blob,
    half_sent,
    make_image,
    push_at_once,
    push_image,
    start_upload,
)
from tests.peers.seaweedfs import SeaweedFS
from tests.peers.silence import Silence
from tests.peers.slow import SlowWay

REPOSITORY = "durability/frozen"
LIMITS = "call_seconds = 2\nidle_seconds = 2\n"
"""Much shorter than a test waits for an answer."""
LARGE_BYTES = 40_000_000
"""More than the registry and the kernel hold of one blob on its way."""
SLOW_BYTES_PER_SECOND = 2_000_000
SLOW_BYTES = 20_000_000
"""They need several times each of the limits: those of silence, and of calls that move no blob."""
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


def _config(seaweedfs: SeaweedFS, *, limits: str = "", port: int | None = None) -> str:
    """Blobs in the store, which is reached by another port if one is given; all go through the registry."""
    options = seaweedfs.options()
    if port is not None:
        options["endpoint"] = f"http://127.0.0.1:{port}"
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in options.items())
    return f"[storage]\nurl = {json.dumps(seaweedfs.new_url())}\nredirect = false\n{limits}[storage.options]\n{table}"


@contextmanager
def _frozen(seaweedfs: SeaweedFS) -> Iterator[None]:
    os.kill(seaweedfs.server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(seaweedfs.server.pid, signal.SIGCONT)


def _assert_unavailable(answer: Answer) -> None:
    assert (answer.status, answer.headers.get("retry-after")) == (503, "5"), answer


def test_frozen_store_degrades_the_registry_and_manifests_are_served(
    make_entrepot: MakeEntrepot, seaweedfs: SeaweedFS
) -> None:
    registry = make_entrepot(config=_config(seaweedfs))
    registry.start()
    image = make_image(random.Random(1), layer_bytes=200_000)
    with Connection(registry) as connection:
        push_image(connection, REPOSITORY, "before", image)
        assert set(_checks(connection, "ready").values()) == {"ok"}
        with _frozen(seaweedfs):
            checks = _checks(connection, "degraded")
            assert (checks["database"], checks["storage reading"]) == ("ok", "failed")
            manifest = connection.request("GET", f"/v2/{REPOSITORY}/manifests/before")
            assert (manifest.status, manifest.body) == (200, image.manifest)
            small = push_at_once(connection, REPOSITORY, b"small blobs are in the database")
            assert small.status == 201, small
        assert set(_checks(connection, "ready").values()) == {"ok"}
        push_image(connection, REPOSITORY, "after", make_image(random.Random(2), layer_bytes=200_000))
    registry.stop()


def test_requests_end_at_their_limits_when_the_store_freezes_and_nothing_is_lost(
    make_entrepot: MakeEntrepot, seaweedfs: SeaweedFS
) -> None:
    registry = make_entrepot(config=_config(seaweedfs, limits=LIMITS))
    registry.start()
    chance = random.Random(3)
    image = make_image(chance, layer_bytes=LARGE_BYTES)
    large = image.blobs[1]
    acknowledged = Acknowledged(images={(REPOSITORY, "before"): image})
    other = chance.randbytes(LARGE_BYTES)
    first_bytes = LARGE_BYTES // 4
    with Connection(registry) as connection, Connection(registry) as pull:
        push_image(connection, REPOSITORY, "before", image)
        upload = start_upload(connection, REPOSITORY)
        first = connection.request("PATCH", upload, other[:first_bytes])
        assert (first.status, first.offset) == (202, first_bytes), first

        # Each of the three is in the middle of its bytes.
        rest = other[first_bytes:]
        single = f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest_of(other)}"
        with (
            half_sent(registry, "PATCH", first.headers["location"], rest, LARGE_BYTES // 4) as patch,
            half_sent(registry, "POST", single, other, LARGE_BYTES // 4) as post,
        ):
            pull.begin("GET", f"/v2/{REPOSITORY}/blobs/{digest_of(large)}", length=0)
            answer = pull.response()
            assert answer.read(1) == large[:1]
            with _frozen(seaweedfs):
                for request_, sent, content in ((patch, LARGE_BYTES // 4, rest), (post, LARGE_BYTES // 4, other)):
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        request_.send(content[sent:])
                _assert_unavailable(patch.answer())
                _assert_unavailable(post.answer())
                with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                    answer.read()
                for method in ("HEAD", "GET"):
                    _assert_unavailable(get_blob(connection, REPOSITORY, digest_of(large), method))
                _assert_unavailable(push_at_once(connection, REPOSITORY, chance.randbytes(200_000)))
                _assert_unavailable(request(registry, "PUT", finishing(first.headers["location"], other), rest))

        told = connection.request("GET", first.headers["location"])
        assert (told.status, told.offset) == (204, first_bytes), told
        done = connection.request("PUT", finishing(told.headers["location"], other), other[told.offset :])
        assert done.status == 201, done
        acknowledged.blobs.add((REPOSITORY, digest_of(other)))
    acknowledged.assert_there(registry)
    registry.stop()


def test_registry_starts_and_refuses_in_time_where_the_store_never_says_a_word(
    make_entrepot: MakeEntrepot, seaweedfs: SeaweedFS
) -> None:
    with Silence() as silence:
        registry = make_entrepot(config=_config(seaweedfs, limits=LIMITS, port=silence.port))
        registry.start()
        with Connection(registry) as connection:
            _checks(connection, "degraded")
            _assert_unavailable(push_at_once(connection, REPOSITORY, random.Random(4).randbytes(200_000)))
            small = push_at_once(connection, REPOSITORY, b"small blobs are in the database")
            assert small.status == 201, small
        registry.stop()


def test_slow_transfer_is_never_cut(make_entrepot: MakeEntrepot, seaweedfs: SeaweedFS) -> None:
    content = random.Random(5).randbytes(SLOW_BYTES)
    with SlowWay(int(seaweedfs.endpoint.rpartition(":")[2]), SLOW_BYTES_PER_SECOND) as way:
        registry = make_entrepot(config=_config(seaweedfs, limits=LIMITS, port=way.port))
        registry.start()
        with Connection(registry) as connection:
            pushed = push_at_once(connection, REPOSITORY, content)
            assert pushed.status == 201, pushed
            pulled = get_blob(connection, REPOSITORY, digest_of(content))
            assert (pulled.status, pulled.body) == (200, content)
        registry.stop()
