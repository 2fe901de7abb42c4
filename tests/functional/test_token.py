"""The token service that docker and others ask before they ask the registry."""

import base64
import json
import secrets
from urllib.parse import urlsplit

import httpx
import pytest

from entrepot.principal import SCOPES_MAX
from tests.functional.repository import SMALL_BYTES, Repository, code_of, noise
from tests.functional.setups import SetUp

LONGEST_IN_ONE_QUERY = 200
"""A request's line has 64 KiB at most."""


def challenge_of(answer: httpx.Response) -> dict[str, str]:
    """The parameters of a WWW-Authenticate header."""
    kind, _, rest = answer.headers["www-authenticate"].partition(" ")
    assert kind == "Bearer"
    pairs = (part.partition("=") for part in rest.replace('",', '"\n').splitlines())
    return {name.strip(): value.strip('"') for name, _, value in pairs}


def with_token(set_up: SetUp, token: str) -> httpx.Client:
    client = set_up.server.client(anonymous=True)
    client.headers["authorization"] = f"Bearer {token}"
    client.follow_redirects = True
    return client


def get_token(client: httpx.Client, *scopes: str) -> str:
    answer = client.get("/token", params={"service": "entrepot", "scope": list(scopes)})
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


def post_token(set_up: SetUp, scopes: list[str], **changes: str) -> httpx.Response:
    """By the form, one field for each scope; `changes` replace fields."""
    form = {
        "grant_type": "password",
        "service": "entrepot",
        "client_id": "story",
        "username": set_up.server.username,
        "password": set_up.server.password,
        "scope": scopes,
        **changes,
    }
    with set_up.server.client(anonymous=True) as client:
        return client.post("/token", data=form)


