import pytest

from entrepot.database.database import Database
from entrepot.namespaces import namespaces
from entrepot.namespaces.namespaces import Namespace
from entrepot.oci.name import RepositoryName
from tests.conformance.database.content import NAMES_IN_BYTE_ORDER, NOW_MS

pytestmark = pytest.mark.anyio


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
        await database.write_soon(namespaces.set_public, name, name.startswith("a"), NOW_MS)

    listed = await database.read(namespaces.listing)
    assert listed == [Namespace(name, name.startswith("a")) for name in NAMES_IN_BYTE_ORDER]


async def test_deepest_name(database: Database) -> None:
    deepest = "/".join("a" * 128)
    await database.write(namespaces.set_public, deepest, True, NOW_MS)

    assert await is_public(database, deepest)
    assert not await is_public(database, deepest[:-2])
