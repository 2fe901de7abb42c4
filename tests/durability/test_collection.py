"""Collection removes what nothing names, and nothing else, whatever happens meanwhile."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from entrepot import settings as settings_module
from entrepot.actions import upload
from entrepot.app import open_app
from entrepot.clock import system_clock
from entrepot.content import blobs
from entrepot.lifecycle import garbage, store_identity
from entrepot.migrations import schema
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName
from entrepot.principal import NOWHERE, Caller, Principal
from entrepot.telemetry.metrics import Metrics
from tests.clients.images import digest_of
from tests.durability.collection import CONFIG, GRACE_SECONDS, collect, make_older, plant_garbage
from tests.durability.conftest import MakeEntrepot
from tests.durability.consistency import assert_consistent, files
from tests.durability.exchange import Connection
from tests.durability.pushes import assert_image_pulls, make_image, push_image, start_upload


def test_collection_beside_a_running_server_removes_old_garbage_and_nothing_else(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot(config=CONFIG)
    registry.start()
    content = random.Random(2).randbytes(300_000)
    with Connection(registry) as connection:
        image = make_image(random.Random(3))
        push_image(connection, "crash/running", "one", image)
        location = start_upload(connection, "crash/running")
        assert connection.request("PATCH", location, content[:100_000]).status == 202
        planted = plant_garbage(registry.data)
        collect(registry)
        assert files(registry.data) >= planted
        make_older(registry.data, GRACE_SECONDS * 2)
        collect(registry)
        assert not files(registry.data) & planted
        answer = connection.request("PUT", f"{location}?digest={digest_of(content)}", content[100_000:])
        assert answer.status == 201
        assert_image_pulls(connection, "crash/running", "one", image)
    assert_consistent(registry.data)
    registry.stop()


def test_collection_that_meets_an_upload_as_it_becomes_a_blob_leaves_it(tmp_path: Path) -> None:
    """Its bytes have their name already and are old; its record is made between two looks at the database."""
    asyncio.run(_collect_between_commit_and_record(tmp_path / "data"))


async def _collect_between_commit_and_record(data: Path) -> None:
    settings = settings_module.load(variables={}, overrides={"data": data})
    schema.upgrade(f"sqlite:///{data / 'entrepot.db'}")
    repository, content = RepositoryName("durability/between"), random.Random(4).randbytes(100_000)
    digest = Digest(digest_of(content))
    async with open_app(settings, Metrics()) as app:
        session, _ = upload.start(app, Principal("local", "admin"), repository, "sha256")
        state = await upload.append(app, session, _body(content), None)
        stored = await app.store.commit(state, digest)
        make_older(data, GRACE_SECONDS * 2)
        await store_identity.adopt(app.database, app.store)
        looks = 0

        class Database:
            write = app.database.write

            async def read(self, function: Callable[..., Any], *args: object) -> Any:
                nonlocal looks
                if function is blobs.known_locations:
                    looks += 1
                    if looks == 1:
                        await upload._record(
                            app, Caller(Principal("local", "admin"), NOWHERE), repository, stored, state
                        )
                return await app.database.read(function, *args)

        terms = garbage.Terms(system_clock(), GRACE_SECONDS * 1000, 0)
        found = await garbage.collect(Database(), app.store, terms)  # type: ignore[arg-type]
        assert looks == 1
        assert (found.stored, found.listed) == (1, 0)
        assert await app.database.read(blobs.find, repository, digest) == stored
        await app.store.check(stored)
    assert_consistent(data)


async def _body(content: bytes) -> Any:
    yield content
