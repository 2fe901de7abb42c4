"""Who may: the administrator everything, others what is public, and digests open nothing."""

import json
import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.functional.people import People, new_namespace
from tests.functional.repository import LARGE_BYTES, SMALL_BYTES, Repository, code_of, digest_of, noise
from tests.functional.setups import SetUp

REQUEST_ID = "x-request-id"


@pytest.fixture(scope="module")
def public_namespace(set_up: SetUp) -> Iterator[str]:
    """A namespace that its operator made public while the server runs."""
    name = f"public-{secrets.token_hex(4)}"
    set_up.command("namespace", "public", name)
    yield name
    set_up.command("namespace", "inherit", name)


@pytest.fixture
def public(public_namespace: str, admin: httpx.Client) -> Repository:
    """A public repository, as its administrator sees it."""
    return Repository(admin, f"{public_namespace}/{secrets.token_hex(4)}")


def test_everybody_pulls_what_is_public(public: Repository, anybody: httpx.Client) -> None:
    pushed = public.push_image("v1", layers=2)
    large = noise(LARGE_BYTES)
    public.push_blob(large)
    theirs = public.by(anybody)

    assert theirs.manifest("v1").content == pushed.payload
    for layer in theirs.manifest(pushed.digest).json()["layers"]:
        assert digest_of(theirs.blob(layer["digest"]).content) == layer["digest"]
    assert theirs.blob(digest_of(large)).content == large
    assert theirs.tags().json()["tags"] == ["v1"]
    assert theirs.referrers(pushed.digest).status_code == 200


def test_nobody_else_writes_to_what_is_public(public: Repository, anybody: httpx.Client) -> None:
    pushed = public.push_image("v1")
    address = public.new_upload()
    theirs = public.by(anybody)
    answers = [
        theirs.put_manifest(pushed, "v2"),
        theirs.start_upload(),
        theirs.start_upload(mount=pushed.digest, **{"from": public.name}),
        theirs.send(address, b"content"),
        theirs.finish(address, digest_of(b"content"), b"content"),
        theirs.delete_manifest("v1"),
        theirs.client.delete(f"{public.path}/blobs/{digest_of(b'content')}"),
        theirs.client.delete(address),
        theirs.client.get(address),
    ]

    for answer in answers:
        assert (answer.status_code, code_of(answer)) == (401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert public.tags().json()["tags"] == ["v1"]


def test_private_repository_and_none_look_alike(repository: Repository, anybody: httpx.Client) -> None:
    pushed = repository.push_image("v1")
    private = repository.by(anybody)
    nothing = Repository(anybody, f"story/{secrets.token_hex(6)}")

    for ask in (
        lambda r: r.manifest("v1"),
        lambda r: r.manifest(pushed.digest),
        lambda r: r.blob(digest_of(b"content")),
        lambda r: r.tags(),
        lambda r: r.referrers(pushed.digest),
        lambda r: r.start_upload(),
    ):
        assert told(ask(private), private) == told(ask(nothing), nothing)
        assert ask(private).status_code == 401


@pytest.mark.parametrize("size", [SMALL_BYTES, LARGE_BYTES])
def test_digest_of_another_private_repository_opens_nothing_and_tells_nothing(
    repository: Repository, public: Repository, anybody: httpx.Client, size: int
) -> None:
    """Whoever knows a digest learns neither the content nor whether anybody has it."""
    public.push_image("v1")
    known, unknown = repository.push_blob(noise(size)), digest_of(noise(size))
    image = repository.push_image("v1")
    absent = digest_of(noise(SMALL_BYTES))
    for client in (anybody, public.client):
        theirs = public.by(client)
        assert told(theirs.blob(known), theirs, known) == told(theirs.blob(unknown), theirs, unknown)
        assert theirs.blob(known).status_code == 404
        assert theirs.blob(known, "HEAD").status_code == 404
        assert theirs.manifest(image.digest).status_code == 404
        assert told(theirs.manifest(image.digest), theirs, image.digest) == told(
            theirs.manifest(absent), theirs, absent
        )


def test_namespace_becomes_private_again_at_once(set_up: SetUp, admin: httpx.Client, anybody: httpx.Client) -> None:
    name = f"closing-{secrets.token_hex(4)}"
    repository = Repository(admin, f"{name}/app")
    repository.push_image("v1")
    theirs = repository.by(anybody)
    for command, status in (("public", 200), ("private", 401), ("public", 200), ("inherit", 401)):
        set_up.command("namespace", command, name)
        assert set_up.soon(lambda status=status: theirs.manifest("v1").status_code == status)


def test_wrong_password_is_refused_everywhere(set_up: SetUp, public: Repository) -> None:
    public.push_image("v1")
    credentials = [
        ("admin", "wrong"),
        ("nobody", "wrong"),
        ("admin", set_up.server.password + " "),
        ("Admin", set_up.server.password),
    ]
    for pair in credentials:
        with set_up.server.client(anonymous=True) as client:
            client.auth = pair
            for answer in (client.get("/v2/"), public.by(client).manifest("v1")):
                assert (answer.status_code, code_of(answer)) == (401, "UNAUTHORIZED")
                assert "wrong" in answer.json()["errors"][0]["message"]


def told(answer: httpx.Response, repository: Repository, digest: str = "") -> tuple[int, str, dict[str, str]]:
    """All that an answer tells, but for the names that the client itself gave."""

    def without_names(text: str) -> str:
        for name, replacement in ((repository.name, "NAME"), (digest, "DIGEST")):
            text = text.replace(name, replacement) if name else text
        return text

    headers = {name: without_names(value) for name, value in answer.headers.items() if name not in {REQUEST_ID, "date"}}
    body = without_names(answer.text)
    headers.pop("content-length", None)
    return answer.status_code, body, headers


def test_who_may_push_may_look_whether_it_is_there(people: People) -> None:
    """In that repository, and no more than that: clients ask before they send."""
    namespace = new_namespace()
    pushed = Repository(people.admin, f"{namespace}/app").push_image("v1")
    role = f"pusher-{namespace}"
    assert people.admin.put(f"/api/v1/roles/{role}", json={"permissions": ["repository:push"]}).status_code == 201
    pusher = people.with_role(role, "repository", f"{namespace}/app").client
    theirs = Repository(pusher, f"{namespace}/app")
    layer = json.loads(pushed.payload)["layers"][0]["digest"]

    for reference in ("v1", pushed.digest):
        head = theirs.manifest(reference, "HEAD")
        assert (head.status_code, head.headers["docker-content-digest"]) == (200, pushed.digest)
        assert theirs.manifest(reference).status_code == 403
    assert theirs.manifest("v2", "HEAD").status_code == 404
    assert theirs.has_blob(layer)
    assert theirs.blob(layer).status_code == 403
    assert theirs.blob(digest_of(b"nothing"), "HEAD").status_code == 404
    assert theirs.tags().status_code == 403
    elsewhere = Repository(pusher, f"{namespace}/other")
    assert elsewhere.manifest("v1", "HEAD").status_code == 403
    assert elsewhere.blob(layer, "HEAD").status_code == 403
