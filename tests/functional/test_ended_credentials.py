"""What was handed out ends with what it was got with, at the next request; no number, no name and no token is lent."""

import secrets

import httpx
from sqlalchemy import Connection

from entrepot.clock import system_clock
from entrepot.identity import sessions, users
from entrepot.identity.sessions import NewSession
from tests.functional.accounts import audited, bearer
from tests.functional.people import API, PASSWORD, People, Person, new_namespace
from tests.functional.repository import Repository
from tests.functional.setups import SetUp


def _bearer_of(people: People, person: Person, *scopes: str) -> str:
    answer = person.client.get("/token", params={"scope": list(scopes)})
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


def _status(set_up: SetUp, token: str) -> int:
    with bearer(set_up, token) as client:
        return client.get("/v2/").status_code


def test_bearer_token_ends_with_the_password_it_was_got_with(set_up: SetUp, people: People) -> None:
    def change(person: Person) -> httpx.Response:
        body = {"current": PASSWORD, "new": f"{PASSWORD}!"}
        return person.client.put(f"{API}/account/password", json=body)

    def reset(person: Person) -> httpx.Response:
        return people.admin.put(f"{API}/users/local/{person.name}", json={"password": f"{PASSWORD}!"})

    def disable_and_enable(person: Person) -> httpx.Response:
        people.admin.patch(f"{API}/users/local/{person.name}", json={"disabled": True})
        return people.admin.patch(f"{API}/users/local/{person.name}", json={"disabled": False})

    def at_the_console(person: Person) -> None:
        set_up.command("admin", "reset-password", person.name, "--generate")

    for end in (change, reset, disable_and_enable, at_the_console):
        person = people.person()
        token = _bearer_of(people, person)
        assert _status(set_up, token) == 200
        done = end(person)
        assert done is None or done.is_success, done.text
        assert set_up.soon(lambda token=token: _status(set_up, token) == 401), end.__name__


def test_bearer_token_is_not_for_who_is_made_anew_under_the_name(set_up: SetUp, people: People) -> None:
    person = people.person()
    token = _bearer_of(people, person)
    path = f"{API}/users/local/{person.name}"
    # Within the same second.
    assert people.admin.delete(path).status_code == 204
    assert people.admin.put(path, json={"password": PASSWORD}).status_code == 201
    assert set_up.soon(lambda: _status(set_up, token) == 401)


def test_bearer_token_ends_with_the_browsers_session(set_up: SetUp, people: People) -> None:
    person, value = people.person(), sessions.new_value()

    def begin(connection: Connection) -> None:
        user = users.require(connection, users.LOCAL, person.name)
        now_ms = system_clock()
        sessions.start(connection, value, NewSession(user.id, users.LOCAL, "127.0.0.1"), now_ms, now_ms + 600_000)

    people.in_database(begin)
    with people.anybody() as browser:
        browser.headers["cookie"] = f"entrepot_session={value}"
        token = browser.get("/token").json()["token"]
        assert _status(set_up, token) == 200
        assert browser.post("/auth/logout").status_code == 303
    assert set_up.soon(lambda: _status(set_up, token) == 401)


def test_number_of_a_removed_user_is_never_anothers(people: People) -> None:
    def remove_the_newest(connection: Connection) -> int:
        made = users.add(connection, users.LOCAL, f"last-{secrets.token_hex(4)}", now_ms=1)
        users.remove(connection, made)
        return made.id

    removed = people.in_database(remove_the_newest)
    again = people.in_database(lambda c: users.add(c, users.LOCAL, f"next-{secrets.token_hex(4)}", now_ms=1))
    assert again.id > removed


def test_mount_reaches_no_further_than_the_token(set_up: SetUp, people: People) -> None:
    team = new_namespace()
    person = people.with_role("developer", "namespace", team)
    digest = Repository(people.admin, f"{team}/source").push_blob(b"a layer that is not named")
    target = f"/v2/{team}/target/blobs/uploads/"
    own, source = f"repository:{team}/target:pull,push", f"repository:{team}/source:pull"
    for scopes, status in (((own,), 202), ((own, source), 201)):
        with bearer(set_up, _bearer_of(people, person, *scopes)) as client:
            for query in ({"from": f"{team}/source"}, {}):
                assert client.post(target, params={"mount": digest, **query}).status_code == status, query


def test_records_name_the_number_of_the_user(set_up: SetUp, people: People) -> None:
    person = people.person()
    assert person.client.post(f"{API}/account/tokens", json={"name": "a"}).status_code == 201
    known = people.in_database(lambda c: users.require(c, users.LOCAL, person.name))
    assert {record["actor_id"] for record in audited(set_up, f"user:{person.key}") if "actor_id" in record} == {
        known.id
    }


def test_name_that_looks_like_another_is_not_given(people: People) -> None:
    for name in ("\u0430dmin", "\u0430\u0441\u0435", "a\u200bdmin", "\uff41dmin", "robot+ci", "\u03bfwner"):
        answer = people.admin.put(f"{API}/users/local/{name}", json={})
        assert answer.status_code == 400, name
    for name in ("müller", "иван", "田中さん", "김민준"):
        unique = f"{name}{secrets.randbelow(10**9)}"
        assert people.admin.put(f"{API}/users/local/{unique}", json={}).status_code == 201, name
