import asyncio

import pytest

from entrepot.content import repositories
from entrepot.content.errors import RepositoryUnknown
from entrepot.database.database import Database
from entrepot.oci.name import RepositoryName
from tests.conformance.database.content import EVERYTHING, NAMES_IN_BYTE_ORDER, NOW_MS, REPOSITORY

pytestmark = pytest.mark.anyio


async def test_repository_is_made_once(database: Database) -> None:
    first = await database.write(repositories.ensure, REPOSITORY, NOW_MS)
    second = await database.write(repositories.ensure, REPOSITORY, NOW_MS + 1)

    assert first == second
    assert await database.read(repositories.find, REPOSITORY) == first
    assert await database.read(repositories.require, REPOSITORY) == first


async def test_unknown_repository(database: Database) -> None:
    assert await database.read(repositories.find, REPOSITORY) is None
    with pytest.raises(RepositoryUnknown):
        await database.read(repositories.require, REPOSITORY)


async def test_repository_made_by_many_at_once_is_one(database: Database, other: Database) -> None:
    ids = await asyncio.gather(
        *(worker.write(repositories.ensure, REPOSITORY, NOW_MS) for worker in (database, other) * 20)
    )

    assert len(set(ids)) == 1
    assert await other.read(repositories.names, EVERYTHING, "", 10) == [REPOSITORY]


async def test_names_are_listed_in_byte_order(database: Database) -> None:
    for name in reversed(NAMES_IN_BYTE_ORDER):
        await database.write(repositories.ensure, RepositoryName(name), NOW_MS, durable=False)

    assert await database.read(repositories.names, EVERYTHING, "", 100) == list(NAMES_IN_BYTE_ORDER)


@pytest.mark.parametrize("size", [1, 2, 5, 13, 14])
async def test_pages_put_together_are_the_whole_list(database: Database, size: int) -> None:
    for name in NAMES_IN_BYTE_ORDER:
        await database.write(repositories.ensure, RepositoryName(name), NOW_MS, durable=False)

    listed: list[str] = []
    while page := await database.read(repositories.names, EVERYTHING, listed[-1] if listed else "", size):
        assert len(page) <= size
        listed += page
    assert listed == list(NAMES_IN_BYTE_ORDER)


@pytest.mark.parametrize(
    ("after", "expected"),
    [("a.", "a.b"), ("a-b/", "a-b/c"), ("A", "a"), ("zzz", None), ("a\u00e4", "b"), ("\U0001f600", None)],
)
async def test_page_may_begin_at_a_name_that_does_not_exist(
    database: Database, after: str, expected: str | None
) -> None:
    for name in NAMES_IN_BYTE_ORDER:
        await database.write(repositories.ensure, RepositoryName(name), NOW_MS, durable=False)

    page = await database.read(repositories.names, EVERYTHING, after, 1)
    assert page == ([expected] if expected else [])


async def test_no_names_when_none_are_wanted(database: Database) -> None:
    await database.write(repositories.ensure, REPOSITORY, NOW_MS, durable=False)

    assert await database.read(repositories.names, EVERYTHING, "", 0) == []
