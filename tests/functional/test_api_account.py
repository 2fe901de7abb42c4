"""The own account by the API: who I am, my password, my tokens."""

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import StartEntrepot
from tests.functional.accounts import API, Person, actions, audited, bearer, grant, new_name, new_user
from tests.functional.repository import Repository
from tests.functional.setups import SetUp

TOKENS = f"{API}/account/tokens"
NEW_PASSWORD = "another long passphrase"


@pytest.fixture
def person(admin: httpx.Client) -> Person:
    return new_user(admin)


@pytest.fixture
def client(set_up: SetUp, person: Person) -> Iterator[httpx.Client]:
    with person.client(set_up) as signed_in:
        yield signed_in


def new_token(client: httpx.Client, **fields: object) -> tuple[str, str]:
    """Id and secret."""
    answer = client.post(TOKENS, json={"name": "for a story", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]["id"], answer.json()["secret"]


def works(client: httpx.Client) -> bool:
    return client.get(f"{API}/account").status_code == 200


def change(client: httpx.Client, current: str, new: str = NEW_PASSWORD) -> httpx.Response:
    return client.put(f"{API}/account/password", json={"current": current, "new": new})


def test_account_says_who_is_signed_in_and_how(set_up: SetUp, client: httpx.Client, person: Person) -> None:
    grant(set_up, "auditor", f"local:{person.name}")
    assert set_up.soon(lambda: client.get(f"{API}/account").json()["roles"] == ["auditor"])
    account = client.get(f"{API}/account").json()
    assert (account["provider"], account["name"], account["administrator"]) == ("local", person.name, False)
    assert account["credential"] == {"kind": "password", "id": "", "limits": None}


@pytest.mark.parametrize("path", ["/account", "/account/tokens"])
def test_nobody_has_no_account(anybody: httpx.Client, path: str) -> None:
    answer = anybody.get(API + path)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_password_is_changed_by_who_knows_it(set_up: SetUp, client: httpx.Client, person: Person) -> None:
    _, pat = new_token(client)
    refresh = client.get("/token", params={"offline_token": "true"}).json()["refresh_token"]

    assert change(client, "not the password at all").status_code == 403
    assert change(client, pat).status_code == 403, "a token is not the password"
    assert change(client, person.secret).status_code == 204

    assert set_up.soon(lambda: client.get(f"{API}/account").status_code == 401)
    with Person(person.name, NEW_PASSWORD).client(set_up) as again:
        assert works(again)
        form = {"grant_type": "refresh_token", "refresh_token": refresh}
        assert again.post("/token", data=form).status_code == 401, "docker has to sign in again"
    recorded = audited(set_up, f"user:local:{person.name}")
    assert "password:change" in [record["action"] for record in recorded]
    assert not [secret for secret in (person.secret, NEW_PASSWORD, pat, refresh) if secret in str(recorded)]


@pytest.mark.parametrize("new", ["short", "aaaaaaaaaaaaaaaaaaaa", "entrepot_pat_but_not_a_token", "eyJ0eXAi.and.so-on"])
def test_weak_password_is_refused(client: httpx.Client, person: Person, new: str) -> None:
    answer = change(client, person.secret, new)

    assert (answer.status_code, answer.json()["code"]) == (400, "password_too_weak")
    assert works(client)


def test_password_with_the_name_in_it_or_the_same_again_is_refused(client: httpx.Client, person: Person) -> None:
    assert change(client, person.secret, f"my {person.name} password").status_code == 400
    assert change(client, person.secret, person.secret).status_code == 400


def test_guessing_the_password_of_a_session_that_was_left_open_is_slowed(start_entrepot: StartEntrepot) -> None:
    server = start_entrepot(workers=1)
    with server.client() as client:
        answers: list[int] = []
        # The first wait is of a second, in which a slow machine may not come to the next guess.
        while 429 not in answers and len(answers) < 12:
            answers.append(change(client, f"a guess, number {len(answers)}").status_code)

        assert answers[:5] == [403] * 5
        assert answers[-1] == 429
        right = change(client, server.password)
        assert right.status_code == 429, "not even the right one now"
        assert int(right.headers["retry-after"]) > 0


def test_token_signs_in_until_it_is_revoked(set_up: SetUp, client: httpx.Client, person: Person) -> None:
    token_id, secret = new_token(client)
    with Person(person.name, secret).client(set_up) as basic, bearer(set_up, secret) as plain:
        for signed_in in (basic, plain):
            assert set_up.soon(lambda signed_in=signed_in: works(signed_in))
            account = signed_in.get(f"{API}/account").json()
            assert (account["name"], account["credential"]["id"]) == (person.name, token_id)
        short_lived = basic.get("/token").json()["token"]
        with bearer(set_up, short_lived) as derived:
            assert set_up.soon(lambda: derived.get("/v2/").status_code == 200)
            (listed,) = client.get(TOKENS).json()["items"]
            assert (listed["id"], listed["kind"], listed["limits"]) == (token_id, "personal", None)
            assert "secret" not in listed

            assert client.delete(f"{TOKENS}/{token_id}").status_code == 204

            for signed_in in (basic, plain):
                assert set_up.soon(lambda signed_in=signed_in: signed_in.get(f"{API}/account").status_code == 401)
            assert set_up.soon(lambda: derived.get("/v2/").status_code == 401)
    assert client.delete(f"{TOKENS}/{token_id}").status_code == 404
    recorded = audited(set_up, f"user:local:{person.name}")
    assert {"token:create", "token:revoke"} <= {record["action"] for record in recorded}
    assert secret not in str(recorded)


def test_token_with_limits_reaches_no_further(set_up: SetUp, repository: Repository, admin: httpx.Client) -> None:
    pushed = repository.push_image("v1")
    limits = [{"permissions": ["repository:pull"], "kind": "repository", "path": repository.name}]
    token_id, secret = new_token(admin, limits=limits)
    with Person("admin", secret).client(set_up) as limited:
        assert repository.by(limited).manifest("v1").content == pushed.payload
        assert repository.by(limited).start_upload().status_code == 403
        assert limited.get(f"{API}/users").status_code == 403
        account = limited.get(f"{API}/account").json()
        assert account["credential"]["limits"] == limits
        for refused in (
            limited.get(TOKENS),
            limited.post(TOKENS, json={"name": "more than I have"}),
            limited.post(f"{TOKENS}/{token_id}/rotate", json={}),
            limited.put(f"{API}/account/password", json={"current": set_up.server.password, "new": NEW_PASSWORD}),
        ):
            assert refused.status_code == 403, refused.text


@pytest.mark.parametrize(
    "limits",
    [
        [],
        [{"permissions": [], "kind": "registry"}],
        [{"permissions": ["repository:fly"], "kind": "registry"}],
        [{"permissions": ["account:own"], "kind": "registry"}],
        [{"permissions": ["*"], "kind": "galaxy"}],
        [{"permissions": ["*"], "kind": "namespace", "path": ""}],
        [{"permissions": ["*"], "kind": "namespace", "path": "Team/App"}],
        [{"permissions": ["user:write"], "kind": "namespace", "path": "team"}],
        [{"permissions": ["*"], "kind": "registry"}] * 51,
    ],
)
def test_limits_that_cannot_be_are_refused(client: httpx.Client, limits: list[object]) -> None:
    assert client.post(TOKENS, json={"name": "limited", "limits": limits}).status_code in {400, 422}


@pytest.mark.parametrize(
    "fields",
    [{"name": ""}, {"name": " "}, {"name": "a\x00b"}, {"name": "a" * 256}, {"expires_in_seconds": 0}, {"more": 1}],
)
def test_token_that_cannot_be_is_refused(client: httpx.Client, fields: dict[str, object]) -> None:
    assert client.post(TOKENS, json={"name": "odd", **fields}).status_code in {400, 422}


def test_token_made_with_a_token_goes_with_it_and_ends_with_it(
    set_up: SetUp, client: httpx.Client, person: Person
) -> None:
    first_id, first = new_token(client, expires_in_seconds=3600)
    with Person(person.name, first).client(set_up) as with_first:
        made = with_first.post(TOKENS, json={"name": "for longer"}).json()
        listed = {token["id"]: token for token in client.get(TOKENS).json()["items"]}
        assert made["token"]["expires_at"] == listed[first_id]["expires_at"]
    with Person(person.name, made["secret"]).client(set_up) as with_second:
        assert set_up.soon(lambda: works(with_second))
        client.delete(f"{TOKENS}/{first_id}")
        assert set_up.soon(lambda: not works(with_second))


def test_rotated_token_is_good_for_as_long_as_was_asked(set_up: SetUp, client: httpx.Client, person: Person) -> None:
    old_id, old = new_token(client, expires_in_seconds=7200)
    with Person(person.name, old).client(set_up) as with_old:
        rotated = client.post(f"{TOKENS}/{old_id}/rotate", json={"overlap_seconds": 600}).json()
        with Person(person.name, rotated["secret"]).client(set_up) as with_new:
            assert set_up.soon(lambda: works(with_new) and works(with_old))
            new_id = rotated["token"]["id"]
            again = client.post(f"{TOKENS}/{new_id}/rotate", json={"overlap_seconds": 0}).json()
            assert set_up.soon(lambda: not works(with_new) and works(with_old))
    with Person(person.name, again["secret"]).client(set_up) as with_newest:
        assert set_up.soon(lambda: works(with_newest))
    assert [token["id"] for token in client.get(TOKENS).json()["items"]] == sorted([old_id, again["token"]["id"]])
    assert actions(set_up, f"user:local:{person.name}").count("token:rotate") == 2


def test_token_rotates_itself_and_no_other(set_up: SetUp, client: httpx.Client, person: Person) -> None:
    own_id, own = new_token(client)
    other_id, _ = new_token(client)
    with Person(person.name, own).client(set_up) as with_own:
        assert with_own.post(f"{TOKENS}/{other_id}/rotate", json={}).status_code == 403
        assert with_own.post(f"{TOKENS}/{own_id}/rotate", json={}).status_code == 201
        assert set_up.soon(lambda: not works(with_own))


def test_docker_login_is_listed_and_revoked(set_up: SetUp, client: httpx.Client) -> None:
    refresh = client.get("/token", params={"offline_token": "true"}).json()["refresh_token"]
    (listed,) = client.get(TOKENS).json()["items"]
    assert listed["kind"] == "refresh"
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    assert client.post("/token", data=form).status_code == 200

    assert client.post(f"{TOKENS}/{listed['id']}/rotate", json={}).status_code == 403
    assert client.delete(f"{TOKENS}/{listed['id']}").status_code == 204

    assert set_up.soon(lambda: client.post("/token", data=form).status_code == 401)


def test_token_of_somebody_else_is_as_if_it_were_not_there(admin: httpx.Client, client: httpx.Client) -> None:
    token_id, _ = new_token(admin)

    for answer in (client.delete(f"{TOKENS}/{token_id}"), client.post(f"{TOKENS}/{token_id}/rotate", json={})):
        assert answer.status_code == 404
    assert admin.delete(f"{TOKENS}/{token_id}").status_code == 204


def test_bearer_token_of_the_docker_protocol_is_not_for_the_account(set_up: SetUp, client: httpx.Client) -> None:
    with bearer(set_up, client.get("/token").json()["token"]) as derived:
        assert derived.get(f"{API}/account").status_code == 200
        assert derived.get(TOKENS).status_code == 401
        assert derived.post(TOKENS, json={"name": new_name()}).status_code == 401


def test_tokens_are_listed_in_pages(client: httpx.Client) -> None:
    made = sorted(new_token(client)[0] for _ in range(5))

    listed, after = [], ""
    for _ in range(3):
        page = client.get(TOKENS, params={"limit": 2, "after": after}).json()
        listed += [token["id"] for token in page["items"]]
        after = page["next"]
    assert (listed, after) == (made, None)
