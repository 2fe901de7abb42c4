"""Referrers: manifests whose subject is another one (OCI distribution specification, "Listing Referrers")."""

from sqlalchemy import Connection, bindparam, select

from entrepot.content.tables import manifest_contents, manifests, repositories
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName

_ALL = (
    select(manifests.c.id, manifest_contents.c.referrer_descriptor)
    .join(manifest_contents, manifest_contents.c.manifest_id == manifests.c.id)
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .where(
        repositories.c.name == bindparam("name"),
        manifests.c.subject == bindparam("subject"),
        manifests.c.id > bindparam("after"),
    )
    .order_by(manifests.c.id)
    .limit(bindparam("limit"))
)
_OF_TYPE = _ALL.where(manifests.c.artifact_type == bindparam("artifact_type"))


def descriptors(
    connection: Connection,
    repository: RepositoryName,
    subject: Digest,
    artifact_type: str | None,
    after: int,
    limit: int,
) -> list[tuple[int, bytes]]:
    """(position, descriptor as JSON) in order of arrival, after a position. Empty for an unknown repository."""
    values: dict[str, object] = {"name": repository, "subject": subject, "after": after, "limit": limit}
    if artifact_type is None:
        rows = connection.execute(_ALL, values)
    else:
        rows = connection.execute(_OF_TYPE, {**values, "artifact_type": artifact_type})
    return [(row.id, bytes(row.referrer_descriptor)) for row in rows]