def granted(token: str) -> list[dict[str, object]]:
    """What a token says that it allows."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    access: list[dict[str, object]] = claims["access"]
    return access


def test_client_that_follows_the_challenge_gets_in(set_up: SetUp, repository: Repository, admin: httpx.Client) -> None:
    pushed = repository.push_image("v1")
    with set_up.server.client(anonymous=True) as client:
        refused = repository.by(client).manifest("v1")
        challenge = challenge_of(refused)
        assert refused.status_code == 401
        assert challenge["scope"] == f"repository:{repository.name}:pull"
        assert urlsplit(challenge["realm"]).netloc == set_up.server.host
        answer = admin.get(challenge["realm"], params={"service": challenge["service"], "scope": challenge["scope"]})

    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["token"] == answer.json()["access_token"]
    assert answer.json()["expires_in"] >= 60
    with with_token(set_up, answer.json()["token"]) as client:
        assert repository.by(client).manifest("v1").content == pushed.payload
        assert client.get("/v2/").status_code == 200


def test_push_with_a_token(set_up: SetUp, repository: Repository, admin: httpx.Client) -> None:
    with with_token(set_up, get_token(admin, f"repository:{repository.name}:pull,push")) as client:
        theirs = repository.by(client)
        pushed = theirs.push_image("v1")
        assert theirs.manifest("v1").content == pushed.payload
        refused = theirs.delete_manifest("v1")

    assert (refused.status_code, code_of(refused)) == (401, "UNAUTHORIZED")
    assert challenge_of(refused)["error"] == "insufficient_scope"


def test_upload_that_was_begun_with_a_token_goes_on_with_the_next_one(
    set_up: SetUp, repository: Repository, admin: httpx.Client
) -> None:
    """Tokens live for minutes, uploads for hours."""
    content = noise(SMALL_BYTES)
    scope = f"repository:{repository.name}:pull,push"
    with with_token(set_up, get_token(admin, scope)) as first:
        address = repository.by(first).new_upload()
    with with_token(set_up, get_token(admin, scope)) as second:
        assert repository.by(second).send(address, content).status_code == 202


@pytest.mark.parametrize(
    ("scope", "actions"),
    [("pull", ["pull"]), ("pull,push", ["pull", "push"]), ("*", ["delete", "pull", "push"]), ("fly", None)],
)
def test_administrator_gets_what_is_asked_for(
    repository: Repository, admin: httpx.Client, scope: str, actions: list[str] | None
) -> None:
    token = get_token(admin, f"repository:{repository.name}:{scope}")

    expected = [{"type": "repository", "name": repository.name, "actions": actions}] if actions else []
    assert granted(token) == expected


def test_several_scopes_in_one_request(admin: httpx.Client) -> None:
    token = get_token(admin, "repository:a/b:pull repository:c/d:push", "registry:catalog:*")

    assert [entry["name"] for entry in granted(token)] == ["a/b", "c/d", "catalog"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("count", [1, 64, 65, SCOPES_MAX])
@pytest.mark.parametrize("characters", [16, 255])
def test_token_for_many_repositories_is_of_use_in_each(
    set_up: SetUp, admin: httpx.Client, method: str, count: int, characters: int
) -> None:
    """As tools that mirror registries ask for them; what they get goes through proxies, which take 8 KiB."""
    if method == "GET" and characters == 255:
        count = min(count, LONGEST_IN_ONE_QUERY)
    namespace = secrets.token_hex(4)
    names = [f"{namespace}/{number:04d}".ljust(characters, "x") for number in range(count)]
    first, last = (Repository(admin, name) for name in (names[0], names[-1]))
    pushed = first.push_image("v1")
    actions = ["pull", "pull,push"]
    scopes = [f"repository:{name}:{actions[number % 2]}" for number, name in enumerate(reversed(names))]
    if method == "GET":
        token = get_token(admin, *scopes)
    else:
        answer = post_token(set_up, scopes)
        assert answer.status_code == 200, answer.text
        assert answer.json()["scope"].split() == scopes
        token = answer.json()["token"]

    assert len(f"Authorization: Bearer {token}\r\n") <= 8 * 1024
    with with_token(set_up, token) as client:
        assert first.by(client).manifest("v1").content == pushed.payload
        assert last.by(client).manifest("v1").status_code == (200 if count == 1 else 404)
        # The last one was asked for first, to pull from.
        assert last.by(client).start_upload().status_code == 401
        assert first.by(client).start_upload().status_code == (202 if count % 2 == 0 else 401)
        assert Repository(client, f"{namespace}/another").manifest("v1").status_code == 401
        assert client.get("/v2/_catalog").status_code == 401


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_token_for_too_many_repositories_is_refused_with_the_number(
    set_up: SetUp, admin: httpx.Client, method: str
) -> None:
    scopes = [f"repository:story/{number}:pull" for number in range(SCOPES_MAX + 1)]
    answer = admin.get("/token", params={"scope": scopes}) if method == "GET" else post_token(set_up, scopes)

    assert (answer.status_code, code_of(answer)) == (400, "UNSUPPORTED")
    assert "1001 scopes: request at most 1000" in answer.text


def test_many_repositories_of_which_few_are_allowed(
    set_up: SetUp, repository: Repository, anybody: httpx.Client
) -> None:
    """What is not granted takes no room: strangers who ask for all there is get a token that says so."""
    scopes = [f"repository:story/none-{number:04d}:pull" for number in range(SCOPES_MAX - 1)]
    token = get_token(anybody, *scopes, f"repository:{repository.name}:pull")

    assert granted(token) == []
    assert len(token) < 1024


def test_token_reaches_no_other_repository(
    set_up: SetUp, repository: Repository, other_repository: Repository, admin: httpx.Client
) -> None:
    pushed = other_repository.push_image("v1")
    (layer,) = other_repository.manifest("v1").json()["layers"]
    with with_token(set_up, get_token(admin, f"repository:{repository.name}:pull,push")) as client:
        for refused in (
            other_repository.by(client).manifest("v1"),
            other_repository.by(client).blob(layer["digest"]),
            other_repository.by(client).put_manifest(pushed, "v2"),
            client.get("/v2/_catalog"),
        ):
            assert refused.status_code == 401
            assert challenge_of(refused)["error"] == "insufficient_scope"


def test_form_of_newer_clients(set_up: SetUp, repository: Repository) -> None:
    pushed = repository.push_image("v1")
    scope = f"repository:{repository.name}:pull"
    answer = post_token(set_up, [scope])
    wrong = post_token(set_up, [scope], password="wrong")
    other = post_token(set_up, [scope], grant_type="authorization_code")

    assert answer.status_code == 200
    assert answer.json()["scope"] == scope
    with with_token(set_up, answer.json()["access_token"]) as client:
        assert repository.by(client).manifest("v1").content == pushed.payload
    assert wrong.status_code == 401
    assert other.status_code == 400


def test_nobody_gets_a_token_that_opens_nothing(set_up: SetUp, repository: Repository, anybody: httpx.Client) -> None:
    repository.push_image("v1")
    token = get_token(anybody, f"repository:{repository.name}:pull,push")

    assert granted(token) == []
    with with_token(set_up, token) as client:
        assert repository.by(client).manifest("v1").status_code == 401


def test_wrong_password_gets_no_token(set_up: SetUp) -> None:
    with set_up.server.client(anonymous=True) as client:
        answer = client.get("/token", auth=("admin", "wrong"))

    assert (answer.status_code, code_of(answer)) == (401, "UNAUTHORIZED")


def test_token_is_no_way_to_another_token(set_up: SetUp, admin: httpx.Client) -> None:
    with with_token(set_up, get_token(admin, "repository:a/b:pull")) as client:
        assert client.get("/token", params={"scope": "repository:a/b:push"}).status_code == 401


@pytest.mark.parametrize("damage", ["signature", "claims", "algorithm", "nonsense"])
def test_token_that_was_changed_is_refused(set_up: SetUp, admin: httpx.Client, damage: str) -> None:
    header, claims, signature = get_token(admin, "registry:catalog:*").split(".")

    def encoded(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    damaged = {
        "signature": f"{header}.{claims}.{signature[::-1]}",
        "claims": f"{header}.{encoded({'sub': 'admin'})}.{signature}",
        "algorithm": f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{claims}.",
        "nonsense": secrets.token_urlsafe(40),
    }[damage]
    with with_token(set_up, damaged) as client:
        answer = client.get("/v2/_catalog")
    assert answer.status_code == 401
    assert challenge_of(answer)["error"] == "invalid_token"


def test_malformed_scope_is_refused(admin: httpx.Client) -> None:
    assert admin.get("/token", params={"scope": "nonsense"}).status_code == 400


def test_who_looks_for_a_blob_is_told_to_ask_for_what_a_push_needs(
    repository: Repository, anybody: httpx.Client
) -> None:
    """Some clients go on with the token that they got for looking; others ask for what they want anyway."""
    looked = repository.by(anybody).blob(f"sha256:{'0' * 64}", "HEAD")
    read = repository.by(anybody).blob(f"sha256:{'0' * 64}")

    assert challenge_of(looked)["scope"] == f"repository:{repository.name}:pull,push"
    assert challenge_of(read)["scope"] == f"repository:{repository.name}:pull"
