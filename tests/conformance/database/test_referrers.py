import json
import random

import pytest

from entrepot.content import manifests, referrers
from entrepot.database.database import Database
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName
from tests.conformance.database.content import REPOSITORY, digest_of, image, push_image

pytestmark = pytest.mark.anyio

SUBJECT = Digest.of(b"the subject, which need not be there")


async def names(database: Database, artifact_type: str | None = None, after: int = 0, limit: int = 1000) -> list[str]:
    """The digests of the subject's referrers."""
    found = await database.read(referrers.descriptors, REPOSITORY, SUBJECT, artifact_type, after, limit)
    return [json.loads(entry)["digest"] for _, entry in found]


async def test_referrer_is_described_as_the_specification_wants(database: Database) -> None:
    annotations = {"org.example.note": 'é \N{SNOWMAN} \U0001f600 " \\ \n', "": "", "empty": ""}
    document = image(b"config", subject=SUBJECT, artifact_type="application/x-sbom", annotations=annotations)
    await database.write(push_image, document)

    ((_, entry),) = await database.read(referrers.descriptors, REPOSITORY, SUBJECT, None, 0, 10)
    assert json.loads(entry) == {
        "mediaType": document.media_type,
        "digest": digest_of(document),
        "size": len(document.payload),
        "artifactType": "application/x-sbom",
        "annotations": annotations,
    }


async def test_image_without_artifact_type_is_listed_with_its_configs(database: Database) -> None:
    await database.write(push_image, image(b"config", subject=SUBJECT))

    ((_, entry),) = await database.read(referrers.descriptors, REPOSITORY, SUBJECT, None, 0, 10)
    assert json.loads(entry)["artifactType"] == "application/vnd.oci.image.config.v1+json"


async def test_referrers_are_those_of_the_subject_in_the_repository(database: Database) -> None:
    mine = image(b"mine", subject=SUBJECT)
    await database.write(push_image, mine)
    await database.write(push_image, image(b"of another", subject=Digest.of(b"another subject")))
    await database.write(push_image, image(b"of none"))

    assert await names(database) == [digest_of(mine)]
    for repository in ("other/app", "no/such"):
        found = await database.read(referrers.descriptors, RepositoryName(repository), SUBJECT, None, 0, 10)
        assert found == []


async def test_filter_by_artifact_type_takes_the_very_type(database: Database) -> None:
    kinds = ("application/x-sbom", "application/x-SBOM", "application/x-sbom+json", "ünïcode")
    documents = {kind: image(kind.encode(), subject=SUBJECT, artifact_type=kind) for kind in kinds}
    for document in documents.values():
        await database.write(push_image, document)

    for kind in kinds:
        assert await names(database, kind) == [digest_of(documents[kind])]
    assert await names(database, "application/x-nothing") == []
    assert len(await names(database)) == 4


@pytest.mark.parametrize("artifact_type", [None, "application/x-a"])
async def test_pages_put_together_are_the_whole_list(database: Database, artifact_type: str | None) -> None:
    expected = []
    kinds = random.Random(1).choices(["application/x-a", "application/x-b"], k=60)
    for number, kind in enumerate(kinds):
        document = image(str(number).encode(), subject=SUBJECT, artifact_type=kind)
        await database.write(push_image, document, durable=False)
        if artifact_type in {None, kind}:
            expected.append(digest_of(document))

    listed: list[str] = []
    after = 0
    while page := await database.read(referrers.descriptors, REPOSITORY, SUBJECT, artifact_type, after, 7):
        after = page[-1][0]
        listed += [json.loads(entry)["digest"] for _, entry in page]
    assert listed == expected


async def test_removed_referrer_is_not_listed(database: Database) -> None:
    document = image(b"config", subject=SUBJECT)
    await database.write(push_image, document)
    await database.write(manifests.remove, REPOSITORY, digest_of(document))

    assert await names(database) == []


async def test_subject_pushed_after_its_referrer(database: Database) -> None:
    subject = image(b"subject")
    document = image(b"config", subject=digest_of(subject))
    await database.write(push_image, document)
    await database.write(push_image, subject, "v1")

    found = await database.read(referrers.descriptors, REPOSITORY, digest_of(subject), None, 0, 10)
    assert [json.loads(entry)["digest"] for _, entry in found] == [digest_of(document)]
    await database.write(manifests.remove, REPOSITORY, digest_of(subject))
    found = await database.read(referrers.descriptors, REPOSITORY, digest_of(subject), None, 0, 10)
    assert len(found) == 1
