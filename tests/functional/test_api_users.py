"""Users by the API: made, changed, disabled, linked, imported and removed; and who may do that to whom."""

import secrets
from collections.abc import Iterator

import bcrypt
import httpx
import pytest
import schemathesis

from tests.functional.accounts import (
    API,
    Person,
    actions,
    audited,
    bearer,
    grant,
    new_name,
    new_role,
    new_user,
    sign_in_externally,
)
from tests.functional.setups import SetUp

USERS = f"{API}/users"
LOCAL = f"{USERS}/local"


@pytest.fixture
def person(admin: httpx.Client) -> Person:
    return new_user(admin)


@pytest.fixture
def manager(set_up: SetUp, admin: httpx.Client) -> Iterator[httpx.Client]:
    """Somebody who may change users, and nothing else."""
    someone = new_user(admin)
    grant(set_up, new_role(admin, "user:read", "user:write"), f"local:{someone.name}")
    with someone.client(set_up) as client:
        assert set_up.soon(lambda: client.get(USERS).status_code == 200)
        yield client


def signs_in(client: httpx.Client) -> bool:
    return client.get(f"{API}/account").status_code == 200


def test_document_of_the_api_is_valid(admin: httpx.Client) -> None:
    document = admin.get(f"{API}/openapi.json").json()

    assert document["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document).validate()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_user_is_made_changed_and_removed(set_up: SetUp, admin: httpx.Client) -> None:
    path = f"{LOCAL}/{(name := new_name())}"
    body = {"display_name": "Ada", "email": "ada@example.test", "password": "a long passphrase"}
    made = admin.put(path, json=body)
    assert made.status_code == 201
    assert made.json().items() >= {"provider": "local", "name": name, "display_name": "Ada", "disabled": False}.items()
    assert not [value for value in ("password_hash", "argon2", "a long passphrase") if value in made.text]

    again = admin.put(path, json={"display_name": "Ada"})
    assert (again.status_code, again.headers["etag"]) == (200, made.headers["etag"])
    changed = admin.patch(path, json={"email": "lovelace@example.test"})
    assert changed.json() == {**made.json(), "email": "lovelace@example.test"}
    assert admin.get(path).json() == changed.json()
    stale = {"if-match": made.headers["etag"]}
    assert admin.patch(path, json={"email": ""}, headers=stale).status_code == 412
    assert admin.put(path, json={"email": ""}, headers=stale).status_code == 412
    assert admin.delete(path, headers=stale).status_code == 412
    assert admin.delete(path, headers={"if-match": changed.headers["etag"]}).status_code == 204
    assert admin.get(path).status_code == 404
    assert admin.delete(path).status_code == 404

    assert actions(set_up, f"user:local:{name}") == ["user:change", "user:create", "user:delete"]
    (change,) = [r for r in audited(set_up, f"user:local:{name}") if r["action"] == "user:change"]
    assert (change["actor"], change["detail"]) == ("local:admin", {"fields": ["email"]})


def test_users_are_found_by_a_text_and_listed_in_pages(admin: httpx.Client) -> None:
    mark = secrets.token_hex(6)
    names = [f"{mark}-{number}" for number in range(3)]
    for name in names:
        admin.put(f"{LOCAL}/{name}", json={})

    first = admin.get(USERS, params={"search": mark, "limit": 2}).json()
    second = admin.get(USERS, params={"search": mark, "limit": 2, "after": first["next"]}).json()

    assert [user["name"] for user in first["items"] + second["items"]] == names
    assert second["next"] is None
    assert admin.get(USERS, params={"search": mark, "provider": "ldap"}).json()["items"] == []
    assert admin.get(USERS, params={"search": "%"}).json()["items"] == []


@pytest.mark.parametrize(
    "change",
    [{"disabled": True}, {"administrator": False}, {"linked_to": "person"}],
    ids=["disabled", "demoted", "linked"],
)
def test_last_administrator_stays(admin: httpx.Client, person: Person, change: dict[str, object]) -> None:
    if "linked_to" in change:
        change = {"linked_to": f"local:{person.name}"}
    for answer in (admin.patch(f"{LOCAL}/admin", json=change), admin.delete(f"{LOCAL}/admin")):
        assert (answer.status_code, answer.json()["code"]) == (409, "last_administrator")
    assert signs_in(admin)


def test_other_administrator_does_not_count_without_a_password(admin: httpx.Client) -> None:
    name = new_name()
    assert admin.put(f"{LOCAL}/{name}", json={"administrator": True}).status_code == 201
    assert admin.patch(f"{LOCAL}/admin", json={"disabled": True}).status_code == 409
    assert admin.delete(f"{LOCAL}/{name}").status_code == 204


def test_disabled_user_is_out_with_whatever_it_has(set_up: SetUp, admin: httpx.Client, person: Person) -> None:
    with person.client(set_up) as client:
        secret = client.post(f"{API}/account/tokens", json={"name": "t"}).json()["secret"]
        tokens = client.get("/token", params={"offline_token": "true"}).json()
        form = {"username": person.name, "password": person.secret}
        cookies = client.post("/login", data=form, headers={"sec-fetch-site": "same-origin"}).cookies
        clients = [client, Person(person.name, secret).client(set_up), bearer(set_up, tokens["token"])]
        for one in clients:
            assert set_up.soon(lambda one=one: one.get("/v2/").status_code == 200)

        assert admin.patch(f"{LOCAL}/{person.name}", json={"disabled": True}).json()["disabled"]

        for one in clients:
            assert set_up.soon(lambda one=one: one.get("/v2/").status_code == 401)
        refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert client.post("/token", data=refresh).status_code == 401
        assert admin.patch(f"{LOCAL}/{person.name}", json={"disabled": False}).status_code == 200
        assert set_up.soon(lambda: signs_in(client))
        assert client.post("/token", data=refresh).status_code == 401, "what was signed in then stays out"
        with set_up.server.client(anonymous=True) as browser:
            browser.cookies.update(cookies)
            assert browser.get(f"{API}/account").status_code == 401
        for one in clients:
            one.close()
    assert {"user:disable", "user:enable"} <= set(actions(set_up, f"user:local:{person.name}"))


def test_removed_user_made_again_has_nothing_of_the_former_one(set_up: SetUp, admin: httpx.Client) -> None:
    person = new_user(admin)
    with person.client(set_up) as client:
        secret = client.post(f"{API}/account/tokens", json={"name": "t"}).json()["secret"]
    with Person(person.name, secret).client(set_up) as with_token, person.client(set_up) as with_password:
        assert set_up.soon(lambda: signs_in(with_token) and signs_in(with_password))
        admin.delete(f"{LOCAL}/{person.name}")
        assert set_up.soon(lambda: not signs_in(with_token) and not signs_in(with_password))
        admin.put(f"{LOCAL}/{person.name}", json={"password": "a new user's password"})
        assert set_up.soon(lambda: not signs_in(with_token) and not signs_in(with_password))


def test_new_password_ends_what_the_old_one_began(set_up: SetUp, admin: httpx.Client, person: Person) -> None:
    with person.client(set_up) as client:
        refresh = client.get("/token", params={"offline_token": "true"}).json()["refresh_token"]
        assert admin.put(f"{LOCAL}/{person.name}", json={"password": "set by an administrator"}).status_code == 200
        assert set_up.soon(lambda: not signs_in(client))
        form = {"grant_type": "refresh_token", "refresh_token": refresh}
        assert client.post("/token", data=form).status_code == 401
    assert "password:change" in actions(set_up, f"user:local:{person.name}")


def test_own_password_is_not_changed_without_the_current_one(admin: httpx.Client) -> None:
    answer = admin.put(f"{LOCAL}/admin", json={"password": "a stolen session's wish"})

    assert answer.status_code == 403
    assert "/account/password" in answer.json()["detail"]


def test_who_changes_users_cannot_become_more_by_that(
    set_up: SetUp, admin: httpx.Client, manager: httpx.Client, person: Person
) -> None:
    other = new_user(admin)
    grant(set_up, "developer", f"local:{other.name}", "namespace", "payroll")
    powerful = new_user(admin, administrator=True)
    mine = manager.get(f"{API}/account").json()["name"]
    lines = "".join(f"{name}:{_bcrypt('x' * 12)}\n" for name in (other.name, powerful.name, mine))
    for refused in (
        manager.put(f"{LOCAL}/{new_name()}", json={"administrator": True}),
        manager.patch(f"{LOCAL}/{mine}", json={"administrator": True}),
        manager.put(f"{LOCAL}/{powerful.name}", json={"password": "now it is my password"}),
        manager.put(f"{LOCAL}/{powerful.name}", json={"email": "mine@example.test"}),
        manager.patch(f"{LOCAL}/{powerful.name}", json={"disabled": True}),
        manager.delete(f"{LOCAL}/{powerful.name}"),
        manager.put(f"{LOCAL}/{other.name}", json={"password": "now it is my password"}),
        manager.patch(f"{LOCAL}/{person.name}", json={"linked_to": f"local:{other.name}"}),
        manager.patch(f"{LOCAL}/{person.name}", json={"linked_to": f"local:{powerful.name}"}),
    ):
        assert refused.status_code == 403, refused.text
    imported = manager.post(f"{USERS}/import-htpasswd", json={"text": lines, "replace": True}).json()
    assert (len(imported["refused"]), imported["replaced"]) == (3, [])
    with powerful.client(set_up) as client:
        assert signs_in(client)
        client.close()
    assert admin.delete(f"{LOCAL}/{powerful.name}").status_code == 204


def test_who_changes_users_helps_those_who_may_no_more(manager: httpx.Client, person: Person) -> None:
    assert manager.put(f"{LOCAL}/{person.name}", json={"password": "forgotten, so a new one"}).status_code == 200
    assert manager.patch(f"{LOCAL}/{person.name}", json={"disabled": True}).status_code == 200
    assert manager.delete(f"{LOCAL}/{person.name}").status_code == 204


def test_limited_token_of_an_administrator_makes_none(set_up: SetUp, admin: httpx.Client) -> None:
    limits = [{"permissions": ["user:read", "user:write"], "kind": "registry"}]
    secret = admin.post(f"{API}/account/tokens", json={"name": "t", "limits": limits}).json()["secret"]
    with Person("admin", secret).client(set_up) as limited:
        name = new_name()
        assert limited.put(f"{LOCAL}/{name}", json={"administrator": True}).status_code == 403
        assert limited.put(f"{LOCAL}/{name}", json={"email": "a@example.test"}).status_code == 201


def test_others_may_not_look_at_users_nor_change_them(set_up: SetUp, person: Person) -> None:
    with person.client(set_up) as client:
        for refused in (
            client.get(USERS),
            client.get(f"{LOCAL}/{person.name}"),
            client.get(f"{LOCAL}/nobody-of-this-name"),
            client.put(f"{LOCAL}/{new_name()}", json={}),
            client.patch(f"{LOCAL}/{person.name}", json={"administrator": True}),
            client.delete(f"{LOCAL}/{person.name}"),
            client.get(f"{LOCAL}/{person.name}/tokens"),
            client.post(f"{USERS}/import-htpasswd", json={"text": ""}),
            client.get(f"{API}/providers"),
        ):
            assert refused.status_code == 403, refused.text


def test_login_of_a_provider_is_linked_to_an_account(set_up: SetUp, admin: httpx.Client, person: Person) -> None:
    name = new_name("ext")
    sign_in_externally(set_up, "ldap", name, "staff")
    path = f"{USERS}/ldap/{name}"

    linked = admin.patch(path, json={"linked_to": f"local:{person.name}"})
    assert linked.json()["linked_to"] == f"local:{person.name}"
    sign_in_externally(set_up, "ldap", name, "staff")
    with person.client(set_up) as client:
        assert set_up.soon(lambda: client.get(f"{API}/account").json()["groups"] == ["ldap:staff"])
        # Neither chains, nor robots, nor itself.
        third = new_user(admin)
        admin.put(f"{API}/robots/{(robot := new_name('bot'))}", json={})
        for user, target in (
            (third.name, f"ldap:{name}"),
            (person.name, f"local:{third.name}"),
            (third.name, f"robot:{robot}"),
            (third.name, f"local:{third.name}"),
        ):
            answer = admin.patch(f"{LOCAL}/{user}", json={"linked_to": target})
            assert answer.status_code == 409, answer.text
        assert admin.patch(path, json={"linked_to": "local:nobody-here"}).status_code == 404
        assert admin.patch(path, json={"linked_to": "nonsense"}).status_code == 400

        assert admin.patch(path, json={"linked_to": None}).json()["linked_to"] is None
        assert set_up.soon(lambda: client.get(f"{API}/account").json()["groups"] == [])
    assert actions(set_up, f"user:ldap:{name}").count("user:link") == 2


def test_what_a_provider_says_is_not_changed_here(set_up: SetUp, admin: httpx.Client) -> None:
    name = f"cluster/{new_name('account')}"
    sign_in_externally(set_up, "ldap", name)
    path = f"{USERS}/ldap/{name}"

    assert admin.get(path).json()["name"] == name, "slashes are part of a provider's names"
    assert admin.get(f"{USERS}/ldap/{name.replace('/', '%2f')}").json()["name"] == name
    assert admin.get(f"{path}/tokens").json()["items"] == []
    assert admin.patch(path, json={"email": "other@example.test"}).status_code == 409
    assert admin.patch(path, json={"disabled": True}).json()["disabled"]
    assert admin.put(path, json={}).status_code == 405
    assert admin.delete(path).status_code == 204


def test_disabled_local_user_is_out_though_it_is_linked(set_up: SetUp, admin: httpx.Client, person: Person) -> None:
    account = new_user(admin)
    with person.client(set_up) as client:
        assert admin.patch(f"{LOCAL}/{person.name}", json={"linked_to": f"local:{account.name}"}).status_code == 200
        assert set_up.soon(lambda: client.get(f"{API}/account").json()["name"] == account.name)
        admin.patch(f"{LOCAL}/{person.name}", json={"disabled": True})
        assert set_up.soon(lambda: not signs_in(client))


def test_administrator_revokes_tokens_of_others(set_up: SetUp, admin: httpx.Client, person: Person) -> None:
    with person.client(set_up) as client:
        made = client.post(f"{API}/account/tokens", json={"name": "lost"}).json()
    path = f"{LOCAL}/{person.name}/tokens"
    assert [token["name"] for token in admin.get(path).json()["items"]] == ["lost"]
    with Person(person.name, made["secret"]).client(set_up) as with_token:
        assert set_up.soon(lambda: signs_in(with_token))
        assert admin.delete(f"{path}/{made['token']['id']}").status_code == 204
        assert set_up.soon(lambda: not signs_in(with_token))
    assert admin.delete(f"{path}/{made['token']['id']}").status_code == 404


def test_users_of_an_htpasswd_file_sign_in(set_up: SetUp, admin: httpx.Client) -> None:
    new, kept = Person(new_name(), "from the old registry"), new_user(admin)
    lines = [
        "# users of the old registry",
        f"{new.name}:{_bcrypt(new.secret)}",
        f"{kept.name}:{_bcrypt('another password')}",
        "md5:$apr1$8Cn4yQ8e$hCyZ4hcQ0cFq2hC0N1lVa/",
        "sha:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "plain:text",
        f"sp ace:{_bcrypt('x')}",
        f"costly:$2y$31${'a' * 53}",
        "no colon",
        f"{new.name}:{_bcrypt('twice')}",
    ]
    body = {"text": "\n".join(lines)}
    imported = admin.post(f"{USERS}/import-htpasswd", json=body).json()

    assert (imported["created"], imported["kept"], imported["replaced"]) == ([new.name], [kept.name], [])
    assert [refused["line"] for refused in imported["refused"]] == [4, 5, 6, 7, 8, 9, 10]
    assert "bcrypt" in imported["refused"][0]["reason"]
    for person in (new, kept):
        with person.client(set_up) as client:
            # Twice: the first time replaces the hash.
            assert signs_in(client)
            assert signs_in(client)
    replaced = admin.post(f"{USERS}/import-htpasswd", json={**body, "replace": True}).json()
    assert sorted(replaced["replaced"]) == sorted([new.name, kept.name])
    with Person(kept.name, "another password").client(set_up) as client:
        assert set_up.soon(lambda: signs_in(client))


@pytest.mark.parametrize(
    "name",
    [
        "a b", "a%20b", "a%2fb", "a%00b", "a%0ab", "a%7fb", "%ff", "%ed%a0%80", "a:b", "robot+x", "a%e2%80%8bb",
        "e%cc%81", "a" * 256, "a" * 10_000, "%20", "..%2f..%2fetc", "%e2%80%ae", "", "a;b/c",
    ],
)  # fmt: skip
def test_odd_name_is_no_user(admin: httpx.Client, name: str) -> None:
    for answer in (
        admin.put(f"{LOCAL}/{name}", json={"email": ""}),
        admin.get(f"{LOCAL}/{name}"),
        admin.patch(f"{LOCAL}/{name}", json={"disabled": True}),
        admin.delete(f"{LOCAL}/{name}"),
        admin.get(f"{USERS}/{name}/x"),
        admin.get(f"{LOCAL}/{name}/tokens"),
        admin.delete(f"{LOCAL}/{name}/tokens/abc"),
        admin.delete(f"{LOCAL}/admin/tokens/{name}"),
    ):
        assert 400 <= answer.status_code < 500, (answer.request.url, answer.status_code, answer.text)


@pytest.mark.parametrize("name", ["ädmin", "管理者", "a.b@example.test", "a+b", "O'Brien", "%25"])
def test_unusual_name_is_a_user(admin: httpx.Client, name: str) -> None:
    path = f"{LOCAL}/{name}"
    assert admin.put(path, json={}).status_code == 201
    assert admin.get(path).status_code == 200
    assert admin.delete(path).status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        '{"email": "a\\u0000b"}',
        '{"email": "\\ud800"}',
        '{"administrator": null}',
        '{"id": 1}',
        "[]",
        "{",
        '"x"',
        "null",
    ],
)
def test_odd_body_is_refused(admin: httpx.Client, person: Person, body: str) -> None:
    for method in ("PUT", "PATCH"):
        answer = admin.request(
            method, f"{LOCAL}/{person.name}", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code in {400, 422}, answer.text


@pytest.mark.parametrize("query", ["search=%00", "after=%00", "after=-1", "limit=0", "limit=1e9", "provider=%00"])
def test_odd_query_is_no_defect(admin: httpx.Client, query: str) -> None:
    for path in (USERS, f"{API}/account/tokens", f"{API}/groups", f"{API}/robots"):
        assert admin.get(f"{path}?{query}").status_code in {200, 400, 422}


def test_providers_are_listed_without_their_secrets(admin: httpx.Client) -> None:
    assert admin.get(f"{API}/providers").json() == {"items": [{"name": "local", "type": "local"}], "next": None}


def _bcrypt(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()
