"""What people without enough rights are told: what is missing, and nothing about what is there."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.functional.people import PASSWORD, People, Person, new_namespace
from tests.functional.repository import SMALL_BYTES, Manifest, Repository, code_of, digest_of, image, noise
from tests.functional.setups import SetUp
from tests.functional.test_access import told

TOKEN_LIFETIME_SECONDS_MIN = 60


@dataclass(frozen=True)
class Team:
    """A namespace with one image in it, and its people."""

    repository: Repository
    pushed: Manifest
    reader: Person
    developer: Person
    stranger: Person

    @property
    def namespace(self) -> str:
        return self.repository.name.partition("/")[0]


@pytest.fixture(scope="module")
def team(people: People) -> Team:
    namespace = new_namespace()
    repository = Repository(people.admin, f"{namespace}/app")
    pushed = repository.push_image("v1")
    return Team(
        repository,
        pushed,
        people.with_role("reader", "namespace", namespace),
        people.with_role("developer", "namespace", namespace),
        people.person("stranger"),
    )


@pytest.fixture
def with_bearer(set_up: SetUp) -> Iterator[Callable[[httpx.Client, str], httpx.Client]]:
    """The same person, as docker goes on: with a token for these scopes."""
    clients: list[httpx.Client] = []

    def get(client: httpx.Client, scope: str) -> httpx.Client:
        answer = client.get("/token", params={"scope": scope, "service": "entrepot"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["expires_in"] >= TOKEN_LIFETIME_SECONDS_MIN
        made = set_up.server.client(anonymous=True)
        made.headers["authorization"] = f"Bearer {answer.json()['token']}"
        clients.append(made)
        return made

    yield get
    for made in clients:
        made.close()


def writes(repository: Repository, pushed: Manifest) -> list[httpx.Response]:
    """All that needs more than reading."""
    digest = digest_of(noise(SMALL_BYTES))
    return [
        repository.start_upload(),
        repository.start_upload(mount=pushed.digest),
        repository.start_upload(digest=digest),
        repository.put_manifest(pushed, "v2"),
        repository.put_manifest(pushed),
        repository.delete_manifest("v1"),
        repository.delete_manifest(pushed.digest),
        repository.client.delete(f"{repository.path}/blobs/{digest}"),
    ]


def test_reader_who_pushes_is_told_which_role_it_takes(team: Team) -> None:
    theirs = team.repository.by(team.reader.client)
    assert theirs.manifest("v1").content == team.pushed.payload

    for answer in writes(theirs, team.pushed):
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["code"]) == (403, "DENIED")
        assert error["detail"]["roles_held"] == ["reader"]
        needed = ["maintainer", "owner", "administrator"]
        if error["detail"]["permission"] == "repository:push":
            needed.insert(0, "developer")
        assert error["detail"]["roles_needed"] == needed
        assert "you have reader" in error["message"]
        assert all(role in error["message"] for role in needed)
    assert team.repository.tags().json()["tags"] == ["v1"]


def test_reader_who_pushes_as_docker_does_is_told_the_same(
    team: Team, with_bearer: Callable[[httpx.Client, str], httpx.Client]
) -> None:
    """Docker asks for a token to pull and push, gets one to pull, and tries with that."""
    scoped = with_bearer(team.reader.client, f"repository:{team.repository.name}:pull,push,delete")
    theirs = team.repository.by(scoped)

    assert theirs.manifest("v1").content == team.pushed.payload
    for answer in writes(theirs, team.pushed):
        assert (answer.status_code, code_of(answer)) == (403, "DENIED")
        assert answer.json()["errors"][0]["detail"]["roles_held"] == ["reader"]


def test_developer_with_a_token_to_pull_is_told_to_get_another(
    team: Team, with_bearer: Callable[[httpx.Client, str], httpx.Client]
) -> None:
    scoped = with_bearer(team.developer.client, f"repository:{team.repository.name}:pull")
    refused = team.repository.by(scoped).start_upload()

    assert (refused.status_code, code_of(refused)) == (401, "UNAUTHORIZED")
    challenge = refused.headers["www-authenticate"]
    assert f'scope="repository:{team.repository.name}:pull,push"' in challenge
    assert 'error="insufficient_scope"' in challenge
    better = with_bearer(team.developer.client, f"repository:{team.repository.name}:pull,push")
    assert team.repository.by(better).start_upload().status_code == 202


def test_tokens_get_what_was_asked_and_what_may_be_and_no_more(people: People, team: Team) -> None:
    name, other = team.repository.name, f"{new_namespace()}/app"
    cases = {
        f"repository:{name}:pull,push,delete": [(name, ["pull", "push"])],
        f"repository:{name}:*": [(name, ["pull", "push"])],
        f"repository:{name}:push": [(name, ["push"])],
        f"repository:{name}:delete": [],
        f"repository:{name}:": [],
        f"repository:{name}:fly": [],
        f"repository:{other}:pull": [],
        f"repository:{team.namespace}:pull": [(team.namespace, ["pull"])],
        f"repository:{team.namespace}-x/app:pull": [],
        f"repository:{name}/../x:pull": [],
        f"repository(plugin):{name}:pull": [(name, ["pull"])],
        f"robot:{name}:*": [],
        "registry:users:*": [],
        f"repository:{name}:pull repository:{other}:pull": [(name, ["pull"])],
    }
    form = {"grant_type": "password", "username": team.developer.name, "password": PASSWORD}
    for scope, expected in cases.items():
        answer = people.admin.post("/token", data={**form, "scope": scope}).json()
        found = [part.split(":") for part in answer["scope"].split()]
        assert [(part[1], part[2].split(",")) for part in found] == expected, scope


def test_limited_token_reaches_what_is_in_its_limits_and_its_owner_may(people: People, team: Team) -> None:
    other = Repository(people.admin, f"{team.namespace}/other")
    other.push_image("v1")
    pulls = people.limited(team.developer, ("repository:pull", "repository", team.repository.name))
    wide = people.limited(team.reader, ("*", "registry", ""))

    assert team.repository.by(pulls).manifest("v1").status_code == 200
    for answer in (other.by(pulls).manifest("v1"), team.repository.by(pulls).start_upload()):
        assert (answer.status_code, code_of(answer)) == (403, "DENIED")
        assert "your token is limited" in answer.json()["errors"][0]["message"]
    assert pulls.get("/v2/_catalog").json()["repositories"] == [team.repository.name]
    assert other.by(wide).manifest("v1").status_code == 200
    assert other.by(wide).start_upload().status_code == 403


PROBES: dict[str, Callable[[Repository, str], httpx.Response]] = {
    "manifest by tag": lambda r, d: r.manifest("v1"),
    "manifest by digest": lambda r, d: r.manifest(d),
    "manifest head": lambda r, d: r.manifest("v1", "HEAD"),
    "blob": lambda r, d: r.blob(d),
    "blob head": lambda r, d: r.blob(d, "HEAD"),
    "blob range": lambda r, d: r.blob(d, headers={"range": "bytes=0-1"}),
    "blob unmodified": lambda r, d: r.blob(d, headers={"if-none-match": f'"{d}"'}),
    "tags": lambda r, d: r.tags(),
    "tags page": lambda r, d: r.tags(n=1, last="a"),
    "referrers": lambda r, d: r.referrers(d),
    "put manifest": lambda r, d: r.put_manifest(image(b"", []), "v2"),
    "put manifest that is none": lambda r, d: r.put_manifest(Manifest(b"{", "application/json"), "v2"),
    "delete tag": lambda r, d: r.delete_manifest("v1"),
    "delete manifest": lambda r, d: r.delete_manifest(d),
    "delete blob": lambda r, d: r.client.delete(f"{r.path}/blobs/{d}"),
    "start": lambda r, d: r.start_upload(),
    "start whole": lambda r, d: r.start_upload(digest=d),
    "mount": lambda r, d: r.start_upload(mount=d),
    "upload": lambda r, d: r.client.get(f"{r.path}/blobs/uploads/none"),
    "patch": lambda r, d: r.client.patch(f"{r.path}/blobs/uploads/none", content=b"x"),
    "put": lambda r, d: r.client.put(f"{r.path}/blobs/uploads/none", params={"digest": d}, content=b"x"),
    "cancel": lambda r, d: r.client.delete(f"{r.path}/blobs/uploads/none"),
}


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("bearer", [False, True], ids=["basic", "bearer"])
def test_repository_of_others_looks_like_one_that_is_not_there(
    team: Team, with_bearer: Callable[[httpx.Client, str], httpx.Client], probe: str, bearer: bool
) -> None:
    absent = Repository(team.repository.client, team.namespace[:-2] + secrets.token_hex(1) + "/app")
    client = team.stranger.client
    if bearer:
        scopes = " ".join(f"repository:{name}:pull,push" for name in (team.repository.name, absent.name))
        client = with_bearer(client, scopes)
    answers = []
    for repository in (team.repository, absent):
        theirs = repository.by(client)
        answers.append(told(PROBES[probe](theirs, team.pushed.digest), theirs, team.pushed.digest))

    assert answers[0] == answers[1]
    assert answers[0][0] == 403


def test_catalog_has_what_may_be_pulled(set_up: SetUp, people: People, team: Team) -> None:
    namespace = new_namespace()
    names = [f"{namespace}{path}" for path in ("", "-a/app", "/app", "/app/deep", "/lib", "0/app")]
    for name in names:
        Repository(people.admin, name).push_image("v1")
    below = people.with_role("reader", "namespace", namespace)
    one = people.with_role("developer", "repository", f"{namespace}/app")
    pattern = people.with_role("reader", "pattern", f"{namespace}*/*")
    several = people.with_role("reader", "repository", f"{namespace}/lib")
    people.grant("reader", {"group": people.group_of(several)}, "namespace", f"{namespace}-a")
    nothing = people.with_role("auditor", "namespace", namespace)

    expected = {
        below: [namespace, *names[2:5]],
        one: [f"{namespace}/app"],
        pattern: [f"{namespace}-a/app", f"{namespace}/app", f"{namespace}/lib", f"{namespace}0/app"],
        several: [f"{namespace}-a/app", f"{namespace}/lib"],
        nothing: [],
    }
    for person, visible in expected.items():
        assert set_up.soon(lambda who=person, what=visible: catalog(who.client, namespace) == sorted(what))
        for name in names:
            status = Repository(person.client, name).manifest("v1").status_code
            assert status == (200 if name in visible else 403), (person.name, name)
    set_up.command("namespace", "public", f"{namespace}-a")
    assert set_up.soon(lambda: catalog(nothing.client, namespace) == [f"{namespace}-a/app"])
    set_up.command("namespace", "inherit", f"{namespace}-a")


def catalog(client: httpx.Client, namespace: str) -> list[str]:
    """What is listed of these; other stories have made other things public."""
    names: list[str] = []
    answer = client.get("/v2/_catalog", params={"n": 2})
    while True:
        names += answer.json()["repositories"]
        if "next" not in answer.links:
            return [name for name in names if name.startswith(namespace)]
        answer = client.get(answer.links["next"]["url"])


def test_refusal_is_recorded_with_who_and_what(set_up: SetUp, team: Team, people: People) -> None:
    stranger = people.person("refused")
    assert team.repository.by(stranger.client).start_upload().status_code == 403

    records = [
        json.loads(line)["record"]
        for line in set_up.command("audit", "export", "--actor", stranger.key).splitlines()
        if json.loads(line)["type"] == "record"
    ]
    refused = next(record for record in records if record["outcome"] == "refused")
    assert (refused["action"], refused["resource"]) == ("repository:push", f"repository:{team.repository.name}")
    assert "you have no role there" in refused["reason"]


def test_user_who_is_disabled_may_nothing_from_then_on(
    set_up: SetUp, people: People, team: Team, with_bearer: Callable[[httpx.Client, str], httpx.Client]
) -> None:
    person = people.with_role("reader", "namespace", team.namespace)
    clients = [
        person.client,
        people.limited(person, ("*", "registry", "")),
        with_bearer(person.client, f"repository:{team.repository.name}:pull"),
    ]
    for client in clients:
        assert set_up.soon(lambda who=client: team.repository.by(who).manifest("v1").status_code == 200)
    people.admin.patch(f"/api/v1/users/local/{person.name}", json={"disabled": True}).raise_for_status()

    for client in clients:
        assert set_up.soon(lambda who=client: team.repository.by(who).manifest("v1").status_code == 401)
        for answer in (client.get("/v2/_catalog"), client.get("/token"), client.get("/api/v1/account")):
            assert answer.status_code == 401
