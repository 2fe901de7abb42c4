import pytest

from entrepot.content import manifests, repositories, tags
from entrepot.content.errors import ManifestUnknown, RepositoryUnknown
from entrepot.database.database import Database
from entrepot.oci.name import Tag
from tests.conformance.database.content import (
    NOW_MS,
    REPOSITORY,
    TAGS_IN_BYTE_ORDER,
    digest_of,
    image,
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
