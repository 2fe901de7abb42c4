"""The server is killed at any moment: what it acknowledged is there, what it did not is no damage."""

import asyncio
import http.client
import os
import random
import secrets
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from entrepot.app import open_app
from entrepot.database.open import database_url
from entrepot.migrations import schema
from entrepot.processes import Processes
from entrepot.settings import load
from entrepot.storage import layout
from entrepot.telemetry.metrics import Metrics
from tests.clients.images import digest_of
from tests.durability.collection import CONFIG, GRACE_SECONDS, collect, maintain_later, make_older, plant_garbage
from tests.durability.conftest import MakeEntrepot
from tests.durability.consistency import assert_consistent, blob_locations, files, upload_ids
from tests.durability.exchange import Connection, request
from tests.durability.processes import is_worker, wait_for_family, wait_until_gone, workers
from tests.durability.pushes import (
    PUSHES,
    Acknowledged,
    assert_image_pulls,
    get_manifest,
    half_sent,
    make_image,
    push_image,
    put_manifest,
    start_upload,
)
from tests.peers.entrepot import Entrepot
from tests.peers.process import descendants

CYCLES = 4
PUSHERS = 6
IMAGES_BEFORE_KILL_MIN = 30
IMAGES_BEFORE_KILL_MAX = 100
KILL_DELAY_SECONDS_MAX = 0.2
POLL_SECONDS = 0.02
END_SECONDS_MAX = 60
GONE = (OSError, http.client.HTTPException)


@dataclass
class Pusher:
    """A client that pushes image after image until the server is gone."""

    number: int
    chance: random.Random
    acknowledged: Acknowledged = field(default_factory=Acknowledged)
    refused: list[object] = field(default_factory=list)
    begun: int = 0
    latest: str | None = None
    """The digest that this client's moving tag was last acknowledged to have."""
    doubtful: str | None = None
    """The digest that it may have since, if the answer was lost."""

    @property
    def repository(self) -> str:
        return f"crash/{self.number % 3}"

    @property
    def moving_tag(self) -> str:
        return f"latest-{self.number}"

    def push_until_gone(self, registry: Entrepot, shared: list[bytes]) -> None:
        try:
            with Connection(registry) as connection:
                while self._push(connection, self.chance.choice(shared)):
                    pass
        except GONE:
            return

    def _push(self, connection: Connection, shared: bytes) -> bool:
        image = make_image(self.chance, shared)
        tag = f"p{self.number}-{self.begun}"
        self.begun += 1
        for blob in image.blobs:
            answer = self.chance.choice(PUSHES)(connection, self.repository, blob)
            if answer.status != 201:
                self.refused.append(answer)
                return False
            self.acknowledged.blobs.add((self.repository, digest_of(blob)))
        self.doubtful = image.digest
        for name in (tag, self.moving_tag):
            answer = put_manifest(connection, self.repository, name, image.manifest)
            if answer.status != 201:
                self.refused.append(answer)
                return False
            if name == tag:
                self.acknowledged.images[self.repository, tag] = image
        self.latest, self.doubtful = image.digest, None
        return True

    def assert_moving_tag(self, registry: Entrepot) -> None:
        """It names what was acknowledged last, or what was on its way since."""
        answer = request(registry, "GET", f"/v2/{self.repository}/manifests/{self.moving_tag}")
        if answer.status == 404:
            assert self.latest is None
        else:
            assert answer.headers["docker-content-digest"] in {self.latest, self.doubtful}


def test_pushes_killed_at_random_points_lose_nothing_acknowledged(make_entrepot: MakeEntrepot) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    registry = make_entrepot(config=CONFIG)
    pushers = [Pusher(number, random.Random(chance.getrandbits(64))) for number in range(PUSHERS)]
    for _ in range(CYCLES):
        registry.start()
        _push_and_kill(registry, pushers, chance)
        assert [pusher.refused for pusher in pushers] == [[]] * PUSHERS
        assert_consistent(registry.data)
    pushed = sum(len(pusher.acknowledged.images) for pusher in pushers)
    print(f"{pushed} images acknowledged in {CYCLES} cycles")
    registry.start()
    for pusher in pushers:
        pusher.acknowledged.assert_there(registry)
        pusher.assert_moving_tag(registry)
    registry.stop()

    planted = plant_garbage(registry.data)
    make_older(registry.data, GRACE_SECONDS * 2)
    collected = collect(registry)
    assert "garbage removed" in collected
    left = files(registry.data)
    assert not left & planted
    assert left >= set(blob_locations(registry.data).values())
    uploads = upload_ids(registry.data)
    assert all(layout.upload_id(location) in uploads for location in left - set(blob_locations(registry.data).values()))

    asyncio.run(maintain_later(registry.data, seconds=30 * 86400))
    assert files(registry.data) == set(blob_locations(registry.data).values())
    assert upload_ids(registry.data) == set()
    assert_consistent(registry.data)
    registry.start()
    for pusher in pushers:
        pusher.acknowledged.assert_there(registry)
    registry.stop()


