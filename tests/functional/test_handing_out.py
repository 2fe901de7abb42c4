"""To hand out an identity is to hand out its rights; to change a role is to grant it: attacks, as they were made.

What holds for every act and everybody is in test_nobody_gains.py; here are those who tried, and what they are told.
"""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.functional.people import API, PASSWORD, People, new_namespace
from tests.functional.powers import CLIENT, CONDITION


def _robot(people: People, name: str, role: str, kind: str, path: str = "", **terms: object) -> str:
    assert people.admin.put(f"{API}/robots/{name}", json={}).status_code == 201
    people.grant(role, {"user": f"robot:{name}"}, kind, path, **terms)
    return f"{API}/robots/{name}"


def _in(hours: int) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def _token(client: httpx.Client, robot: str, **fields: object) -> httpx.Response:
    return client.post(f"{robot}/tokens", json={"name": "a token", **fields})


def test_owner_makes_no_token_of_a_robot_that_can_do_more(people: People) -> None:
    team = new_namespace()
    strong = _robot(people, f"{team}/app/root", "administrator", "registry")
    hidden = new_namespace()
    elsewhere = _robot(people, f"{team}/app/deploy", "developer", "namespace", hidden)
    own = _robot(people, f"{team}/app/ci", "developer", "repository", f"{team}/app")
    known = people.admin.post(f"{strong}/tokens", json={"name": "known"}).json()["token"]["id"]
    for owner in [people.with_role("owner", "namespace", path).client for path in (team, f"{team}/app")]:
        for robot in (strong, elsewhere):
            answer = _token(owner, robot)
            assert answer.status_code == 403
            assert "gives permissions that you do not have yourself" in answer.json()["detail"]
            # What a robot has elsewhere tells nobody what is there.
            assert hidden not in answer.text
        assert owner.post(f"{strong}/tokens/{known}/rotate", json={}).status_code == 403
        assert _token(owner, own).status_code == 201
    # Whoever owns less than the namespace does not manage its robots at all.
    for kind, path in (("repository", f"{team}/app"), ("pattern", f"{team}/*")):
        owner = people.with_role("owner", kind, path).client
        for robot in (strong, elsewhere, own):
            assert _token(owner, robot).status_code == 403
        assert owner.post(f"{strong}/tokens/{known}/rotate", json={}).status_code == 403
    # Limited to what the owner has, it is no more than that.
    owner = people.with_role("owner", "namespace", team).client
    limits = [{"permissions": ["repository:pull"], "kind": "namespace", "path": team}]
    assert _token(owner, strong, limits=limits).status_code == 201


def test_token_lives_no_longer_than_the_right_it_was_made_by(people: People) -> None:
    team = new_namespace()
    robot = _robot(people, f"{team}/ci", "developer", "namespace", team)
    owner = people.with_role("owner", "namespace", team, expires_at=_in(hours=2)).client
    for expiry in (None, 3 * 3600):
        answer = _token(owner, robot, expires_in_seconds=expiry)
        assert answer.status_code == 403, answer.text
        assert "until" in answer.json()["detail"]
    assert _token(owner, robot, expires_in_seconds=3600).status_code == 201
    # A robot that can do nothing yet may be granted something later.
    idle = f"{API}/robots/{team}/idle"
    assert owner.put(idle, json={}).status_code == 201
    assert _token(owner, idle).json()["context"]["expires_at_most"]
    assert _token(owner, idle, expires_in_seconds=60).status_code == 201


def test_condition_goes_with_what_is_made_under_it(people: People) -> None:
    team = new_namespace()
    owner = people.with_role("owner", "namespace", team, condition=CONDITION).client
    owner.headers["user-agent"] = CLIENT
    free = _robot(people, f"{team}/free", "developer", "namespace", team)
    bound = _robot(people, f"{team}/bound", "developer", "namespace", team, condition=CONDITION)
    refused = _token(owner, free)
    assert refused.status_code == 403
    assert "under the condition" in refused.json()["detail"]
    assert _token(owner, bound).status_code == 201
    public = owner.put(f"{API}/namespaces/{team}", json={"visibility": "public"})
    assert public.status_code == 403
    assert "with no time limit or condition" in public.json()["detail"]


