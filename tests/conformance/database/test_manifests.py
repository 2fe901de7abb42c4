import asyncio
import json
import os
from functools import partial

import pytest
from sqlalchemy import Connection, func, select

from entrepot.content import blobs, manifests, repositories, tags
from entrepot.content.errors import BlobInUse, ManifestInUse, ManifestUnknown, ReferenceUnknown, RepositoryUnknown
from entrepot.content.tables import blobs as blobs_table
from entrepot.content.tables import edges as edges_table
from entrepot.database.database import Database
from entrepot.oci import media_types
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestInvalid
from entrepot.oci.manifest import ManifestDocument
from entrepot.oci.name import RepositoryName, Tag
from tests.conformance.database.content import (
    NOW_MS,
    REPOSITORY,
    blob,
    descriptor,
    digest_of,
    image,
    index,
    link,
    push,
    push_image,
)

pytestmark = pytest.mark.anyio

OTHER = RepositoryName("other/app")


def edges(connection: Connection) -> tuple[int, int]:
    """How many edges there are, to blobs of the repository and to what is known by digest."""
    columns = edges_table.c.blob_id, edges_table.c.digest
    to_blobs, to_digests = connection.execute(select(*(func.count(column) for column in columns))).one()
    return to_blobs, to_digests


def listed(connection: Connection, manifest_id: int) -> list[tuple[object, ...]]:
    """What the manifest lists, as its edges say: position, kind, digest."""
    digest = func.coalesce(edges_table.c.digest, blobs_table.c.digest)
    statement = (
        select(edges_table.c.position, edges_table.c.kind, digest)
        .outerjoin(blobs_table, blobs_table.c.id == edges_table.c.blob_id)
        .where(edges_table.c.manifest_id == manifest_id)
        .order_by(edges_table.c.position)
    )
    return [tuple(row) for row in connection.execute(statement)]


async def test_manifest_is_found_by_digest_and_by_tag_byte_for_byte(database: Database) -> None:
    document = image(b"config", [b"layer"], annotations={"note": "é \N{SNOWMAN} \U0001f600 \\u0041 \t"})
    await database.write(push_image, document, "v1", "latest")

    for reference in (digest_of(document), Tag("v1"), Tag("latest")):
        found = await database.read(manifests.find, REPOSITORY, reference)
        assert found is not None
        assert (found.digest, found.media_type, found.payload) == (
            digest_of(document),
            media_types.OCI_MANIFEST,
            document.payload,
        )


async def test_nothing_is_found_elsewhere(database: Database) -> None:
    document = image()
    await database.write(push_image, document, "v1")
    await database.write(repositories.ensure, OTHER, NOW_MS)

    for repository in (OTHER, RepositoryName("no/such")):
        for reference in (digest_of(document), Tag("v1")):
            assert await database.read(manifests.find, repository, reference) is None
    assert await database.read(manifests.find, REPOSITORY, Tag("V1")) is None


async def test_same_manifest_again_changes_nothing(database: Database) -> None:
    document = image(b"config", [b"layer"])
    first = await database.write(push_image, document)

    assert await database.write(push_image, document, "v1") == first
    assert await database.read(edges) == (2, 0)


async def test_same_manifest_pushed_by_many_at_once_is_one(database: Database, other: Database) -> None:
    document = image(b"config", [b"first", b"second"])
    await database.write(link, REPOSITORY, b"config", b"first", b"second")
    ids = await asyncio.gather(
        *(worker.write(push, document, f"tag-{number % 3}") for number, worker in enumerate((database, other) * 12))
    )

    assert len(set(ids)) == 1
    assert await other.read(edges) == (3, 0)
    assert await other.read(tags.names, REPOSITORY, "", 10) == ["tag-0", "tag-1", "tag-2"]


