"""The server is told to end: what it has in hand it finishes, within the time that it is given for that."""

import contextlib
import json
import os
import random
import signal
import socket
import time

import pytest

from entrepot.server import SUPERVISE_SECONDS
from tests.clients.images import digest_of
from tests.durability.conftest import MakeEntrepot
from tests.durability.consistency import assert_consistent
from tests.durability.exchange import Connection, request
from tests.durability.processes import is_running, is_worker, wait_for_family, wait_until_gone
from tests.durability.pushes import (
    assert_image_pulls,
    finishing,
    get_blob,
    half_sent,
    make_image,
    patch_range,
    push_image,
    start_upload,
)
from tests.peers.entrepot import Entrepot
from tests.peers.process import descendants

REPOSITORY = "durability/shutdown"
WAIT_SECONDS_MAX = 60
LONG_DRAIN = "[server]\ndrain_seconds = 3600\n"
SHORT_DRAIN = "[server]\ndrain_seconds = 2\n"
POLL_SECONDS = 0.02
SIGNALS = 5
"""More than the web server has room for."""


def _wait_until_refused(registry: Entrepot) -> None:
    """Until nobody listens any more."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", registry.port), timeout=5).close()
        except ConnectionRefusedError:
            return
        assert time.monotonic() < deadline, "new connections are still taken"
        time.sleep(POLL_SECONDS)


def _assert_ends(registry: Entrepot, family: list[int]) -> None:
    """The server ends by itself, content, and so do all that it has started."""
    assert registry.server.wait(seconds_max=WAIT_SECONDS_MAX) == 0
    wait_until_gone(family)


def test_uploads_in_flight_when_told_to_end_finish(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot(config=LONG_DRAIN)
    registry.start()
    wait_for_family(registry)
    family = descendants(registry.server.pid)
    contents = [random.Random(number).randbytes(size) for number, size in enumerate((3_000_000, 2_000_000, 40_000))]
    with Connection(registry) as connection:
        locations = [start_upload(connection, REPOSITORY) for _ in range(2)]
    requests = (
        ("PATCH", locations[0], 202),
        ("PUT", finishing(locations[1], contents[1]), 201),
        ("POST", finishing(f"/v2/{REPOSITORY}/blobs/uploads/", contents[2]), 201),
    )
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(half_sent(registry, method, path, content, len(content) // 2))
            for (method, path, _), content in zip(requests, contents, strict=True)
        ]
        registry.server.signal(signal.SIGTERM)
        _wait_until_refused(registry)
        for connection, (method, _, status), content in zip(connections, requests, contents, strict=True):
            connection.send(content[len(content) // 2 :])
            answer = connection.answer()
            assert answer.status == status, (method, answer)
            logged = answer.headers["x-request-id"]
    _assert_ends(registry, family)
    assert logged in registry.log_path.read_text()
    assert_consistent(registry.data)
    registry.start()
    assert request(registry, "PUT", finishing(locations[0], contents[0])).status == 201
    for content in contents:
        assert request(registry, "GET", f"/v2/{REPOSITORY}/blobs/{digest_of(content)}").body == content
    registry.stop()


def test_upload_that_does_not_finish_in_time_is_cut_off_and_resumes_after_a_restart(
    make_entrepot: MakeEntrepot,
) -> None:
    registry = make_entrepot(config=SHORT_DRAIN)
    registry.start()
    wait_for_family(registry)
    family = descendants(registry.server.pid)
    content = random.Random(1).randbytes(6_000_000)
    with Connection(registry) as connection:
        location = start_upload(connection, REPOSITORY)
    with half_sent(registry, "PATCH", location, content, 4_000_000):
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while request(registry, "GET", location).offset == 0:
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)
        registry.server.signal(signal.SIGTERM)
        _assert_ends(registry, family)
    registry.start()
    offset = request(registry, "GET", location).offset
    assert 0 < offset <= 4_000_000
    assert patch_range(location, registry, content, offset).status == 202
    assert request(registry, "PUT", finishing(location, content)).status == 201
    assert request(registry, "GET", f"/v2/{REPOSITORY}/blobs/{digest_of(content)}").body == content
    registry.stop()


def test_download_in_flight_when_told_to_end_finishes(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot(config=LONG_DRAIN)
    registry.start()
    content = random.Random(2).randbytes(30_000_000)
    with Connection(registry) as connection:
        assert connection.request("POST", finishing(f"/v2/{REPOSITORY}/blobs/uploads/", content), content).status == 201
    with Connection(registry) as connection:
        # The answer's first bytes are read, the others do not fit between the two: the server waits for us.
        connection.begin("GET", f"/v2/{REPOSITORY}/blobs/{digest_of(content)}", length=0)
        response = connection.response()
        start = response.read(1000)
        registry.server.signal(signal.SIGTERM)
        _wait_until_refused(registry)
        assert start + response.read() == content
    assert registry.server.wait(seconds_max=WAIT_SECONDS_MAX) == 0


def test_idle_connections_do_not_keep_it_from_ending(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot(config=LONG_DRAIN)
    registry.start()
    wait_for_family(registry)
    family = descendants(registry.server.pid)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(Connection(registry))
            assert connection.request("GET", "/v2/").status == 200
        stack.enter_context(socket.create_connection(("127.0.0.1", registry.port)))
        registry.server.signal(signal.SIGTERM)
        _assert_ends(registry, family)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_all_of_its_processes_ends_it_in_order(make_entrepot: MakeEntrepot, number: signal.Signals) -> None:
    """As a service manager stops a service, and as a terminal interrupts a program."""
    registry = make_entrepot(config=LONG_DRAIN)
    registry.start()
    wait_for_family(registry)
    image = make_image(random.Random(3))
    with Connection(registry) as connection:
        push_image(connection, REPOSITORY, "one", image)
    family = descendants(registry.server.pid)
    os.killpg(registry.server.pid, number)
    _assert_ends(registry, family)
    assert "Traceback" not in registry.log_path.read_text()
    registry.start()
    with Connection(registry) as connection:
        assert_image_pulls(connection, REPOSITORY, "one", image)
    registry.stop()


def test_server_told_to_end_as_soon_as_it_is_ready_ends(make_entrepot: MakeEntrepot) -> None:
    """Some of its workers are still starting then, and not all can hear it."""
    registry = make_entrepot(config=LONG_DRAIN, workers=4)
    for _ in range(2):
        registry.start()
        registry.server.signal(signal.SIGTERM)
        assert registry.server.wait(seconds_max=WAIT_SECONDS_MAX) == 0


def test_maintenance_process_killed_is_replaced(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot()
    registry.start()
    wait_for_family(registry)
    before = set(descendants(registry.server.pid))
    (maintenance,) = (pid for pid in before if not is_worker(pid))
    os.kill(maintenance, signal.SIGKILL)
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not [pid for pid in set(descendants(registry.server.pid)) - before if not is_worker(pid)]:
        assert time.monotonic() < deadline
        time.sleep(POLL_SECONDS)
    assert not is_running(maintenance)
    with Connection(registry) as connection:
        assert connection.request("GET", "/v2/").status == 200
    registry.stop()


def test_second_server_on_the_same_address_is_refused(make_entrepot: MakeEntrepot) -> None:
    """Its workers would share the port with the first one's, and answer half of the requests."""
    first = make_entrepot()
    first.start()
    second = make_entrepot("second")
    second.port = first.port
    with pytest.raises(AssertionError, match="Address already in use"):
        second.server.start(lambda: False)
    assert "administrator" not in second.log_path.read_text()
    with Connection(first) as connection:
        assert get_blob(connection, REPOSITORY, f"sha256:{'0' * 64}").status == 404
    first.stop()


