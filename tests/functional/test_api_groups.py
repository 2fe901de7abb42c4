"""Groups by the API, and who may let whom into them."""

import httpx
import pytest

from tests.functional.accounts import (
    API,
    actions,
    grant,
    grant_to_group,
    new_name,
    new_role,
    new_user,
    sign_in_externally,
)
from tests.functional.repository import Repository
from tests.functional.setups import SetUp

GROUPS = f"{API}/groups"


def test_group_is_made_described_and_removed(set_up: SetUp, admin: httpx.Client) -> None:
    path = f"{GROUPS}/local/{(name := new_name('group'))}"
    made = admin.put(path, json={"description": "people"})
    assert made.status_code == 201
    assert admin.put(path, json={"description": "people"}).status_code == 200
    changed = admin.put(path, json={"description": "machines"})
    assert changed.json() == {**made.json(), "description": "machines"}
    assert admin.get(path).json() == changed.json()
    assert name in [
        group["name"] for group in admin.get(GROUPS, params={"provider": "local", "limit": 1000}).json()["items"]
    ]
    assert admin.delete(path, headers={"if-match": made.headers["etag"]}).status_code == 412
    assert admin.delete(path, headers={"if-match": changed.headers["etag"]}).status_code == 204
    assert admin.get(path).status_code == 404
    assert actions(set_up, f"group:local:{name}") == ["group:delete", "group:put", "group:put"]


def test_member_has_what_the_group_is_granted_as_long_as_it_is_one(
    set_up: SetUp, admin: httpx.Client, repository: Repository
) -> None:
    pushed = repository.push_image("v1")
    path = f"{GROUPS}/local/{(name := new_name('group'))}"
    admin.put(path, json={})
    grant_to_group(set_up, "reader", name, "repository", repository.name)
    person = new_user(admin)
    with person.client(set_up) as client:
        theirs = repository.by(client)
        assert theirs.manifest("v1").status_code == 403
        for _ in range(2):
            assert admin.put(f"{path}/members/local/{person.name}").status_code == 204
        assert set_up.soon(lambda: theirs.manifest("v1").content == pushed.payload)
        assert client.get(f"{API}/account").json()["groups"] == [f"local:{name}"]
        assert admin.get(f"{path}/members").json()["items"] == [{"provider": "local", "name": person.name}]

        assert admin.delete(f"{path}/members/local/{person.name}").status_code == 204
        assert set_up.soon(lambda: theirs.manifest("v1").status_code == 403)
        assert admin.delete(f"{path}/members/local/{person.name}").status_code == 404

        admin.put(f"{path}/members/local/{person.name}")
        assert set_up.soon(lambda: theirs.manifest("v1").status_code == 200)
        assert admin.delete(path).status_code == 204
        assert set_up.soon(lambda: theirs.manifest("v1").status_code == 403)
    assert actions(set_up, f"group:local:{name}").count("group:add-member") == 2


def test_robot_is_a_member_as_well(admin: httpx.Client) -> None:
    admin.put(f"{API}/robots/{(robot := 'team/' + new_name('bot'))}", json={})
    path = f"{GROUPS}/local/{new_name('group')}"
    admin.put(path, json={})

    assert admin.put(f"{path}/members/robot/{robot}").status_code == 204
    assert admin.get(f"{path}/members").json()["items"] == [{"provider": "robot", "name": robot}]


def test_who_changes_groups_lets_nobody_into_more_than_they_have(set_up: SetUp, admin: httpx.Client) -> None:
    manager, person = new_user(admin), new_user(admin)
    grant(set_up, new_role(admin, "group:read", "group:write"), f"local:{manager.name}")
    powerful, harmless = new_name("group"), new_name("group")
    for name in (powerful, harmless):
        admin.put(f"{GROUPS}/local/{name}", json={})
    grant_to_group(set_up, "administrator", powerful)
    with manager.client(set_up) as client:
        assert set_up.soon(lambda: client.get(GROUPS).status_code == 200)
        for name in (manager.name, person.name):
            assert client.put(f"{GROUPS}/local/{powerful}/members/local/{name}").status_code == 403
        assert client.put(f"{GROUPS}/local/{harmless}/members/local/{person.name}").status_code == 204
        # The owner of a namespace lets in who is to own a part of it.
        grant(set_up, "owner", f"local:{manager.name}", "namespace", "team")
        grant_to_group(set_up, "owner", harmless, "namespace", "team/part")
        other = f"{GROUPS}/local/{harmless}/members/local/{new_user(admin).name}"
        assert set_up.soon(lambda: client.put(other).status_code == 204)
        grant_to_group(set_up, "reader", harmless, "namespace", "elsewhere")
        assert set_up.soon(lambda: client.put(other).status_code == 403)


def test_members_of_a_provider_are_not_chosen_here(set_up: SetUp, admin: httpx.Client) -> None:
    """OpenID providers call groups `/team/part`."""
    name, group = new_name("ext"), f"/{new_name('team')}/part"
    sign_in_externally(set_up, "ldap", name, group)
    path = f"{GROUPS}/ldap/{group}"

    assert admin.get(path).json()["name"] == group
    assert admin.get(f"{GROUPS}/ldap/{group.replace('/', '%2f')}").json()["name"] == group
    assert admin.get(f"{path}/members").json()["items"] == [{"provider": "ldap", "name": name}]
    assert admin.put(f"{path}/members/local/admin").status_code in {404, 405, 422}
    assert admin.delete(path).status_code == 204


def test_linked_login_is_no_member(set_up: SetUp, admin: httpx.Client) -> None:
    person, name = new_user(admin), new_name("ext")
    sign_in_externally(set_up, "ldap", name)
    admin.patch(f"{API}/users/ldap/{name}", json={"linked_to": f"local:{person.name}"})
    path = f"{GROUPS}/local/{new_name('group')}"
    admin.put(path, json={})

    answer = admin.put(f"{path}/members/ldap/{name}")

    assert answer.status_code == 409
    assert f"local:{person.name}" in answer.json()["detail"]


def test_others_may_not_look_at_groups_nor_change_them(set_up: SetUp, admin: httpx.Client) -> None:
    path = f"{GROUPS}/local/{new_name('group')}"
    admin.put(path, json={})
    person = new_user(admin)
    with person.client(set_up) as client:
        member = f"{path}/members/local/{person.name}"
        answers = [client.get(GROUPS), client.get(path), client.put(path, json={}), client.delete(path)]
        answers += [client.get(f"{path}/members"), client.put(member), client.delete(member)]
        assert {answer.status_code for answer in answers} == {403}


@pytest.mark.parametrize("name", ["a%00b", "a%2fb", "%e2%80%8b", "%20", "a" * 256, "a" * 10_000, "%ff%00", "a%0ab"])
def test_odd_name_is_no_group(admin: httpx.Client, name: str) -> None:
    for answer in (
        admin.put(f"{GROUPS}/local/{name}", json={}),
        admin.get(f"{GROUPS}/local/{name}"),
        admin.delete(f"{GROUPS}/local/{name}"),
        admin.get(f"{GROUPS}/local/{name}/members"),
        admin.put(f"{GROUPS}/local/{name}/members/local/admin"),
        admin.put(f"{GROUPS}/local/none/members/local/{name}"),
    ):
        assert 400 <= answer.status_code < 500, (answer.request.url, answer.status_code)


def test_group_of_no_provider_is_not_made(admin: httpx.Client) -> None:
    for provider in ("nowhere", "robot"):
        assert admin.put(f"{GROUPS}/{provider}/x", json={}).status_code == 404
