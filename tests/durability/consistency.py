"""What has to hold between the database and the files, read from both without asking the registry."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, func, select
from sqlalchemy.pool import NullPool

from entrepot.content.tables import (
    blob_contents,
    blobs,
    edges,
    manifest_contents,
    manifests,
    repositories,
    repository_blobs,
    repository_usage,
    tags,
    uploads,
)
from tests.clients.images import digest_of


@contextmanager
def reading(data: Path) -> Iterator[Connection]:
    """A connection to the registry's database."""
    engine = create_engine(f"sqlite:///{data / 'entrepot.db'}", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def assert_consistent(data: Path, storage: Path | None = None) -> None:
    """The database is whole; each blob's row has its bytes; each manifest has its blobs."""
    storage = storage or data / "storage"
    with reading(data) as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        for digest, size, location, kept in connection.execute(
            select(blobs.c.digest, blobs.c.size, blobs.c.location, blob_contents.c.content).outerjoin(
                blob_contents, blob_contents.c.blob_id == blobs.c.id
            )
        ):
            assert (location is None) == (kept is not None)
            content = kept if location is None else (storage / location).read_bytes()
            assert (digest_of(content), len(content)) == (digest, size)
        for manifest_id, digest, payload in connection.execute(
            select(manifests.c.id, manifests.c.digest, manifest_contents.c.payload).join(
                manifest_contents, manifest_contents.c.manifest_id == manifests.c.id
            )
        ):
            assert digest_of(payload) == digest
            assert _linked(connection, manifest_id) == _needed(payload)
        assert _usage(connection) == _counted(connection)


def _usage(connection: Connection) -> dict[int, tuple[int, ...]]:
    """Of each repository: how many tags, manifests and bytes it has, as it says."""
    return {number: tuple(usage) for number, *usage in connection.execute(select(repository_usage))}


def _counted(connection: Connection) -> dict[int, tuple[int, ...]]:
    """The same, counted."""
    of_repository = repositories.c.id
    counts = [
        select(func.count()).where(table.c.repository_id == of_repository).scalar_subquery()
        for table in (tags, manifests)
    ]
    linked = select(func.coalesce(func.sum(blobs.c.size), 0)).join(
        repository_blobs, repository_blobs.c.blob_id == blobs.c.id
    )
    size = linked.where(repository_blobs.c.repository_id == of_repository).scalar_subquery()
    return {number: tuple(counted) for number, *counted in connection.execute(select(of_repository, *counts, size))}


def files(data: Path, storage: Path | None = None) -> set[str]:
    """The locations of all stored bytes, of blobs and of uploads."""
    root = storage or data / "storage"
    found = (path for folder in ("blobs", "uploads") for path in (root / folder).rglob("*"))
    return {str(path.relative_to(root)) for path in found if path.is_file()}


def blob_locations(data: Path) -> dict[str, str]:
    """Where the database says that each blob is, by digest; those that it has itself are left out."""
    with reading(data) as connection:
        rows = connection.execute(select(blobs.c.digest, blobs.c.location).where(blobs.c.location.is_not(None)))
        return {row.digest: row.location for row in rows}


def upload_ids(data: Path) -> set[str]:
    """The uploads that can be gone on with."""
    with reading(data) as connection:
        return set(connection.execute(select(uploads.c.id).where(uploads.c.cancelled.is_(False))).scalars())


def _needed(payload: bytes) -> set[str]:
    document = json.loads(payload)
    return {descriptor["digest"] for descriptor in (document["config"], *document["layers"])}


def _linked(connection: Connection, manifest_id: int) -> set[str]:
    """The blobs that a manifest holds, of those that its repository may read."""
    held = (
        select(blobs.c.digest)
        .join(edges, edges.c.blob_id == blobs.c.id)
        .join(
            repository_blobs,
            (repository_blobs.c.blob_id == blobs.c.id) & (repository_blobs.c.repository_id == edges.c.repository_id),
        )
        .where(edges.c.manifest_id == manifest_id)
    )
    return set(connection.execute(held).scalars())
