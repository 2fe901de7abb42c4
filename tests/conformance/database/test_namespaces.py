import asyncio
import random
import sqlite3

import pytest
from sqlalchemy import Connection, insert

from entrepot.access.rights import Visible
from entrepot.content import repositories
from entrepot.content.repositories import Reader
from entrepot.database.database import Database
from entrepot.namespaces import namespaces
from entrepot.namespaces.namespaces import Namespace
from entrepot.namespaces.tables import namespaces as namespaces_table
from entrepot.oci.name import RepositoryName
from tests.conformance.database.conftest import SQLITE
from tests.conformance.database.content import EVERYTHING, NAMES_IN_BYTE_ORDER, NOW_MS

pytestmark = pytest.mark.anyio

NOBODY = Reader(Visible(everything=False))


async def is_public(database: Database, repository: str) -> bool:
    return await database.read(namespaces.is_public, RepositoryName(repository))


async def test_everything_is_private_at_first(database: Database) -> None:
    assert not await is_public(database, "team/app")


@pytest.mark.parametrize(
    ("path", "public", "private"),
    [
        ("team", ("team", "team/app", "team/deep/app"), ("teamwork", "team-b/app", "other/team/app")),
        ("team/app", ("team/app", "team/app/part"), ("team", "team/application")),
        ("", ("anything", "any/thing"), ()),
    ],
)
async def test_setting_holds_for_everything_below(
    database: Database, path: str, public: tuple[str, ...], private: tuple[str, ...]
) -> None:
    await database.write(namespaces.set_public, path, True, NOW_MS)

    assert [name for name in (*public, *private) if await is_public(database, name)] == list(public)


async def test_nearest_setting_holds(database: Database) -> None:
    for path, public in (("", True), ("team", False), ("team/open", True), ("team/open/secret", False)):
        await database.write(namespaces.set_public, path, public, NOW_MS)

    expected = {"any": True, "team/app": False, "team/open/app": True, "team/open/secret": False}
    assert {name: await is_public(database, name) for name in expected} == expected


async def test_setting_is_changed_and_removed(database: Database) -> None:
    await database.write(namespaces.set_public, "", True, NOW_MS)
    for public in (True, False):
        await database.write(namespaces.set_public, "team", public, NOW_MS)
        assert await is_public(database, "team/app") is public

    assert await database.write(namespaces.inherit, "team")
    assert not await database.write(namespaces.inherit, "team")
    assert await is_public(database, "team/app")


async def test_listing_is_in_byte_order(database: Database) -> None:
    for name in reversed(NAMES_IN_BYTE_ORDER):
        await database.write(namespaces.set_public, name, name.startswith("a"), NOW_MS, durable=False)

    listed = await database.read(namespaces.listing)
    assert listed == [Namespace(name, name.startswith("a")) for name in NAMES_IN_BYTE_ORDER]


async def test_deepest_name(database: Database) -> None:
    deepest = "/".join("a" * 128)
    await database.write(namespaces.set_public, deepest, True, NOW_MS)

    assert await is_public(database, deepest)
    assert not await is_public(database, deepest[:-2])


async def test_lists_say_of_each_repository_what_its_nearest_setting_says(database: Database) -> None:
    """Also of names that only begin with the letters of a namespace, and come between it and what is below it."""
    names = [RepositoryName(name) for name in (*NAMES_IN_BYTE_ORDER, "a/b/c", "a-b/c/d", "a0/b", "a/b0", "a/b-c")]
    settings = ["", *NAMES_IN_BYTE_ORDER, "a/b/c", "a0/b"]
    for name in names:
        await database.write(repositories.ensure, name, NOW_MS, durable=False)
    chance = random.Random(1)
    for _ in range(40):
        path = chance.choice(settings)
        if chance.random() < 0.3:
            await database.write(namespaces.inherit, path, durable=False)
        else:
            await database.write(namespaces.set_public, path, chance.random() < 0.5, NOW_MS, durable=False)

        page = await database.read(repositories.page, EVERYTHING, after="", limit=100)
        assert len(page) == len(names)
        for entry in page:
            assert entry.public == await is_public(database, entry.name), entry.name


async def test_settings_changed_at_once_are_all_in_the_lists(database: Database, other: Database) -> None:
    for number in range(20):
        await database.write(repositories.ensure, RepositoryName(f"team-{number}/app"), NOW_MS, durable=False)
    workers = (database, other) * 10
    await asyncio.gather(
        *(worker.write(namespaces.set_public, f"team-{n}", True, NOW_MS) for n, worker in enumerate(workers))
    )

    page = await database.read(repositories.page, EVERYTHING, after="", limit=100)
    assert [entry.public for entry in page] == [True] * 20


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
async def test_page_of_a_list_takes_as_long_with_any_number_of_settings(database: Database) -> None:
    def steps(connection: Connection) -> int:
        count = 0

        def step() -> None:
            nonlocal count
            count += 1

        driver_connection = connection.connection.driver_connection
        assert isinstance(driver_connection, sqlite3.Connection)
        driver_connection.set_progress_handler(step, 1)
        try:
            repositories.names(connection, NOBODY, "", 100)
        finally:
            driver_connection.set_progress_handler(None, 0)
        return count

    def add(connection: Connection) -> None:
        connection.execute(
            insert(namespaces_table),
            [{"path": f"other-{number}", "public": number % 2, "created_at_ms": NOW_MS} for number in range(300)],
        )
        namespaces.set_public(connection, "others", True, NOW_MS)

    for number in range(50):
        await database.write(repositories.ensure, RepositoryName(f"team/app-{number}"), NOW_MS, durable=False)
    for path in ("other", "team/app-7"):
        await database.write(namespaces.set_public, path, True, NOW_MS)
    before = await database.read(steps)
    await database.write(add)
    assert await database.read(steps) == before
