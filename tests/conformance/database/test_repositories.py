import asyncio

import pytest
from sqlalchemy import Connection, event

from entrepot.content import blobs, manifests, repositories, tags
from entrepot.content.errors import RepositoryUnknown
from entrepot.content.repositories import Content
from entrepot.database.database import Database
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName, Tag
from tests.conformance.database.content import (
    EVERYTHING,
    NAMES_IN_BYTE_ORDER,
    NOW_MS,
    REPOSITORY,
    digest_of,
    image,
    link,
    push,
    push_image,
)

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


async def test_repository_knows_how_much_is_in_it_without_counting(database: Database, other: Database) -> None:
    """Whoever changes that, several at once too; what changes nothing is not counted."""

    async def usage(name: RepositoryName = REPOSITORY) -> Content:
        return (await database.read(repositories.describe, name))[1]

    first, second = image(b"config", [b"layer"]), image(b"other", [b"layer"])
    await database.write(push_image, first, "v1", "latest")
    assert await usage() == Content(tags=2, manifests=1, bytes=11)
    await database.write(push_image, first, "v1")
    await database.write(push_image, second, "latest", "v2")
    assert await usage() == Content(tags=3, manifests=2, bytes=16)

    copy = RepositoryName("team/copy")
    await database.write(blobs.link, copy, Digest.of(b"layer"), NOW_MS)
    await database.write(blobs.link, copy, Digest.of(b"layer"), NOW_MS)
    assert await usage(copy) == Content(tags=0, manifests=0, bytes=5)
    await database.write(blobs.unlink, copy, Digest.of(b"layer"))
    assert await usage(copy) == Content(tags=0, manifests=0, bytes=0)

    await database.write(tags.remove, REPOSITORY, Tag("v1"))
    await database.write(manifests.remove, REPOSITORY, digest_of(second))
    assert await usage() == Content(tags=0, manifests=1, bytes=16)

    documents = [image(str(number).encode()) for number in range(20)]
    workers = (database, other) * 10
    await asyncio.gather(
        *(worker.write(link, REPOSITORY, str(number).encode()) for number, worker in enumerate(workers))
    )
    await asyncio.gather(
        *(
            worker.write(push, one, f"tag-{n % 3}")
            for n, (worker, one) in enumerate(zip(workers, documents, strict=True))
        )
    )
    assert await usage() == Content(tags=3, manifests=21, bytes=16 + sum(len(str(number)) for number in range(20)))


async def test_requests_count_no_rows_and_add_none_up(database: Database) -> None:
    """What grows takes ever longer to count."""
    await database.write(push_image, image(b"config", [b"layer"]), "v1")

    def describe(connection: Connection) -> list[str]:
        said: list[str] = []
        event.listen(connection.engine, "before_cursor_execute", lambda *arguments: said.append(arguments[2]))
        repositories.describe(connection, REPOSITORY)
        return said

    said = await database.read(describe)
    assert said
    assert not [statement for statement in said if "count(" in statement.lower() or "sum(" in statement.lower()]