def _push_and_kill(registry: Entrepot, pushers: list[Pusher], chance: random.Random) -> None:
    """Let all push at once, some of it the same, and kill the server in the middle."""
    shared = [chance.randbytes(50_000) for _ in range(20)]
    pushed_before = sum(pusher.begun for pusher in pushers)
    enough = pushed_before + chance.randint(IMAGES_BEFORE_KILL_MIN, IMAGES_BEFORE_KILL_MAX)
    threads = [threading.Thread(target=pusher.push_until_gone, args=(registry, shared)) for pusher in pushers]
    for thread in threads:
        thread.start()
    while sum(pusher.begun for pusher in pushers) < enough and any(thread.is_alive() for thread in threads):
        time.sleep(POLL_SECONDS)
    time.sleep(chance.uniform(0, KILL_DELAY_SECONDS_MAX))
    registry.kill()
    for thread in threads:
        thread.join()


def test_main_process_killed_while_idle_takes_all_others_with_it(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot()
    registry.start()
    wait_for_family(registry)
    image = make_image(random.Random(4))
    with Connection(registry) as connection:
        push_image(connection, "crash/main", "one", image)
    family = _kill_main(registry)
    wait_until_gone(family)
    registry.start()
    with Connection(registry) as connection:
        assert_image_pulls(connection, "crash/main", "one", image)
    registry.stop()


def test_main_process_killed_with_an_upload_on_its_way_can_be_started_again(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot(config="[server]\ndrain_seconds = 2\n")
    registry.start()
    wait_for_family(registry)
    content = random.Random(5).randbytes(1_000_000)
    with Connection(registry) as connection:
        location = start_upload(connection, "crash/main")
    with half_sent(registry, "PATCH", location, content, 500_000):
        family = _kill_main(registry)
        registry.start()
        assert request(registry, "GET", "/v2/").status == 200
        wait_until_gone(family)
    registry.stop()


def test_worker_killed_is_replaced(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot(workers=1)
    registry.start()
    image = make_image(random.Random(6))
    with Connection(registry) as connection:
        push_image(connection, "crash/worker", "one", image)
        worker = get_manifest(connection, "crash/worker", "one").worker
    killed = workers(registry)[0]
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + END_SECONDS_MAX
    while True:
        try:
            with Connection(registry) as connection:
                assert_image_pulls(connection, "crash/worker", "one", image)
                assert get_manifest(connection, "crash/worker", "one").worker != worker
            break
        except GONE:
            registry.server.check_alive()
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)
    registry.stop()


@pytest.mark.parametrize("kind", ["worker", "maintenance"])
def test_killed_process_is_told_of(make_entrepot: MakeEntrepot, kind: str) -> None:
    """By a line of the log and a count, and another one takes its place."""
    registry = make_entrepot()
    registry.start()
    wait_for_family(registry)
    killed = next(pid for pid in descendants(registry.server.pid) if is_worker(pid) is (kind == "worker"))
    assert _restarts(registry, kind) == 0
    os.kill(killed, signal.SIGKILL)

    wait_until_gone([killed])
    deadline = time.monotonic() + END_SECONDS_MAX
    while _restarts(registry, kind) != 1:
        assert time.monotonic() < deadline, registry.log_path.read_text()
        time.sleep(POLL_SECONDS)
    lines = [line for line in registry.log_path.read_text().splitlines() if f"{killed} ended by SIGKILL" in line]
    assert len(lines) == 1
    assert "takes its place" in lines[0]
    wait_for_family(registry)


def test_missing_maintenance_is_told_of_and_requests_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = Processes()
    settings = load(None, {}, {"data": tmp_path})
    schema.upgrade(database_url(settings.database, settings.data))

    async def told() -> tuple[str, bool, bool]:
        async with open_app(settings, Metrics(), is_maintained=processes.is_maintained) as app:
            report = await app.readiness.report()
            return report.status, report.serves, report.checks["maintenance"]

    assert asyncio.run(told()) == ("ready", True, True)
    processes.maintenance_is_gone()
    # Not at once: one that was killed is started again within seconds.
    assert asyncio.run(told()) == ("ready", True, True)
    monkeypatch.setattr("entrepot.processes.GONE_SECONDS_MAX", 0.0)
    assert asyncio.run(told()) == ("degraded", True, False)
    processes.maintenance_works()
    assert asyncio.run(told()) == ("ready", True, True)


def _restarts(registry: Entrepot, process: str) -> int:
    """How often a process of this kind was started again, as the server's metrics say."""
    text = request(registry, "GET", "/metrics").body.decode()
    name = f'entrepot_process_restarts_total{{process="{process}"}}'
    return int(float(next(line for line in text.splitlines() if line.startswith(name)).rpartition(" ")[2]))


def _kill_main(registry: Entrepot) -> list[int]:
    """SIGKILL to the main process alone; answers those that it leaves."""
    family = descendants(registry.server.pid)
    registry.server.signal(signal.SIGKILL)
    assert registry.server.wait(seconds_max=END_SECONDS_MAX) == -signal.SIGKILL
    return family
