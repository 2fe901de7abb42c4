"""Signatures, SBOMs and whatever else is about an image."""

import json

import pytest

from tests.functional.repository import (
    EMPTY,
    INDEX,
    SMALL_BYTES,
    Manifest,
    Repository,
    descriptor,
    digest_of,
    manifest,
    noise,
    pages,
)


def push_referrer(repository: Repository, subject: Manifest, kind: str = "application/x-sbom") -> Manifest:
    """An artifact about the subject."""
    layer = noise(SMALL_BYTES)
    for content in (b"{}", layer):
        repository.push_blob(content)
    pushed = manifest(
        artifactType=kind,
        config=descriptor(b"{}", EMPTY),
        layers=[descriptor(layer, kind)],
        subject=subject.descriptor(),
        annotations={"note": "é"},
    )
    answer = repository.push_manifest(pushed)
    assert answer.headers["oci-subject"] == subject.digest
    return pushed


def test_image_without_referrers_has_an_empty_list(repository: Repository) -> None:
    pushed = repository.push_image("v1")
    for digest in (pushed.digest, digest_of(b"nothing")):
        answer = repository.referrers(digest)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == INDEX
        assert answer.json() == {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}


def test_referrer_is_listed_with_its_type_and_annotations(repository: Repository) -> None:
    subject = repository.push_image("v1")
    referrer = push_referrer(repository, subject)

    assert repository.referrers(subject.digest).json()["manifests"] == [
        {**referrer.descriptor(), "artifactType": "application/x-sbom", "annotations": {"note": "é"}}
    ]


def test_subject_may_come_after_its_referrer(repository: Repository) -> None:
    subject = repository.push_image()
    repository.delete_manifest(subject.digest)
    referrer = push_referrer(repository, subject)
    assert repository.manifest(subject.digest).status_code == 404
    repository.push_manifest(subject, "v1")

    listed = repository.referrers(subject.digest).json()["manifests"]
    assert [entry["digest"] for entry in listed] == [referrer.digest]


def test_list_is_filtered_by_type(repository: Repository) -> None:
    subject = repository.push_image("v1")
    kinds = ("application/x-sbom", "application/x-signature+json", "application/x-sbom")
    pushed = [(kind, push_referrer(repository, subject, kind).digest) for kind in kinds]

    for kind in (*set(kinds), "application/x-nothing"):
        answer = repository.referrers(subject.digest, artifactType=kind)
        assert answer.headers["oci-filters-applied"] == "artifactType"
        assert [entry["digest"] for entry in answer.json()["manifests"]] == [
            digest for other, digest in pushed if other == kind
        ]
    assert "oci-filters-applied" not in repository.referrers(subject.digest).headers


@pytest.mark.parametrize("kind", [None, "application/x-a+json"])
def test_list_comes_in_pages(repository: Repository, kind: str | None) -> None:
    subject = repository.push_image("v1")
    kinds = ["application/x-a+json", "application/x-b"] * 4
    pushed = [(other, push_referrer(repository, subject, other).digest) for other in kinds]
    query: dict[str, str | int] = {"n": 3} if kind is None else {"n": 3, "artifactType": kind}

    bodies = pages(repository.client, repository.referrers(subject.digest, **query))
    assert all(len(body["manifests"]) <= 3 for body in bodies)
    listed = [entry["digest"] for body in bodies for entry in body["manifests"]]
    assert listed == [digest for other, digest in pushed if kind in {None, other}]


def test_list_of_large_descriptors_comes_in_pages_that_clients_read(repository: Repository) -> None:
    """An index of more than 4 MiB is read by no client."""
    subject = repository.push_image("v1")
    repository.push_blob(b"{}")
    pushed = []
    for number in range(4):
        referrer = manifest(
            artifactType="application/x-large",
            config=descriptor(b"{}", EMPTY),
            layers=[],
            subject=subject.descriptor(),
            annotations={"number": str(number), "padding": "x" * 1_800_000},
        )
        repository.push_manifest(referrer)
        pushed.append(referrer.digest)

    bodies = pages(repository.client, repository.referrers(subject.digest))
    assert len(bodies) > 1
    assert all(len(json.dumps(body)) <= 4 * 1024 * 1024 for body in bodies)
    assert [entry["digest"] for body in bodies for entry in body["manifests"]] == pushed


def test_deleted_referrer_is_not_listed(repository: Repository) -> None:
    subject = repository.push_image("v1")
    gone, stays = (push_referrer(repository, subject) for _ in range(2))
    repository.delete_manifest(gone.digest)

    listed = repository.referrers(subject.digest).json()["manifests"]
    assert [entry["digest"] for entry in listed] == [stays.digest]


def test_fallback_tag_of_older_clients_is_kept_and_hidden(repository: Repository) -> None:
    subject = repository.push_image("v1")
    tag = subject.digest.replace(":", "-")
    assert repository.manifest(tag).status_code == 404
    referrer = push_referrer(repository, subject)
    fallback = manifest(INDEX, manifests=[referrer.descriptor()])
    repository.push_manifest(fallback, tag)

    assert repository.manifest(tag).content == fallback.payload
    assert repository.tags().json()["tags"] == ["v1"]
    assert repository.delete_manifest(tag).status_code == 202


def test_index_can_refer_too(repository: Repository) -> None:
    subject = repository.push_image("v1")
    child = repository.push_image()
    referrer = manifest(
        INDEX, artifactType="application/x-list", manifests=[child.descriptor()], subject=subject.descriptor()
    )
    repository.push_manifest(referrer)

    listed = repository.referrers(subject.digest, artifactType="application/x-list").json()["manifests"]
    assert listed == [{**referrer.descriptor(), "artifactType": "application/x-list"}]


def test_referrers_of_one_repository_are_not_those_of_another(
    repository: Repository, other_repository: Repository
) -> None:
    subject = repository.push_image("v1")
    push_referrer(repository, subject)

    assert other_repository.referrers(subject.digest).json()["manifests"] == []