async def test_many_manifests_in_a_new_repository_at_once(database: Database, other: Database) -> None:
    documents = [image(str(number).encode(), [b"shared layer"]) for number in range(20)]
    await asyncio.gather(
        *(
            worker.write(push_image, document, "latest")
            for worker, document in zip((database, other) * 10, documents, strict=True)
        )
    )

    latest = await database.read(manifests.find, REPOSITORY, Tag("latest"))
    assert latest is not None
    assert latest.digest in {digest_of(document) for document in documents}
    for document in documents:
        assert await other.read(manifests.find, REPOSITORY, digest_of(document)) is not None


async def test_manifest_of_largest_size(database: Database) -> None:
    noise = os.urandom(2 * 1024 * 1024 - 1000).hex()
    document = image(b"config", annotations={"noise": noise})
    assert 4 * 1024 * 1024 - 4096 < len(document.payload) <= 4 * 1024 * 1024
    await database.write(push_image, document, "large")

    found = await database.read(manifests.find, REPOSITORY, Tag("large"))
    assert found is not None
    assert found.payload == document.payload


async def test_manifest_of_thousands_of_layers(database: Database) -> None:
    layers = [str(number).encode() for number in range(2_500)]
    document = image(b"config", layers)
    with pytest.raises(ReferenceUnknown):
        await database.write(push, document)

    await database.write(link, REPOSITORY, b"config", *layers)
    await database.write(push, document)
    assert await database.read(edges) == (2_501, 0)


async def test_index_of_thousands_of_children(database: Database) -> None:
    children = [image(str(number).encode()) for number in range(1_200)]
    document = index(children)

    def push_all(connection: Connection) -> None:
        for child in children:
            push_image(connection, child)
        push(connection, document, "all")

    with pytest.raises(ReferenceUnknown):
        await database.write(push, document)
    await database.write(push_all)
    assert await database.read(edges) == (1_200, 1_200)


async def test_layer_listed_twice_is_an_edge_at_each_position(database: Database) -> None:
    document = image(b"config", [b"layer", b"layer", b"config"])
    pushed = await database.write(push_image, document)
    of_both = await database.write(push, index([document] * 2))

    config, layer, child = Digest.of(b"config"), Digest.of(b"layer"), digest_of(document)
    assert await database.read(listed, pushed) == [
        (0, "config", config),
        (1, "layer", layer),
        (2, "layer", layer),
        (3, "layer", config),
    ]
    assert await database.read(listed, of_both) == [(0, "manifest", child), (1, "manifest", child)]


async def test_index_lists_manifests_and_blobs_in_one_order(database: Database) -> None:
    """As a cache of BuildKit does, and one that calls the same bytes both."""
    child = image(b"config")
    entries = [
        descriptor(b"first", "application/vnd.oci.image.layer.v1.tar"),
        descriptor(child.payload, child.media_type),
        descriptor(b"second", "application/vnd.buildkit.cacheconfig.v0"),
        descriptor(child.payload, "application/octet-stream"),
    ]
    body = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries}
    document = ManifestDocument.parse(json.dumps(body).encode(), media_types.OCI_INDEX)
    await database.write(push_image, child)
    await database.write(link, REPOSITORY, b"first", b"second", child.payload)
    pushed = await database.write(push, document)

    assert await database.read(listed, pushed) == [
        (0, "other", Digest.of(b"first")),
        (1, "manifest", digest_of(child)),
        (2, "other", Digest.of(b"second")),
        (3, "other", digest_of(child)),
    ]
    assert await database.read(edges) == (4, 1)


async def test_blob_that_comes_after_the_manifest_that_lists_it_stays(database: Database) -> None:
    """Where sparse manifests are allowed, and for layers that are not distributed."""
    pushed = await database.write(partial(push, sparse=True), image(b"config", [b"layer"]))
    assert await database.read(listed, pushed) == [
        (0, "config", Digest.of(b"config")),
        (1, "layer", Digest.of(b"layer")),
    ]
    await database.write(link, REPOSITORY, b"layer")
    await database.write(link, OTHER, b"layer")

    with pytest.raises(BlobInUse):
        await database.write(blobs.unlink, REPOSITORY, Digest.of(b"layer"))
    await database.write(blobs.unlink, OTHER, Digest.of(b"layer"))


