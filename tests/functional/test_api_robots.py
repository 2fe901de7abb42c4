"""Robots by the API: machines that push and pull with a token of their own, as far as it reaches."""

import base64
import json
import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.functional.accounts import API, Person, actions, audited, bearer, grant, new_name, new_user
from tests.functional.repository import Repository
from tests.functional.setups import SetUp

ROBOTS = f"{API}/robots"


@pytest.fixture
def namespace() -> str:
    return new_name("team")


@pytest.fixture
def owner(set_up: SetUp, admin: httpx.Client, namespace: str) -> Iterator[httpx.Client]:
    """Who owns the namespace, and has no other rights."""
    person = new_user(admin)
    grant(set_up, "owner", f"local:{person.name}", "namespace", namespace)
    with person.client(set_up) as client:
        assert set_up.soon(lambda: client.get(ROBOTS, params={"below": namespace}).status_code == 200)
        yield client


def new_robot(client: httpx.Client, name: str, **fields: object) -> str:
    answer = client.put(f"{ROBOTS}/{name}", json=fields)
    assert answer.status_code == 201, answer.text
    return name


def new_token(client: httpx.Client, robot: str, **fields: object) -> tuple[str, Person]:
    """Its id, and the robot with it."""
    answer = client.post(f"{ROBOTS}/{robot}/tokens", json={"name": "for a story", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]["id"], Person(answer.json()["username"], answer.json()["secret"])


def test_robot_pushes_to_its_repository_and_nowhere_else(
    set_up: SetUp, admin: httpx.Client, owner: httpx.Client, namespace: str
) -> None:
    """With Basic credentials, and as docker does it."""
    robot = new_robot(owner, f"{namespace}/ci")
    grant(set_up, "developer", f"robot:{robot}", "namespace", namespace)
    limits = [{"permissions": ["repository:pull", "repository:push"], "kind": "repository", "path": f"{namespace}/app"}]
    token_id, machine = new_token(owner, robot, limits=limits)
    app, other = Repository(admin, f"{namespace}/app"), Repository(admin, f"{namespace}/other")
    other.push_image("v1")
    with machine.client(set_up) as basic:
        assert set_up.soon(lambda: app.by(basic).start_upload().status_code == 202)
        pushed = app.by(basic).push_image("v1")
        scopes = [f"repository:{app.name}:pull,push", f"repository:{other.name}:pull,push"]
        token = basic.get("/token", params={"service": "entrepot", "scope": scopes}).json()["token"]
        with bearer(set_up, token) as docker:
            assert app.by(docker).manifest("v1").content == pushed.payload
            again = app.by(docker).push_image("v2")
            for client in (basic, docker):
                assert other.by(client).manifest("v1").status_code == 403
                assert other.by(client).start_upload().status_code == 403
                assert app.by(client).delete_manifest("v1").status_code == 403
            # Revoked: at once, for what was got with it as well.
            assert owner.delete(f"{ROBOTS}/{robot}/tokens/{token_id}").status_code == 204
            assert set_up.soon(lambda: app.by(basic).manifest("v1").status_code == 401)
            assert set_up.soon(lambda: app.by(docker).manifest("v1").status_code == 401)
    assert app.manifest("v2").content == again.payload
    (record, *_) = [r for r in audited(set_up, f"repository:{app.name}") if r["action"] == "manifest:push"]
    assert record["actor"] == f"robot:{robot}"
    assert record["owner"] == f"local:{owner.get(f'{API}/account').json()['name']}"
    assert record["credential"] == {"kind": "robot", "id": token_id}


def test_robot_has_nothing_without_a_grant(set_up: SetUp, owner: httpx.Client, namespace: str) -> None:
    robot = new_robot(owner, f"{namespace}/ci")
    limits = [{"permissions": ["*"], "kind": "registry"}]
    _, machine = new_token(owner, robot, limits=limits)
    with machine.client(set_up) as client:
        assert set_up.soon(lambda: client.get("/v2/").status_code == 200)
        assert Repository(client, f"{namespace}/app").start_upload().status_code == 403
        assert client.get(f"{API}/users").status_code == 403


def test_robot_makes_no_tokens_for_itself(set_up: SetUp, owner: httpx.Client, namespace: str) -> None:
    robot = new_robot(owner, f"{namespace}/ci")
    _, machine = new_token(owner, robot)
    with machine.client(set_up) as client:
        assert set_up.soon(lambda: client.get(f"{API}/account").status_code == 200)
        account = client.get(f"{API}/account").json()
        assert (account["name"], account["credential"]["kind"]) == (robot, "robot")
        assert account["owner"] == f"local:{owner.get(f'{API}/account').json()['name']}"
        assert client.post(f"{API}/account/tokens", json={"name": "for ever"}).status_code == 403
        assert client.post(f"{ROBOTS}/{robot}/tokens", json={"name": "for ever"}).status_code == 403


def test_robot_is_made_changed_and_removed(set_up: SetUp, owner: httpx.Client, namespace: str) -> None:
    path = f"{ROBOTS}/{(robot := new_robot(owner, f'{namespace}/deep/ci', description='builds'))}"
    made = owner.get(path)
    assert made.json()["username"] == f"robot+{robot}"
    assert owner.put(path, json={"description": "builds"}).headers["etag"] == made.headers["etag"]
    _, machine = new_token(owner, robot)
    with machine.client(set_up) as client:
        assert set_up.soon(lambda: client.get("/v2/").status_code == 200)
        assert owner.put(path, json={"disabled": True}).json() == {**made.json(), "disabled": True}
        assert set_up.soon(lambda: client.get("/v2/").status_code == 401)
        assert owner.put(path, json={"disabled": False}).status_code == 200
        assert set_up.soon(lambda: client.get("/v2/").status_code == 200)
        stale = {"if-match": '"stale"'}
        assert owner.put(path, json={"disabled": True}, headers=stale).status_code == 412
        assert owner.delete(path, headers=stale).status_code == 412
        assert owner.delete(path).status_code == 204
        assert set_up.soon(lambda: client.get("/v2/").status_code == 401)
    assert owner.get(path).status_code == 404
    # Made again, it has no tokens.
    new_robot(owner, robot)
    with machine.client(set_up) as client:
        assert client.get("/v2/").status_code == 401
    recorded = set(actions(set_up, f"user:robot:{robot}"))
    assert {"robot:create", "robot:disable", "robot:enable", "robot:delete", "token:create"} <= recorded


def test_owner_is_who_made_it_or_who_is_named_by_who_manages_users(
    admin: httpx.Client, owner: httpx.Client, namespace: str
) -> None:
    me, other = owner.get(f"{API}/account").json()["name"], new_user(admin)
    path = f"{ROBOTS}/{(robot := new_robot(owner, f'{namespace}/ci'))}"
    assert owner.get(path).json()["owner"] == f"local:{me}"
    assert admin.put(path, json={"owner": f"local:{other.name}"}).json()["owner"] == f"local:{other.name}"
    assert owner.put(path, json={"description": "x"}).json()["owner"] == f"local:{other.name}"
    for named, status in (("local:nobody-here", 404), (f"robot:{robot}", 400), ("nonsense", 400), ("", 422)):
        assert admin.put(path, json={"owner": named}).status_code == status
    # Nobody is made to answer for what they know nothing of; and whether they exist is not told.
    refused = [owner.put(path, json={"owner": key}) for key in (f"local:{other.name}", "local:nobody-here")]
    assert [answer.status_code for answer in refused] == [403, 403]
    assert refused[0].json()["detail"] == refused[1].json()["detail"]
    assert owner.put(path, json={"owner": f"local:{me}"}).json()["owner"] == f"local:{me}"


def test_robot_that_somebody_else_disabled_stays_disabled(
    admin: httpx.Client, owner: httpx.Client, namespace: str
) -> None:
    path = f"{ROBOTS}/{new_robot(owner, f'{namespace}/ci')}"
    for disabling, enabling, status in ((owner, owner, 200), (owner, admin, 200), (admin, owner, 403)):
        assert disabling.put(path, json={"disabled": True}).status_code == 200
        assert enabling.put(path, json={"disabled": False}).status_code == status
    assert "somebody else disabled" in owner.put(path, json={"disabled": False}).json()["detail"]
    assert admin.put(path, json={"disabled": False}).json()["disabled"] is False


def test_robot_goes_on_without_its_owner_and_says_so(admin: httpx.Client, namespace: str) -> None:
    person = new_user(admin)
    path = f"{ROBOTS}/{new_robot(admin, f'{namespace}/ci')}"
    assert admin.put(path, json={"owner": f"local:{person.name}"}).json()["owner_usable"] is True
    assert admin.put(f"{API}/users/local/{person.name}", json={"disabled": True}).status_code == 200
    known = admin.get(path).json()
    assert (known["owner_usable"], known["disabled"]) == (False, False)


def test_robots_are_managed_by_who_owns_their_namespace(
    admin: httpx.Client, owner: httpx.Client, namespace: str
) -> None:
    elsewhere = [new_robot(admin, name) for name in (f"{namespace}-b/ci", new_name("top"), f"{new_name('other')}/ci")]
    for robot in [*elsewhere, f"{namespace}x/ci"]:
        path = f"{ROBOTS}/{robot}"
        body = {"name": "t"}
        for refused in (
            owner.get(path),
            owner.put(path, json={}),
            owner.delete(path),
            owner.get(f"{path}/tokens"),
            owner.post(f"{path}/tokens", json=body),
            owner.post(f"{path}/tokens/abc/rotate", json={}),
            owner.delete(f"{path}/tokens/abc"),
            owner.get(f"{path}/trust-rules"),
        ):
            assert refused.status_code == 403, (refused.request.url, refused.text)
    assert owner.get(ROBOTS).status_code == 403
    assert owner.get(ROBOTS, params={"below": f"{namespace}-b"}).status_code == 403


@pytest.mark.parametrize(("kind", "pattern"), [("repository", "{}"), ("pattern", "{}*"), ("pattern", "{}/**")])
def test_owner_of_repositories_does_not_manage_robots_of_a_namespace(
    set_up: SetUp, admin: httpx.Client, owner: httpx.Client, namespace: str, kind: str, pattern: str
) -> None:
    """Also where the namespace has the name of the repository, and by a token that is limited to it."""
    robot = new_robot(owner, f"{namespace}/ci")
    token_id, _ = new_token(owner, robot)
    new_robot(owner, f"{namespace}/deep/ci")
    person = new_user(admin)
    grant(set_up, "owner", f"local:{person.name}", kind, pattern.format(namespace))
    limit = {"permissions": ["*"], "kind": kind, "path": pattern.format(namespace)}
    limited = owner.post(f"{API}/account/tokens", json={"name": "for a repository", "limits": [limit]}).json()
    for somebody in (person, Person(limited["username"], limited["secret"])):
        with somebody.client(set_up) as client:
            path = f"{ROBOTS}/{robot}"
            for refused in (
                client.get(ROBOTS, params={"below": namespace}),
                client.get(path),
                client.put(path, json={"disabled": True}),
                client.put(f"{path}-2", json={}),
                client.get(f"{path}/tokens"),
                client.post(f"{path}/tokens", json={"name": "t"}),
                client.post(f"{path}/tokens/{token_id}/rotate", json={}),
                client.delete(f"{path}/tokens/{token_id}"),
                client.get(f"{path}/trust-rules"),
                client.delete(path),
            ):
                assert refused.status_code == 403, (refused.request.method, refused.request.url, refused.text)
    assert owner.get(f"{ROBOTS}/{robot}").json()["disabled"] is False


def test_robots_below_a_namespace_are_listed(admin: httpx.Client, owner: httpx.Client, namespace: str) -> None:
    robots = [new_robot(owner, f"{namespace}/{name}") for name in ("b", "a", "deep/c")]
    new_robot(admin, f"{namespace}0/ci")

    first = owner.get(ROBOTS, params={"below": namespace, "limit": 2}).json()
    second = owner.get(ROBOTS, params={"below": namespace, "limit": 2, "after": first["next"]}).json()

    assert [robot["name"] for robot in first["items"] + second["items"]] == robots
    assert second["next"] is None


def test_limited_token_makes_no_tokens_for_robots(set_up: SetUp, owner: httpx.Client, namespace: str) -> None:
    """They could reach further than it does."""
    robot = new_robot(owner, f"{namespace}/ci")
    token_id, _ = new_token(owner, robot)
    limits = [{"permissions": ["robot:read", "robot:write"], "kind": "namespace", "path": namespace}]
    answer = owner.post(f"{API}/account/tokens", json={"name": "limited", "limits": limits}).json()
    with Person(answer["username"], answer["secret"]).client(set_up) as limited:
        assert set_up.soon(lambda: limited.get(f"{ROBOTS}/{robot}").status_code == 200)
        assert limited.post(f"{ROBOTS}/{robot}/tokens", json={"name": "t"}).status_code == 403
        assert limited.post(f"{ROBOTS}/{robot}/tokens/{token_id}/rotate", json={}).status_code == 403
        assert limited.delete(f"{ROBOTS}/{robot}/tokens/{token_id}").status_code == 204


def test_token_of_a_robot_is_rotated_with_its_limits(set_up: SetUp, owner: httpx.Client, namespace: str) -> None:
    robot = new_robot(owner, f"{namespace}/ci")
    limits = [{"permissions": ["repository:pull"], "kind": "pattern", "path": f"{namespace}/*"}]
    token_id, old = new_token(owner, robot, limits=limits, expires_in_seconds=3600)
    path = f"{ROBOTS}/{robot}/tokens"
    rotated = owner.post(f"{path}/{token_id}/rotate", json={"overlap_seconds": 60}).json()
    assert rotated["token"]["limits"] == limits
    assert rotated["token"]["expires_at"] is not None
    with old.client(set_up) as before, Person(old.name, rotated["secret"]).client(set_up) as after:
        assert set_up.soon(lambda: before.get("/v2/").status_code == after.get("/v2/").status_code == 200)
        assert owner.post(f"{path}/{rotated['token']['id']}/rotate", json={}).status_code == 201
        assert set_up.soon(lambda: after.get("/v2/").status_code == 401)
    assert "token:rotate" in actions(set_up, f"user:robot:{robot}")


def test_docker_finds_its_configuration_in_the_answer(set_up: SetUp, owner: httpx.Client, namespace: str) -> None:
    robot = new_robot(owner, f"{namespace}/ci")
    made = owner.post(f"{ROBOTS}/{robot}/tokens", json={"name": "t"}).json()
    auth = base64.b64decode(made["docker_config"]["auths"][set_up.server.host]["auth"]).decode()

    assert auth == f"robot+{robot}:{made['secret']}"
    listed = owner.get(f"{ROBOTS}/{robot}/tokens").text
    assert made["secret"] not in listed
    assert made["secret"] not in json.dumps(audited(set_up, f"user:robot:{robot}"))


def test_robot_is_no_user_among_users(admin: httpx.Client, owner: httpx.Client, namespace: str) -> None:
    robot = new_robot(owner, f"{namespace}/ci")
    path = f"{API}/users/robot/{robot}"
    for answer in (admin.get(path), admin.patch(path, json={"administrator": True}), admin.delete(path)):
        assert answer.status_code == 404
    assert owner.get(f"{ROBOTS}/{robot}").status_code == 200


@pytest.mark.parametrize(
    "name",
    ["Team/CI", "team%20/ci", "team/tokens", "team/tokens/ci", "team/trust-rules", "a%00b", "a" * 256, "a" * 10_000,
     "%ff", "team//ci", "/team/ci", "team/ci/", "..%2fci", "robot+ci", "team/ci%0a", "é", ""],
)  # fmt: skip
def test_odd_name_is_no_robot(admin: httpx.Client, name: str) -> None:
    for answer in (
        admin.put(f"{ROBOTS}/{name}", json={}),
        admin.get(f"{ROBOTS}/{name}"),
        admin.delete(f"{ROBOTS}/{name}"),
        admin.post(f"{ROBOTS}/{name}/tokens", json={"name": "t"}),
        admin.post(f"{ROBOTS}/{name}/trust-rules", json={"provider": "x", "audience": "x", "claims": {"sub": "x"}}),
        admin.delete(f"{ROBOTS}/{name}/trust-rules/1"),
    ):
        assert 400 <= answer.status_code < 500, (answer.request.url, answer.status_code)


def test_trust_rules_are_for_administrators_and_providers_of_the_settings(
    admin: httpx.Client, owner: httpx.Client, namespace: str
) -> None:
    path = f"{ROBOTS}/{new_robot(owner, f'{namespace}/ci')}/trust-rules"
    body = {"provider": "ci-of-nobody", "audience": "registry", "claims": {"sub": "repo:team/app"}}

    assert owner.get(path).json() == {"items": [], "next": None}
    assert owner.post(path, json=body).status_code == 403
    assert admin.post(path, json=body).status_code == 404
    assert owner.delete(f"{path}/1").status_code == 403
    assert admin.delete(f"{path}/1").status_code == 404
    assert admin.delete(f"{path}/{2**53 + 1}").status_code == 422


def test_secret_of_a_token_is_not_guessed(set_up: SetUp, owner: httpx.Client, namespace: str) -> None:
    """Nor does a robot sign in with a password, or another robot's token."""
    first, second = new_robot(owner, f"{namespace}/a"), new_robot(owner, f"{namespace}/b")
    _, machine = new_token(owner, first)
    for name, secret in ((f"robot+{second}", machine.secret), (first, machine.secret), (f"robot+{first}", "password")):
        with Person(name, secret).client(set_up) as client:
            assert client.get("/v2/").status_code == 401
    changed = machine.secret[:-8] + secrets.token_hex(4)
    with Person(machine.name, changed).client(set_up) as client:
        assert client.get("/v2/").status_code == 401
