"""What somebody without rights learns of what others have: nothing, not even whether it is there."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass

import pytest

from entrepot.identity import passwords
from tests.hostile.answers import assert_refused, assert_well_formed
from tests.hostile.remains import remains
from tests.hostile.target import OCI_MANIFEST, Image, Target, basic, descriptor, push_image, sha256
from tests.hostile.wire import Answer
from tests.peers.entrepot import PROGRAM
from tests.peers.process import run

PRIVATE, ABSENT = "secret/plans", "secret/birds"
"""Two names of one length: one is a repository, the other is none."""
PUBLIC = "open/shared"
OTHER, PASSWORD = "mallory", "a password of her own"
PASSING_HEADERS = frozenset({"date", "x-request-id"})


@dataclass(frozen=True)
class Tenants:
    """A private image, and a public one that has another layer."""

    private: Image
    public: Image

    @property
    def private_manifest(self) -> str:
        return self.private.digest

    @property
    def private_layer(self) -> str:
        return sha256(self.private.layer)


@pytest.fixture(scope="module")
def tenants(target: Target) -> Tenants:
    """A public namespace beside a private one, and a user who may do nothing of her own."""
    run([PROGRAM, "namespace", "public", "open", "--data", target.data])
    with closing(sqlite3.connect(target.data / "entrepot.db", timeout=60)) as database, database:
        row = ("local", OTHER, OTHER, "", "", passwords.hash_password(PASSWORD), False, False, False, 0, 0)
        database.execute(
            "INSERT INTO users (provider, subject, name, display_name, email, password_hash, administrator, disabled,"
            " gone, epoch, created_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        database.execute("INSERT INTO changes (topic) VALUES ('users')")
    private, public = push_image(target, PRIVATE, "private"), push_image(target, PUBLIC, "public")
    document = private.with_changes(subject=descriptor(private.payload, OCI_MANIFEST))
    payload = json.dumps(document).encode()
    assert target.push_manifest(PRIVATE, sha256(payload), payload).status == 201
    return Tenants(private, public)


@pytest.fixture(params=["nobody", "nobody-with-a-token", "other", "other-with-a-token"])
def stranger(request: pytest.FixtureRequest, target: Target, tenants: Tenants) -> str | None:
    """The Authorization header of somebody who may see the public repository and nothing else."""
    own = basic(OTHER, PASSWORD) if "other" in request.param else None
    if "token" not in request.param:
        return own
    scopes = "&".join(f"scope=repository:{name}:pull,push,delete" for name in (PRIVATE, ABSENT, PUBLIC))
    answer = target.ask("GET", f"/token?{scopes}&scope=registry:catalog:*", authorization=own)
    assert answer.status == 200
    return f"Bearer {answer.json['token']}"


def _seen(answer: Answer, *names: str) -> tuple[object, ...]:
    """Everything of an answer that a stranger can compare, without the words that were asked with."""
    headers = [(name, value) for name, value in answer.headers if name not in PASSING_HEADERS]
    text = repr((answer.status, headers, answer.body))
    for name in names:
        text = text.replace(name, "ASKED")
    return (text,)


def test_repository_that_is_private_looks_like_none(target: Target, tenants: Tenants, stranger: str | None) -> None:
    unknown = sha256(b"nobody has this")
    before = remains(target.data)
    probes = [
        ("GET", "manifests/held", b""),
        ("HEAD", "manifests/held", b""),
        ("GET", f"manifests/{tenants.private_manifest}", b""),
        ("HEAD", f"manifests/{tenants.private_manifest}", b""),
        ("GET", f"blobs/{tenants.private_layer}", b""),
        ("HEAD", f"blobs/{tenants.private_layer}", b""),
        ("GET", "tags/list", b""),
        ("GET", f"referrers/{tenants.private_manifest}", b""),
        ("PUT", "manifests/held", tenants.private.payload),
        ("PUT", f"manifests/{tenants.private_manifest}", tenants.private.payload),
        ("DELETE", "manifests/held", b""),
        ("DELETE", f"manifests/{tenants.private_manifest}", b""),
        ("DELETE", f"blobs/{tenants.private_layer}", b""),
        ("POST", "blobs/uploads/", b""),
        ("POST", f"blobs/uploads/?mount={tenants.private_layer}", b""),
        ("POST", f"blobs/uploads/?mount={tenants.private_layer}&from={PRIVATE}", b""),
        ("POST", f"blobs/uploads/?digest={tenants.private_layer}", tenants.private.layer),
        ("BREW", "manifests/held", b""),
    ]
    for method, path, body in probes:
        # Not from the cache alone, and not from the database alone: each twice.
        for _ in range(2):
            there, absent, made_up = (
                target.ask(method, f"/v2/{name}/{asked}", [], body, authorization=stranger)
                for name, asked in (
                    (PRIVATE, path),
                    (ABSENT, path),
                    (PRIVATE, path.replace(tenants.private_layer, unknown).replace(tenants.private_manifest, unknown)),
                )
            )
            assert there.status in {401, 403, 405}
            assert_well_formed(there, head=method == "HEAD")
            assert _seen(there, PRIVATE, ABSENT) == _seen(absent, PRIVATE, ABSENT)
            assert _seen(there) == _seen(made_up)
    assert remains(target.data) == before


def test_content_of_a_private_repository_is_unknown_in_a_public_one(
    target: Target, tenants: Tenants, stranger: str | None
) -> None:
    if stranger is not None and stranger.startswith("Bearer"):
        # A token has to be for the repository: that of nobody, too.
        assert target.ask("GET", f"/v2/{PUBLIC}/manifests/held", authorization=stranger).status == 200
    unknown = sha256(b"nobody has this")
    for kind, digest, status in (
        ("blobs", tenants.private_layer, 404),
        ("blobs", tenants.private_manifest, 404),
        ("manifests", tenants.private_manifest, 404),
        ("manifests", tenants.private_layer, 404),
        ("referrers", tenants.private_manifest, 200),
    ):
        for method in ("GET", "HEAD") if kind != "referrers" else ("GET",):
            for headers in ([], [("Range", "bytes=0-0")], [("If-None-Match", f'"{digest}"')]):
                known, made_up = (
                    target.ask(method, f"/v2/{PUBLIC}/{kind}/{asked}", headers, authorization=stranger)
                    for asked in (digest, unknown)
                )
                assert known.status == status
                assert _seen(known, digest, unknown) == _seen(made_up, digest, unknown)


def test_repository_that_is_public_can_be_read_and_nothing_else(
    target: Target, tenants: Tenants, stranger: str | None
) -> None:
    before = remains(target.data)
    layer = sha256(tenants.public.layer)
    for path in (f"manifests/{tenants.public.tag}", f"blobs/{layer}", "tags/list"):
        assert target.ask("GET", f"/v2/{PUBLIC}/{path}", authorization=stranger).status == 200
    for method, path, body in (
        ("PUT", "manifests/new", tenants.public.payload),
        ("DELETE", f"manifests/{tenants.public.tag}", b""),
        ("DELETE", f"blobs/{layer}", b""),
        ("POST", "blobs/uploads/", b""),
        ("POST", f"blobs/uploads/?mount={tenants.private_layer}&from={PRIVATE}", b""),
        ("POST", f"blobs/uploads/?digest={layer}", tenants.public.layer),
    ):
        answer = target.ask(method, f"/v2/{PUBLIC}/{path}", [], body, authorization=stranger)
        assert answer.status in {401, 403}
        assert_well_formed(answer)
    assert remains(target.data) == before


def test_catalog_has_nothing_private_for_strangers(
    request: pytest.FixtureRequest, target: Target, tenants: Tenants, stranger: str | None
) -> None:
    known = "other" in request.node.callspec.params["stranger"]
    for query in ("", "?n=1", "?last=a", f"?last={PRIVATE}"):
        answer = target.ask("GET", f"/v2/_catalog{query}", authorization=stranger)
        assert answer.status == (200 if known else 401)
        assert_well_formed(answer)
        assert PRIVATE.encode() not in answer.body
        if known:
            assert set(answer.json["repositories"]) <= {PUBLIC}


def test_token_for_a_private_repository_says_what_one_for_none_says(
    target: Target, tenants: Tenants, stranger: str | None
) -> None:
    answers = [
        target.ask("GET", f"/token?scope=repository:{name}:*", authorization=stranger) for name in (PRIVATE, ABSENT)
    ]
    # Tokens are not traded for others.
    status = 401 if stranger is not None and stranger.startswith("Bearer") else 200
    assert [answer.status for answer in answers] == [status, status]
    assert len({(tuple(answer.json), len(answer.body)) for answer in answers}) == 1


def test_upload_address_of_somebody_else_is_of_no_use(target: Target, tenants: Tenants, stranger: str | None) -> None:
    location = target.start_upload(PRIVATE)
    before = remains(target.data)
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        body = b"evil" if method in {"PATCH", "PUT"} else b""
        answer = target.ask(method, location, [], body, authorization=stranger)
        assert answer.status in {401, 403}
        assert_well_formed(answer)
    assert remains(target.data) == before


def test_user_without_rights_is_told_so_and_nobody_is_asked_to_sign_in(target: Target, tenants: Tenants) -> None:
    path = f"/v2/{PRIVATE}/manifests/held"
    assert_refused(target.ask("GET", path, authorization=basic(OTHER, PASSWORD)), 403, "DENIED")
    assert_refused(target.ask("GET", path, authorization=None), 401, "UNAUTHORIZED")
    assert_refused(target.ask("GET", path, authorization=basic(OTHER, "wrong")), 401, "UNAUTHORIZED")
    # Whether a user is there is told by nothing but the password.
    wrong, absent = (target.ask("GET", path, authorization=basic(name, "wrong")) for name in (OTHER, "nobody1"))
    assert _seen(wrong) == _seen(absent)