@pytest.mark.parametrize("missing", [b"config", b"layer"])
async def test_manifest_that_needs_what_is_not_there_is_refused(database: Database, missing: bytes) -> None:
    await database.write(link, REPOSITORY, *({b"config", b"layer"} - {missing}))
    await database.write(link, OTHER, missing)

    with pytest.raises(ReferenceUnknown) as refused:
        await database.write(push, image(b"config", [b"layer"]))
    assert refused.value.detail == {"digests": [Digest.of(missing)], "missing": 1}
    assert await database.read(edges) == (0, 0)


async def test_refused_manifest_leaves_no_repository(database: Database) -> None:
    with pytest.raises(ReferenceUnknown):
        await database.write(push, image(b"config", [b"layer"]))

    assert await database.read(repositories.find, REPOSITORY) is None


async def test_sparse_manifest_is_kept_where_that_is_allowed(database: Database) -> None:
    document = index([image()])
    await database.write(link, REPOSITORY, b"layer")
    await database.write(partial(push, sparse=True), image(b"config", [b"layer"]), "image")
    await database.write(partial(push, sparse=True), document, "index")

    assert await database.read(edges) == (1, 2)


async def test_size_that_is_not_the_blobs_is_refused(database: Database) -> None:
    document = image(b"config")
    wrong = ManifestDocument.parse(
        document.payload.replace(b'"size": 6', b'"size": 7'), content_type=document.media_type
    )
    await database.write(link, REPOSITORY, b"config")

    with pytest.raises(ManifestInvalid):
        await database.write(push, wrong)
    with pytest.raises(ManifestInvalid):
        await database.write(partial(push, sparse=True), wrong)


async def test_removed_manifest_goes_with_its_tags_and_edges(database: Database) -> None:
    document, stays = image(b"config", [b"layer"]), image(b"other config")
    await database.write(push_image, document, "v1", "v2")
    await database.write(push_image, stays, "v3")
    await database.write(manifests.remove, REPOSITORY, digest_of(document))

    assert await database.read(manifests.find, REPOSITORY, digest_of(document)) is None
    assert await database.read(tags.names, REPOSITORY, "", 10) == ["v3"]
    assert await database.read(edges) == (1, 0)
    await database.write(blobs.unlink, REPOSITORY, Digest.of(b"layer"))
    with pytest.raises(ManifestUnknown):
        await database.write(manifests.remove, REPOSITORY, digest_of(document))


async def test_manifest_removed_from_nowhere(database: Database) -> None:
    with pytest.raises(RepositoryUnknown):
        await database.write(manifests.remove, REPOSITORY, Digest.of(b"nothing"))


async def test_child_of_a_tagged_index_stays(database: Database) -> None:
    """However deep it is; what no tag names, or a referrers fallback tag, can go in any order."""
    child = image()
    middle = index([child])
    top = index([middle])
    await database.write(push_image, child)
    await database.write(push, middle, f"sha256-{'a' * 64}")
    await database.write(push, top, "all")

    for needed in (middle, child):
        with pytest.raises(ManifestInUse, match="all"):
            await database.write(manifests.remove, REPOSITORY, digest_of(needed))
    await database.write(tags.remove, REPOSITORY, Tag("all"))
    await database.write(manifests.remove, REPOSITORY, digest_of(child))
    assert await database.read(manifests.find, REPOSITORY, digest_of(top)) is not None


async def test_push_that_fails_leaves_nothing(database: Database) -> None:
    document = image(b"config", [b"layer"])

    def fail(connection: Connection) -> None:
        push_image(connection, document, "v1")
        raise ValueError("after everything was written")

    with pytest.raises(ValueError, match="after everything"):
        await database.write(fail)
    assert await database.read(repositories.find, REPOSITORY) is None
    stored = blob(b"layer")
    assert await database.write(blobs.record, REPOSITORY, stored, NOW_MS) == stored
