"""A backup taken while images are pushed brings back all that was acknowledged before it, by the guide alone."""

import asyncio
import gzip
import json
import random
import re
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import pytest

from entrepot import settings as settings_module
from entrepot.app import App, open_app
from entrepot.audit import chain, segments
from entrepot.clock import system_clock
from entrepot.lifecycle import store_identity
from entrepot.telemetry.metrics import Metrics
from tests.durability.backups import AFTERWARDS, ALONE, SHARED, Shell, blocks, shell_alone, shell_shared
from tests.durability.conftest import MakeEntrepot
from tests.durability.consistency import assert_consistent
from tests.durability.exchange import Connection
from tests.durability.pushes import Acknowledged, Image, assert_image_pulls, make_image, push_image
from tests.peers.entrepot import Entrepot
from tests.peers.postgresql import PostgreSQL
from tests.peers.seaweedfs import SeaweedFS

SEGMENT_RECORDS, IMAGES_OF_A_SEGMENT = 10, 4
"""A push of one of the images makes three records or more."""
AUDIT = f"[audit]\nretention_days = 1\nsegment_records = {SEGMENT_RECORDS}\n"
LATER_MS = 3 * 24 * 3600 * 1000
"""So much later, records leave the database."""
REPOSITORY = "backup/app"
WAIT_SECONDS_MAX = 60
(STATUS,), (DRY_RUN,), (ADOPT,), (ACCEPT,), VERIFY = blocks(AFTERWARDS)
_RANGE = re.compile(r": intact, \d+ records \((\d+) to (\d+)\)")


class Pusher:
    """Pushes one image after another. `acknowledged` are those that the registry has taken so far."""

    def __init__(self, registry: Entrepot, prefix: str) -> None:
        self.acknowledged = Acknowledged()
        self._registry = registry
        self._prefix = prefix
        self._changed = threading.Condition()
        self._over = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def wait_for_more(self, count: int = 2) -> None:
        """Until so many images more are taken; with two, at least one was begun after this was called."""
        with self._changed:
            wanted = len(self.acknowledged.images) + count
            there = self._changed.wait_for(
                lambda: self._error or len(self.acknowledged.images) >= wanted, WAIT_SECONDS_MAX
            )
        assert there
        assert self._error is None, self._error

    def so_far(self) -> dict[tuple[str, str], Image]:
        with self._changed:
            return dict(self.acknowledged.images)

    def _run(self) -> None:
        chance = random.Random(self._prefix)
        try:
            with Connection(self._registry) as connection:
                while not self._over:
                    image, tag = make_image(chance), f"{self._prefix}-{len(self.acknowledged.images)}"
                    push_image(connection, REPOSITORY, tag, image)
                    with self._changed:
                        self.acknowledged.images[REPOSITORY, tag] = image
                        self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over = True
        self._thread.join()


class Site:
    """A registry with all that it keeps, and the shell of its operator."""

    def __init__(self, registry: Entrepot, shell: Shell, heading: str, lose: Callable[[], None]) -> None:
        self.registry = registry
        self.shell = shell
        self.backup, self.restore = blocks(heading)
        self.lose = lose
        """Destroys all that the backup has to bring back."""

    @property
    def in_bucket(self) -> bool:
        return not (self.registry.data / "storage").exists()

    @property
    def segments(self) -> str:
        """Where archived segments are as files, below the directory of the shell."""
        return "backup/storage/audit" if self.in_bucket else "data/storage/audit"

    def bring_back(self) -> list[str]:
        """Restore, as the guide says; answers the segments that were archived after the database was copied."""
        *most, last = self.restore
        for command in most:
            self.shell.run(command)
        if not last.startswith("aws "):
            self.shell.run(last)
        moved = self._move_unknown_segments()
        if last.startswith("aws "):
            self.shell.run_until_done(last)
        return moved

    def status(self) -> dict[str, int]:
        return {row["audit log"]: row["value"] for row in json.loads(self.shell.run(STATUS))}

    def assert_log_is_whole(self, needed: Acknowledged) -> None:
        """From its first record on, and with those of these pushes in it."""
        archived, export, exported = VERIFY
        verified = self.shell.run(archived.replace("data/storage/audit", self.segments))
        ranges = _RANGE.findall(verified)
        assert len(ranges) == verified.count("\n"), verified
        self.shell.run(export)
        (rest,) = _RANGE.findall(self.shell.run(exported))
        assert ranges[0][0] == "1"
        archived_until, first, last = int(ranges[-1][1]), int(rest[0]), int(rest[1])
        assert 1 < first <= archived_until + 1
        assert archived_until <= last
        log = (self.shell.directory / "log.jsonl").read_bytes()
        for segment in sorted((self.shell.directory / self.segments).glob("*.jsonl.gz")):
            log += gzip.decompress(segment.read_bytes())
        assert [image.digest for image in needed.images.values() if image.digest.encode() not in log] == []

    def maintain(self, task: Callable[[App], Awaitable[object]], *, later_ms: int = 0) -> None:
        """Do what the maintenance process does beside it, at once and maybe with a later clock."""
        asyncio.run(self._maintain(task, later_ms))

    async def _maintain(self, task: Callable[[App], Awaitable[object]], later_ms: int) -> None:
        config = self.registry.directory / "entrepot.toml"
        settings = settings_module.load(config, variables={}, overrides={"data": self.registry.data})
        async with open_app(settings, Metrics(), lambda: system_clock() + later_ms) as app:
            await task(app)

    def _move_unknown_segments(self) -> list[str]:
        known = self.status()["archived up to"]
        kept = self.shell.directory / "after-backup"
        kept.mkdir()
        unknown = [
            path
            for path in sorted((self.shell.directory / self.segments).iterdir())
            if int(path.name.partition("-")[0]) > known
        ]
        for path in unknown:
            path.rename(kept / path.name)
        return [path.name for path in unknown]