def test_upload_goes_on_however_often_the_processes_are_told_to_end(make_entrepot: MakeEntrepot) -> None:
    """As a service manager that signals all of them, and people who ask again: once is enough."""
    registry = make_entrepot(config=LONG_DRAIN)
    registry.start()
    wait_for_family(registry)
    family = descendants(registry.server.pid)
    content = random.Random(4).randbytes(3_000_000)
    path = finishing(f"/v2/{REPOSITORY}/blobs/uploads/", content)
    with half_sent(registry, "POST", path, content, len(content) // 3) as connection:
        for _ in range(SIGNALS):
            os.killpg(registry.server.pid, signal.SIGTERM)
            time.sleep(POLL_SECONDS)
        _wait_until_refused(registry)
        # Longer than the supervisor takes for a round: what it does meanwhile disturbs nobody.
        time.sleep(2 * SUPERVISE_SECONDS)
        connection.send(content[len(content) // 3 :])
        assert connection.answer().status == 201
    _assert_ends(registry, family)


def test_balancers_are_told_before_connections_are_refused(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot(config="[server]\nshutdown_delay_seconds = 600\n")
    registry.start()
    wait_for_family(registry)
    family = descendants(registry.server.pid)
    image = make_image(random.Random(5))
    with Connection(registry) as before:
        push_image(before, REPOSITORY, "before", image)
        os.killpg(registry.server.pid, signal.SIGTERM)
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while (answer := request(registry, "GET", "/readyz")).status != 503:
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)
        assert json.loads(answer.body)["status"] == "stopping"
        assert request(registry, "GET", "/healthz").status == 200
        assert_image_pulls(before, REPOSITORY, "before", image)
        with Connection(registry) as connection:
            push_image(connection, REPOSITORY, "meanwhile", make_image(random.Random(6)))
    # Who does not want to wait says so once more.
    registry.server.signal(signal.SIGTERM)
    _assert_ends(registry, family)
