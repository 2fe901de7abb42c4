from functools import partial

import pytest
from sqlalchemy import Connection, select

from entrepot.content import manifests, repositories, tags
from entrepot.content.errors import ManifestUnknown, RepositoryUnknown
from entrepot.content.tables import manifests as manifests_table
from entrepot.content.tables import tags as tags_table
from entrepot.database.database import Database
from entrepot.oci.digest import Digest
from entrepot.oci.manifest import ManifestDocument
from entrepot.oci.name import Tag
from entrepot.principal import ANONYMOUS, Principal
from tests.conformance.database.content import (
    ALICE,
    NOW_MS,
    REPOSITORY,
    TAGS_IN_BYTE_ORDER,
    digest_of,
    image,
    push,
    push_image,
)

pytestmark = pytest.mark.anyio


async def test_tag_moves(database: Database) -> None:
    first, second = image(b"first"), image(b"second")
    await database.write(push_image, first, "latest", "first")
    await database.write(push_image, second, "latest")

    found = await database.read(manifests.find, REPOSITORY, Tag("latest"))
    kept = await database.read(manifests.find, REPOSITORY, Tag("first"))
    assert found is not None
    assert kept is not None
    assert (found.digest, kept.digest) == (digest_of(second), digest_of(first))


async def test_who_pushed_and_who_moved_a_tag_are_kept_by_number_and_name(database: Database) -> None:
    document, again = image(b"first"), image(b"second")
    bob = Principal("ldap", "bob", user_id=8)
    await database.write(push_image, document, "latest", "first")
    await database.write(push_image, again, "second")
    await database.write(partial(push, by=bob), again, "latest")
    await database.write(partial(push, by=ANONYMOUS), again, "nobodys")

    found = await database.read(tags.page, REPOSITORY, after="", limit=10)
    assert {tag.name: (tag.pushed_by, tag.updated_by) for tag in found} == {
        "first": ("local:alice", "local:alice"),
        "latest": ("local:alice", "ldap:bob"),
        "nobodys": ("local:alice", "anonymous"),
        "second": ("local:alice", "local:alice"),
    }
    columns = tags_table.c.name, tags_table.c.updated_by_id
    rows = await database.read(lambda connection: connection.execute(select(*columns)).all())
    assert {row.name: row.updated_by_id for row in rows} == {"first": 7, "latest": 8, "nobodys": None, "second": 7}
    pushers = await database.read(lambda connection: set(connection.execute(select(manifests_table.c.pushed_by_id))))
    assert {number for (number,) in pushers} == {7}


async def test_moved_tag_tells_what_it_named_before(database: Database) -> None:
    first, second = image(b"first"), image(b"second")

    def push_and_point(connection: Connection, document: ManifestDocument) -> Digest | None:
        manifest_id = push_image(connection, document)
        repository_id = repositories.require(connection, REPOSITORY)
        return tags.point(connection, REPOSITORY, repository_id, Tag("latest"), manifest_id, ALICE, NOW_MS).before

    assert await database.write(push_and_point, first) is None
    assert await database.write(push_and_point, first) is None
    assert await database.write(push_and_point, second) == digest_of(first)
    assert await database.write(push_and_point, first) == digest_of(second)


async def test_tags_that_differ_by_case_are_different(database: Database) -> None:
    await database.write(push_image, image(b"first"), "Latest")
    await database.write(push_image, image(b"second"), "latest")

    assert await database.read(tags.names, REPOSITORY, "", 10) == ["Latest", "latest"]


async def test_removed_tag_leaves_its_manifest(database: Database) -> None:
    document = image()
    await database.write(push_image, document, "v1", "v2")
    await database.write(tags.remove, REPOSITORY, Tag("v1"))

    assert await database.read(manifests.find, REPOSITORY, Tag("v1")) is None
    assert await database.read(manifests.find, REPOSITORY, Tag("v2")) is not None
    assert await database.read(manifests.find, REPOSITORY, digest_of(document)) is not None
    with pytest.raises(ManifestUnknown):
        await database.write(tags.remove, REPOSITORY, Tag("v1"))


async def test_repository_that_is_unknown_has_no_tags_to_list_or_remove(database: Database) -> None:
    with pytest.raises(RepositoryUnknown):
        await database.read(tags.names, REPOSITORY, "", 10)
    with pytest.raises(RepositoryUnknown):
        await database.write(tags.remove, REPOSITORY, Tag("v1"))


async def test_repository_without_tags_has_an_empty_list(database: Database) -> None:
    await database.write(repositories.ensure, REPOSITORY, NOW_MS)

    assert await database.read(tags.names, REPOSITORY, "", 10) == []


@pytest.mark.parametrize("size", [1, 3, 16, 17])
async def test_names_are_listed_in_byte_order_and_in_pages(database: Database, size: int) -> None:
    await database.write(push_image, image(), *reversed(TAGS_IN_BYTE_ORDER))

    listed: list[str] = []
    while page := await database.read(tags.names, REPOSITORY, listed[-1] if listed else "", size):
        assert len(page) <= size
        listed += page
    assert listed == list(TAGS_IN_BYTE_ORDER)


async def test_fallback_tags_of_the_referrers_api_are_kept_but_not_listed(database: Database) -> None:
    document = image()
    fallback = "sha256-" + digest_of(document).hex
    await database.write(push_image, document, fallback, "sha256-short", "v1")

    assert await database.read(tags.names, REPOSITORY, "", 10) == ["sha256-short", "v1"]
    assert await database.read(manifests.find, REPOSITORY, Tag(fallback)) is not None