async def archive(app: App) -> None:
    await chain.seal_all(app.database)
    days = app.settings.audit.retention_days
    terms = {"segment_records": SEGMENT_RECORDS, "retention_days": days}
    await segments.archive(app.database, app.store, app.witness, app.clock, **terms)
    await segments.remove(app.database, app.store, older_than_ms=app.clock() - days * segments.DAY_MS, until=None)


async def advance(app: App) -> None:
    await store_identity.advance(app.database, app.store)


@contextmanager
def alone(make_entrepot: MakeEntrepot) -> Iterator[Site]:
    registry = make_entrepot(config=AUDIT)
    yield Site(registry, shell_alone(registry.directory), ALONE, lambda: shutil.rmtree(registry.data))


@contextmanager
def shared(make_entrepot: MakeEntrepot, postgresql: PostgreSQL, seaweedfs: SeaweedFS) -> Iterator[Site]:
    store_url = seaweedfs.new_url()
    with postgresql.new_database() as database_url:
        config = f"{AUDIT}[database]\nurl = {json.dumps(database_url)}\n"
        config += f"[storage]\nurl = {json.dumps(store_url)}\nredirect = false\n[storage.options]\n"
        config += "".join(f"{key} = {json.dumps(value)}\n" for key, value in seaweedfs.options().items())
        registry = make_entrepot(config=config)
        shell = shell_shared(registry.directory, postgresql, database_url, store_url, seaweedfs)

        def lose() -> None:
            shutil.rmtree(registry.data)
            postgresql.empty_database(database_url)
            shell.run("aws --endpoint-url https://s3.example s3 rm --recursive --only-show-errors s3://images/entrepot")

        yield Site(registry, shell, SHARED, lose)


@pytest.fixture(params=[ALONE, SHARED])
def site(request: pytest.FixtureRequest, make_entrepot: MakeEntrepot) -> Iterator[Site]:
    if request.param == ALONE:
        with alone(make_entrepot) as made:
            yield made
        return
    peers = request.getfixturevalue("postgresql"), request.getfixturevalue("seaweedfs")
    with shared(make_entrepot, *peers) as made:
        yield made


def test_backup_taken_while_images_are_pushed_brings_all_back(site: Site) -> None:
    registry, shell = site.registry, site.shell
    registry.start()
    shell.run("entrepot audit public-key --data data > audit-key.pem")
    with Pusher(registry, "early") as pusher:
        pusher.wait_for_more(IMAGES_OF_A_SEGMENT)
    early = pusher.acknowledged
    site.maintain(archive, later_ms=LATER_MS)
    assert site.status()["removed up to"] >= SEGMENT_RECORDS, site.status()
    with Pusher(registry, "while") as pusher:
        pusher.wait_for_more()
        before = Acknowledged(images=early.images | pusher.so_far())
        for command in site.backup:
            shell.run_until_done(command)
            # Between the copies: pushes, records that are archived, and the hour in which the store's number grows.
            pusher.wait_for_more(IMAGES_OF_A_SEGMENT)
            site.maintain(archive)
            site.maintain(advance)
    with Connection(registry) as connection:
        late = make_image(random.Random("late"))
        push_image(connection, REPOSITORY, "late", late)
    registry.stop()
    site.lose()

    assert site.bring_back(), "no segment was archived between the copies"
    assert "the database is older than the storage" in shell.run(DRY_RUN, succeeds=False)
    shell.run(ADOPT)
    assert "stored objects" in shell.run(DRY_RUN)
    assert "continues from" in shell.run(ACCEPT)
    site.assert_log_is_whole(before)
    registry.start()
    before.assert_there(registry)
    with Connection(registry) as connection:
        # Of what was pushed during the backup there is all of an image, or nothing.
        tags = json.loads(connection.request("GET", f"/v2/{REPOSITORY}/tags/list").body)["tags"]
        assert "late" not in tags
        for tag in tags:
            assert_image_pulls(
                connection, REPOSITORY, tag, (early.images | pusher.acknowledged.images)[REPOSITORY, tag]
            )
        push_image(connection, REPOSITORY, "late", late)
        assert_image_pulls(connection, REPOSITORY, "late", late)
    with Pusher(registry, "again") as pusher:
        pusher.wait_for_more(IMAGES_OF_A_SEGMENT)
    before.images |= pusher.acknowledged.images
    before.assert_there(registry)

    # It archives on, and can be backed up again into the same copy.
    archived = site.status()["archived up to"]
    site.maintain(archive)
    assert site.status()["archived up to"] > archived
    if site.in_bucket:
        shell.run_until_done(site.backup[-1])
    site.assert_log_is_whole(before)
    registry.stop()
    if not site.in_bucket:
        assert_consistent(registry.data)