def test_token_that_a_robot_makes_for_itself_ends_with_the_one_it_used(people: People) -> None:
    team = new_namespace()
    robot = _robot(people, f"{team}/owner", "owner", "namespace", team)
    made = _token(people.admin, robot, expires_in_seconds=3600).json()
    with people.anybody() as first, people.anybody() as second:
        first.auth = (made["username"], made["secret"])
        again = _token(first, robot)
        assert again.status_code == 201, again.text
        assert again.json()["token"]["expires_at"] == made["token"]["expires_at"]
        second.auth = (again.json()["username"], again.json()["secret"])
        assert second.get("/v2/").status_code == 200
        assert people.admin.delete(f"{robot}/tokens/{made['token']['id']}").status_code == 204
        assert people.soon(lambda: second.get("/v2/").status_code == 401)


def test_changing_a_role_is_granting_it(people: People) -> None:
    team, role = new_namespace(), f"role-{secrets.token_hex(4)}"
    path = f"{API}/roles/{role}"

    def put(client: httpx.Client, *permissions: str) -> httpx.Response:
        return client.put(path, json={"permissions": list(permissions)})

    assert put(people.admin, "repository:pull").status_code == 201
    writer = f"writer-{secrets.token_hex(4)}"
    assert people.admin.put(f"{API}/roles/{writer}", json={"permissions": ["role:write", "repository:pull"]}).is_success
    editor = people.with_role(writer, "registry").client
    # Nobody has it: to say what it means gives nobody anything.
    assert put(editor, "repository:pull", "repository:push").status_code == 200
    people.grant(role, {"kind": "signed-in"}, "namespace", team)
    for added in ("repository:delete", "user:write", "audit:read"):
        answer = put(editor, "repository:pull", "repository:push", added)
        assert answer.status_code == (403 if added != "user:write" else answer.status_code)
        assert people.admin.get(path).json()["permissions"] == ["repository:pull", "repository:push"]
    # What they have themselves they can give, and take.
    assert put(editor, "repository:pull").status_code == 200


def test_role_that_everyone_has_stays_one_that_reads(people: People) -> None:
    team, role = new_namespace(), f"role-{secrets.token_hex(4)}"
    path = f"{API}/roles/{role}"
    assert people.admin.put(path, json={"permissions": ["repository:pull"]}).status_code == 201
    people.grant(role, {"kind": "everyone"}, "namespace", team)
    answer = people.admin.put(path, json={"permissions": ["repository:pull", "repository:push"]})
    assert answer.status_code == 400
    assert "everyone" in answer.json()["detail"]


def _link(client: httpx.Client, name: str, account: str | None) -> httpx.Response:
    return client.patch(f"{API}/users/local/{name}", json={"linked_to": account})


def test_login_of_an_administrator_is_guarded_as_the_administrator_is(people: People) -> None:
    helper_role = f"helper-{secrets.token_hex(4)}"
    permissions: dict[str, Any] = {"permissions": ["user:write", "user:read"]}
    assert people.admin.put(f"{API}/roles/{helper_role}", json=permissions).status_code == 201
    helper = people.with_role(helper_role, "registry")
    boss, login, stranger = people.with_role("administrator", "registry"), people.person(), people.person()
    assert _link(people.admin, login.name, boss.key).status_code == 200
    members = people.group_of(stranger)
    people.grant("owner", {"group": members}, "namespace", new_namespace())

    hash_line = f"{login.name}:$2y$05$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcde"
    attempts = {
        "password of the login": helper.client.put(
            f"{API}/users/local/{login.name}", json={"password": PASSWORD + "!"}
        ),
        "stranger's login": _link(helper.client, stranger.name, helper.key),
        "own login": _link(helper.client, people.person().name, boss.key),
        "unlinking": _link(people.with_role(helper_role, "registry").client, login.name, None),
        "disabling": helper.client.patch(f"{API}/users/local/{boss.name}", json={"disabled": True}),
        "removing": helper.client.delete(f"{API}/users/local/{boss.name}"),
        "disabling the login": helper.client.patch(f"{API}/users/local/{login.name}", json={"disabled": True}),
    }
    assert {title: answer.status_code for title, answer in attempts.items()} == dict.fromkeys(attempts, 403)
    imported = helper.client.post(f"{API}/users/import-htpasswd", json={"text": hash_line, "replace": True})
    assert [line["name"] for line in imported.json()["refused"]] == [login.name]
    # Who has nothing to hand out is anybody's to help.
    assert helper.client.put(f"{API}/users/local/{people.person().name}", json={"password": PASSWORD + "!"}).is_success
