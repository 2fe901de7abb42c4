"""People and workloads of a real OpenID provider at a real registry: what they reach, and what is refused."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from sqlalchemy import Connection, select

from entrepot.access import grants
from entrepot.access.grants import GROUP, USER, Subject
from entrepot.access.places import Place
from entrepot.audit.tables import audit_pending, audit_records
from entrepot.clock import system_clock
from entrepot.database.open import open_database
from entrepot.identity import groups, users, workloads
from entrepot.identity.oidc import LOGOUT_EVENT
from entrepot.identity.users import User
from entrepot.settings import DatabaseSettings
from tests.clients.images import unique_image
from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.oidc_provider import CONFIDENTIAL, OIDCProvider, new_keys
from tests.peers.presence import require_program
from tests.peers.process import run

T = TypeVar("T")

AUDIENCE, CLUSTER_AUDIENCE = "entrepot-ci", "entrepot-cluster"
REPOSITORY = "acme/app"
GITHUB = {"sub": "repo:acme/app:ref:refs/heads/main", "repository": REPOSITORY, "ref": "refs/heads/main"}
GITLAB = {
    "sub": "project_path:acme/app:ref_type:tag:ref:v1",
    "project_path": REPOSITORY,
    "ref_type": "tag",
    "ref": "v1",
}
POD = {
    "sub": "system:serviceaccount:team:puller",
    "kubernetes.io": {"namespace": "team", "serviceaccount": {"name": "puller", "uid": "1"}},
}
SESSION = "entrepot_session"
ENDED_SECONDS_MAX = 20


@dataclass(frozen=True)
class Site:
    """A registry, and the provider that it trusts."""

    registry: Entrepot
    provider: OIDCProvider

    @property
    def log_path(self) -> Path:
        return self.registry.log_path

    def write(self, function: Callable[..., T], *arguments: Any) -> T:
        """As an operator's command beside the server."""

        async def run() -> T:
            database = open_database(DatabaseSettings(), self.registry.data)
            try:
                return await database.write(function, *arguments)
            finally:
                await database.close()

        return asyncio.run(run())

    def client(self) -> httpx.Client:
        return self.registry.client(anonymous=True)

    def sign_in(self, browser: httpx.Client, subject: str = "0001", return_to: str = "/v2/") -> httpx.Response:
        """The last answer of a whole login: the one that has the session's cookie."""
        return browser.get(self.back(browser, subject, return_to))

    def back(self, browser: httpx.Client, subject: str = "0001", return_to: str = "/v2/") -> str:
        """The address that the provider sends the browser back to."""
        url = f"{self.registry.url}/auth/sso/login"
        started = browser.get(url, params={"return_to": return_to})
        assert started.status_code == 303, started.text
        location: str = self.provider.sign_in(browser, started.headers["location"], subject).headers["location"]
        assert location.startswith(f"{self.registry.url}/auth/sso/callback?"), location
        return location

    def token(self, name: str, password: str, scope: str) -> httpx.Response:
        """What docker login and a push ask for."""
        with self.client() as client:
            return client.get("/token", params={"scope": scope}, auth=(name, password))

    def granted(self, name: str, password: str, repository: str = REPOSITORY) -> set[str]:
        """The actions that a password is good for."""
        answer = self.token(name, password, f"repository:{repository}:pull,push,delete")
        assert answer.status_code == 200, answer.text
        access = jwt.decode(answer.json()["token"], options={"verify_signature": False})["access"]
        return {action for entry in access for action in entry["actions"]}

    def refused(self, name: str, password: str) -> str:
        """Why a password is not taken."""
        answer = self.token(name, password, f"repository:{REPOSITORY}:pull")
        assert answer.status_code == 401, answer.text
        message: str = answer.json()["errors"][0]["message"]
        return message

    def audit(self) -> list[dict[str, Any]]:
        def everything(connection: Connection) -> list[str]:
            tables = (audit_records, audit_pending)
            return [text for table in tables for (text,) in connection.execute(select(table.c.record))]

        return [json.loads(record) for record in self.write(everything)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    provider = OIDCProvider(tmp_path_factory.mktemp("provider"))
    scopes = ["openid", "profile", "email", "groups"]
    config = f"""
        [[providers]]
        name = "sso"
        type = "oidc"
        issuer = "{provider.issuer}"
        client_id = {json.dumps(CONFIDENTIAL.client_id)}
        client_secret = {json.dumps(CONFIDENTIAL.secret)}
        scopes = {json.dumps(scopes)}

        [[providers]]
        name = "ci"
        type = "oidc"
        issuer = "{provider.issuer}"

        [[providers]]
        name = "cluster"
        type = "kubernetes"
        issuer = "{provider.issuer}"
        audience = "{CLUSTER_AUDIENCE}"

        [[providers]]
        name = "forge"
        type = "oidc"
        issuer = "https://forge.example"
    """
    registry = Entrepot(tmp_path_factory.mktemp("registry"), config=config)
    provider.registry = registry.url
    with provider, registry:
        yield Site(registry, provider)
    registry.remove_data()


def grant(connection: Connection, subject: Subject, role: str) -> None:
    place = Place.parse("repository", REPOSITORY)
    grants.add(connection, role, subject, place, created_by="test", now_ms=1)


def grant_group(connection: Connection, provider: str, name: str, role: str) -> None:
    group = groups.find(connection, provider, name) or groups.add(connection, provider, name, "", 1)
    grant(connection, Subject(GROUP, group.id), role)


def add_robot(connection: Connection, name: str, *rules: tuple[str, dict[str, str]]) -> int:
    robot = users.add(connection, users.ROBOT, name, now_ms=1)
    grant(connection, Subject(USER, robot.id), "developer")
    for provider, claims in rules:
        workloads.add(connection, robot.id, provider, AUDIENCE, claims, 1)
    return robot.id


@pytest.fixture
def robot(site: Site) -> str:
    """A robot that trusts the main branch and the tags of one repository."""
    name = f"ci-{secrets.token_hex(4)}"
    github = {"repository": REPOSITORY, "ref": "refs/heads/main"}
    gitlab = {"project_path": REPOSITORY, "ref_type": "tag", "ref": "v*"}
    site.write(add_robot, name, ("ci", github), ("ci", gitlab))
    return f"robot+{name}"


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    return {text.partition("=")[0]: text for text in answer.headers.get_list("set-cookie")}


# People, in a browser.


def test_person_signs_in_and_is_who_the_provider_says(site: Site) -> None:
    site.write(grant_group, "sso", "developers", "developer")
    with site.provider.browser() as browser:
        finished = site.sign_in(browser, return_to="/r/acme/app?tab=tags")

        assert (finished.status_code, finished.headers["location"]) == (303, "/r/acme/app?tab=tags")
        assert finished.headers["cache-control"] == "no-store"
        session = cookies_of(finished)[SESSION]
        assert "; HttpOnly; SameSite=Lax" in session
        assert "; Path=/;" in session
        assert browser.get(f"{site.registry.url}/v2/").status_code == 200
        pushed = browser.post(f"{site.registry.url}/v2/{REPOSITORY}/blobs/uploads/")
        assert pushed.status_code == 202, pushed.text
        assert browser.post(f"{site.registry.url}/v2/acme/other/blobs/uploads/").status_code == 403

    logins = [record for record in site.audit() if record["action"] == "login:oidc"]
    assert {(record["actor"], record["outcome"]) for record in logins} == {("sso:ada", "done")}


def test_person_without_a_grant_is_signed_in_and_refused(site: Site) -> None:
    with site.provider.browser() as browser:
        site.sign_in(browser, "0002")

        assert browser.get(f"{site.registry.url}/v2/").status_code == 200
        assert browser.post(f"{site.registry.url}/v2/{REPOSITORY}/blobs/uploads/").status_code == 403


def test_several_logins_of_one_browser_are_finished_each(site: Site) -> None:
    with site.provider.browser() as browser:
        first = site.back(browser, return_to="/first")
        second = site.back(browser, return_to="/second")

        assert browser.get(second).headers["location"] == "/second"
        assert browser.get(first).headers["location"] == "/first"


def test_login_that_was_started_elsewhere_is_not_finished_here(site: Site) -> None:
    """Somebody who gets a victim to open such an address would have the victim work in their account."""
    with site.provider.browser() as attacker, site.provider.browser() as victim:
        address = site.back(attacker)

        refused = victim.get(address)
        assert refused.status_code == 400
        assert SESSION not in cookies_of(refused)
        victim.cookies.set(f"entrepot_login_{parse_qs(urlsplit(address).query)['state'][0][:8]}", "guessed")
        assert victim.get(address).status_code == 400
        assert SESSION not in victim.cookies


def test_answer_of_the_provider_is_taken_once(site: Site) -> None:
    with site.provider.browser() as browser:
        address = site.back(browser)
        assert browser.get(address).status_code == 303
        with site.provider.browser() as thief:
            assert thief.get(address).status_code == 400
        assert browser.get(address).status_code == 400


@pytest.mark.parametrize(
    "query", ["", "code=x", "state=&code=x", "state=unknown&code=x", "state=%00&code=x", "code=x&state=" + "a" * 5000]
)
def test_answer_to_nothing_is_refused(site: Site, query: str) -> None:
    with site.client() as client:
        refused = client.get(f"/auth/sso/callback?{query}")

    assert refused.status_code == 400
    assert "set-cookie" not in refused.headers


@pytest.mark.parametrize(
    ("change", "status"),
    [({"code": "another"}, 401), ({"code": ""}, 401), ({"iss": "https://evil.example"}, 401), ({"iss": None}, 401)],
    ids=str,
)
def test_answer_that_is_changed_is_refused(site: Site, change: dict[str, str | None], status: int) -> None:
    with site.provider.browser() as browser:
        parts = urlsplit(site.back(browser))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()} | change
        params = {name: value for name, value in query.items() if value is not None}

        refused = browser.get(f"{parts.scheme}://{parts.netloc}{parts.path}", params=params)
        assert refused.status_code == status, refused.text
        assert SESSION not in browser.cookies


def test_refusal_of_the_provider_is_told(site: Site) -> None:
    with site.provider.browser() as browser:
        for error, told in (("access_denied", "access_denied"), ("<script>", "(error)")):
            started = browser.get(f"{site.registry.url}/auth/sso/login")
            state = parse_qs(urlsplit(started.headers["location"]).query)["state"][0]
            refused = browser.get(f"{site.registry.url}/auth/sso/callback", params={"state": state, "error": error})
            assert refused.status_code == 401
            assert told in refused.text
            assert site.audit()[-1]["outcome"] == "failed"
            assert "<script>" not in refused.text


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example/", "/\r\nset-cookie: a=b", "/\t/evil.example"]
)
def test_browser_is_sent_nowhere_else(site: Site, target: str) -> None:
    with site.client() as client:
        refused = client.get("/auth/sso/login", params={"return_to": target})

    assert refused.status_code == 400
    assert "location" not in refused.headers


def test_login_asks_for_a_proof_of_the_code(site: Site) -> None:
    with site.client() as client:
        started = client.get("/auth/sso/login")

    query = parse_qs(urlsplit(started.headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["response_type"] == ["code"]
    assert all(query[name][0] for name in ("state", "nonce", "code_challenge"))
    (cookie,) = started.headers.get_list("set-cookie")
    assert cookie.startswith("entrepot_login_")
    assert "; HttpOnly; SameSite=Lax" in cookie
    assert "; Path=/auth/;" in cookie


@pytest.mark.parametrize("provider", ["ci", "cluster", "nobody"])
def test_provider_that_people_do_not_sign_in_by_has_no_login(site: Site, provider: str) -> None:
    with site.client() as client:
        assert client.get(f"/auth/{provider}/login").status_code == 404
        assert client.post(f"/auth/{provider}/device").status_code == 404


# Out again.


def test_person_signs_out_here_and_there(site: Site) -> None:
    with site.provider.browser() as browser:
        site.sign_in(browser)
        value = browser.cookies[SESSION]
        bearer = browser.get(f"{site.registry.url}/token").json()["token"]

        out = browser.post(f"{site.registry.url}/auth/logout")
        assert out.status_code == 303
        assert out.headers["location"].startswith(f"{site.provider.issuer}/session/end?")
        assert "Max-Age=0" in cookies_of(out)[SESSION]
        assert site.provider.sign_in(browser, out.headers["location"]).headers["location"] == f"{site.registry.url}/"
    with site.client() as thief:
        assert thief.get("/v2/", headers={"cookie": f"{SESSION}={value}"}).status_code == 401
        assert thief.get("/v2/", headers={"authorization": f"Bearer {bearer}"}).status_code == 401
    out_of_ada = [record for record in site.audit() if record["action"] == "logout:session"]
    assert out_of_ada[-1]["actor"] == "sso:ada"


def test_page_leads_to_providers_that_people_sign_in_by_and_to_no_others(site: Site) -> None:
    with site.client() as client:
        page = client.get("/")

    assert f"form-action 'self' {site.provider.issuer};" in page.headers["content-security-policy"]
    assert "/auth/sso/login" in page.text
    for name in ("ci", "cluster", "forge"):
        assert f"/auth/{name}/" not in page.text


def test_signing_out_without_a_session_leads_home(site: Site) -> None:
    with site.client() as client:
        out = client.post("/auth/logout")

    assert (out.status_code, out.headers["location"]) == (303, "/")


def test_page_of_another_site_does_nothing_in_somebodys_name(site: Site) -> None:
    with site.provider.browser() as browser:
        site.sign_in(browser)
        for elsewhere in ("cross-site", "same-site"):
            headers = {"sec-fetch-site": elsewhere}
            assert browser.post(f"{site.registry.url}/auth/logout", headers=headers).status_code == 403
            pushed = browser.post(f"{site.registry.url}/v2/{REPOSITORY}/blobs/uploads/", headers=headers)
            assert pushed.status_code == 403
        assert browser.get(f"{site.registry.url}/v2/", headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_session_ends_when_it_ends_at_the_provider(site: Site) -> None:
    with site.provider.browser() as browser, site.provider.browser() as elsewhere:
        site.sign_in(browser)
        site.sign_in(elsewhere)
        # At the provider itself, as from another of its clients.
        site.provider.sign_in(browser, f"{site.provider.issuer}/session/end")

        deadline = time.monotonic() + ENDED_SECONDS_MAX
        while browser.get(f"{site.registry.url}/v2/").status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert elsewhere.get(f"{site.registry.url}/v2/").status_code == 200


def test_provider_ends_all_sessions_of_a_person(site: Site) -> None:
    claims = {"aud": CONFIDENTIAL.client_id, "sub": "0001", "jti": "1", "events": {LOGOUT_EVENT: {}}}
    with site.provider.browser() as ada, site.provider.browser() as ben, site.client() as client:
        site.sign_in(ada)
        site.sign_in(ben, "0002")
        bearers = [browser.get(f"{site.registry.url}/token").json()["token"] for browser in (ada, ben)]
        told = client.post("/auth/sso/backchannel-logout", data={"logout_token": site.provider.mint(claims)})

        assert told.status_code == 200
        assert told.headers["cache-control"] == "no-store"
        assert ada.get(f"{site.registry.url}/v2/").status_code == 401
        assert ben.get(f"{site.registry.url}/v2/").status_code == 200
        after = [client.get("/v2/", headers={"authorization": f"Bearer {one}"}).status_code for one in bearers]
        assert after == [401, 200]


def test_person_who_has_not_signed_in_for_long_has_to_do_so_again(site: Site) -> None:
    with site.provider.browser() as browser, site.client() as client:
        site.sign_in(browser)
        made = browser.post(f"{site.registry.url}/api/v1/account/tokens", json={"name": "mine"}).json()
        client.auth = (made["username"], made["secret"])
        assert client.get("/v2/").status_code == 200
        long_ago = system_clock() - 31 * 24 * 3600 * 1000
        site.write(lambda c: users.change(c, users.require(c, "sso", "ada"), refreshed_at_ms=long_ago))
        refused = client.get("/v2/")
        assert refused.status_code == 401
        assert "sign in" in refused.json()["errors"][0]["message"]
        site.sign_in(browser)
        assert client.get("/v2/").status_code == 200


def _subject(connection: Connection, subject: str) -> User:
    found = users.find_subject(connection, "sso", subject)
    assert found is not None
    return found


def test_name_that_another_subject_brings_stays_with_who_has_it(site: Site) -> None:
    with site.provider.browser() as ada, site.provider.browser() as newcomer:
        site.sign_in(ada)
        # As if the provider's second person had chosen the first one's name.
        known = site.write(lambda c: users.require(c, "sso", "ada"))
        site.write(lambda c: users.change(c, known, subject="another"))
        site.sign_in(newcomer)
        assert ada.get(f"{site.registry.url}/api/v1/account").json()["name"] == "ada"
        assert newcomer.get(f"{site.registry.url}/api/v1/account").json()["name"].startswith("ada~")
        site.write(lambda c: users.remove(c, _subject(c, "0001")))
        site.write(lambda c: users.change(c, known, subject="0001"))
    logins = [record for record in site.audit() if record["action"] == "login:oidc"]
    assert logins[-1]["detail"] == {"provider": "sso", "subject": "0001"}


def test_nobody_else_ends_sessions(site: Site) -> None:
    claims = {"aud": CONFIDENTIAL.client_id, "sub": "0001", "jti": "1", "events": {LOGOUT_EVENT: {}}}
    now = int(time.time())
    stranger = new_keys()[0].sign({**claims, "iss": site.provider.issuer, "iat": now, "exp": now + 60})
    with site.provider.browser() as browser, site.client() as client:
        site.sign_in(browser)
        for token in ("", "x", stranger, site.provider.mint({**claims, "aud": "another"})):
            told = client.post("/auth/sso/backchannel-logout", data={"logout_token": token})
            assert told.status_code == 400, told.text
            assert told.json()["error"] == "invalid_request"
        assert browser.get(f"{site.registry.url}/v2/").status_code == 200


# On a device.


def test_person_signs_in_on_a_device(site: Site) -> None:
    with site.client() as device, site.provider.browser() as browser:
        shown = device.post("/auth/sso/device").json()

        def ask() -> httpx.Response:
            return device.post("/auth/sso/device/token", data={"device_code": shown["device_code"]})

        assert (ask().status_code, ask().json()["error"]) == (400, "slow_down")
        site.provider.approve_device(browser, shown["verification_uri_complete"])
        while (answer := ask()).status_code == 400:
            assert answer.json()["error"] in {"authorization_pending", "slow_down"}
            time.sleep(0.2)

        assert answer.json()["user"] == "sso:ada"
        headers = {"cookie": f"{SESSION}={answer.json()['session']}"}
        assert device.get("/v2/", headers=headers).status_code == 200
        assert ask().json()["error"] == "expired_token"


def test_device_code_that_is_none_is_refused(site: Site) -> None:
    with site.client() as device, site.provider.browser() as browser:
        state = parse_qs(urlsplit(site.back(browser)).query)["state"][0]
        for code in ("", "x", state):
            answer = device.post("/auth/sso/device/token", data={"device_code": code})
            assert (answer.status_code, answer.json()["error"]) == (400, "expired_token")


# Workloads.


@pytest.mark.parametrize("claims", [GITHUB, GITLAB], ids=["github", "gitlab"])
@pytest.mark.parametrize("kid", ["rsa", "ec", "ed"])
def test_job_pushes_to_its_repository_only(site: Site, robot: str, claims: dict[str, str], kid: str) -> None:
    token = site.provider.mint({"aud": AUDIENCE, **claims}, kid)

    assert site.granted(robot, token) == {"pull", "push"}
    assert site.granted(robot, token, "acme/other") == set()
    issued = site.token(robot, token, f"repository:{REPOSITORY}:pull,push").json()["token"]
    with site.client() as client:
        begun = client.post(f"/v2/{REPOSITORY}/blobs/uploads/", headers={"authorization": f"Bearer {issued}"})
        assert begun.status_code == 202, begun.text

    logins = [record for record in site.audit() if record["action"] == "login:workload"]
    assert logins[-1]["actor"] == "robot:" + robot.removeprefix("robot+")
    assert logins[-1]["detail"]["subject"] == claims["sub"]


@pytest.mark.parametrize(
    "change",
    [
        {"ref": "refs/heads/feature"},
        {"ref": "refs/heads/main2"},
        {"repository": "acme/app2"},
        {"repository": "Acme/app"},
        {"repository": ["other"]},
        {"repository": None},
    ],
    ids=str,
)
def test_job_that_nobody_trusts_is_refused(site: Site, robot: str, change: dict[str, object]) -> None:
    token = site.provider.mint({"aud": AUDIENCE, **GITHUB, **change})

    assert "trust" in site.refused(robot, token)


def test_job_gets_nothing_that_outlives_its_token(site: Site, robot: str) -> None:
    """As `docker login` asks for it."""
    token = site.provider.mint({"aud": AUDIENCE, **GITHUB})
    with site.client() as client:
        asked = client.get("/token", params={"offline_token": "true"}, auth=(robot, token))
        form = {"grant_type": "password", "username": robot, "password": token, "access_type": "offline"}
        posted = client.post("/token", data=form)

    assert (asked.status_code, posted.status_code) == (200, 200)
    assert "refresh_token" not in asked.json()
    assert "refresh_token" not in posted.json()


def test_job_is_no_other_robot(site: Site, robot: str) -> None:
    token = site.provider.mint({"aud": AUDIENCE, **GITHUB})

    assert "trust" in site.refused("robot+another", token)


def test_job_is_the_one_robot_that_trusts_it(site: Site) -> None:
    claims = {"repository": f"acme/{secrets.token_hex(4)}"}
    site.write(add_robot, f"one-{secrets.token_hex(4)}", ("ci", claims))
    token = site.provider.mint({"aud": AUDIENCE, **claims})
    assert site.granted("whoever", token) == {"pull", "push"}

    site.write(add_robot, f"two-{secrets.token_hex(4)}", ("ci", claims))
    assert "several robots" in site.refused("whoever", token)


def test_job_pushes_with_skopeo(site: Site, robot: str, tmp_path: Path) -> None:
    skopeo = require_program("skopeo", package="skopeo")
    layout = unique_image().write_layout(tmp_path / "layout", tag="made")
    token = site.provider.mint({"aud": AUDIENCE, **GITHUB})
    login = [skopeo, "login", "--tls-verify=false", "--authfile", tmp_path / "auth.json", "--username", robot]
    copy = [skopeo, "copy", "--dest-tls-verify=false", "--authfile", tmp_path / "auth.json", f"oci:{layout}:made"]

    run([*login, "--password-stdin", site.registry.host], stdin=token)
    run([*copy, f"docker://{site.registry.host}/{REPOSITORY}:made"])
    run([*copy, f"docker://{site.registry.host}/acme/other:made"], succeeds=False)


def test_trust_that_is_withdrawn_ends_at_once(site: Site) -> None:
    claims = {"repository": f"acme/{secrets.token_hex(4)}"}
    robot_id = site.write(add_robot, f"former-{secrets.token_hex(4)}", ("ci", claims))
    token = site.provider.mint({"aud": AUDIENCE, **claims})
    assert site.granted("x", token) == {"pull", "push"}
    (rule,) = site.write(workloads.of_robot, robot_id)

    site.write(workloads.remove, robot_id, rule.id)
    assert site.refused("x", token)


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def test_token_that_proves_nothing_is_refused(site: Site, robot: str) -> None:
    provider, now = site.provider, int(time.time())
    claims = {"aud": AUDIENCE, **GITHUB, "iss": provider.issuer, "iat": now, "exp": now + 300}
    rsa = provider.keys[0]
    public = jwt.PyJWK(rsa.public, "RS256").key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{_part({'alg': 'HS256', 'kid': 'rsa'})}.{_part(claims)}"
    mac = base64.urlsafe_b64encode(hmac.new(public, signed.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    refused = {
        "another audience": rsa.sign({**claims, "aud": "another"}),
        "for another client": rsa.sign({**claims, "aud": CONFIDENTIAL.client_id}),
        "expired": rsa.sign({**claims, "exp": now - 600}),
        "not yet": rsa.sign({**claims, "nbf": now + 600}),
        "without an end": rsa.sign({name: value for name, value in claims.items() if name != "exp"}),
        "another issuer": rsa.sign({**claims, "iss": "https://evil.example"}),
        "stranger": new_keys()[0].sign(claims),
        "unknown key": new_keys("-unknown")[0].sign(claims),
        "other kid": rsa.sign(claims, kid="ec"),
        "none": f"{_part({'alg': 'none', 'kid': 'rsa'})}.{_part(claims)}.",
        "hmac": f"{signed}.{mac}",
        "not signed": rsa.sign(claims).rpartition(".")[0] + ".",
        "access token": rsa.sign(claims, typ="at+jwt"),
    }

    assert site.granted(robot, rsa.sign(claims)) == {"pull", "push"}, "the claims are right"
    for name, token in refused.items():
        assert site.refused(robot, token), name


def test_token_of_a_persons_login_is_no_password(site: Site, robot: str) -> None:
    """An ID token is for the browser's login, and whoever has it gets nothing for it elsewhere."""
    token = site.provider.mint({"aud": CONFIDENTIAL.client_id, "sub": "0001", "preferred_username": "ada"})

    assert "audience" in site.refused("ada", token)


def test_pod_pulls_by_its_service_account(site: Site) -> None:
    site.write(grant_group, "cluster", "system:serviceaccounts:team", "reader")
    token = site.provider.mint({"aud": [CLUSTER_AUDIENCE], **POD})

    assert site.granted("serviceaccount", token) == {"pull"}
    other = {"sub": "system:serviceaccount:other:puller"}
    assert site.granted("serviceaccount", site.provider.mint({"aud": CLUSTER_AUDIENCE, **other})) == set()
    assert site.refused("serviceaccount", site.provider.mint({"aud": CLUSTER_AUDIENCE, "sub": "repo:a/b"}))
    assert {record["actor"] for record in site.audit() if record["action"] == "login:workload"} >= {
        "cluster:team/puller"
    }


def test_service_account_that_is_removed_is_nobody_and_never_the_next_user(site: Site) -> None:
    token = site.provider.mint({"aud": CLUSTER_AUDIENCE, "sub": "system:serviceaccount:fresh:next"})
    assert site.granted("serviceaccount", token) == set()
    pod = site.write(lambda c: users.require(c, "cluster", "fresh/next"))
    site.write(lambda c: users.remove(c, pod))
    made = site.write(lambda c: users.add(c, users.LOCAL, "next-boss", administrator=True, now_ms=1))
    assert made.id > pod.id
    # Signed in anew, as somebody who has nothing; not as who was remembered under a number.
    assert site.granted("serviceaccount", token) == set()
    assert site.write(lambda c: users.require(c, "cluster", "fresh/next")).id > made.id
    site.write(lambda c: users.change(c, users.require(c, "cluster", "fresh/next"), disabled=True))
    assert "disabled" in site.refused("serviceaccount", token)


def test_nothing_secret_is_written_down(site: Site, robot: str) -> None:
    token = site.provider.mint({"aud": AUDIENCE, **GITHUB})
    site.granted(robot, token)
    with site.provider.browser() as browser:
        address = site.back(browser)
        browser.get(address)
        session = browser.cookies[SESSION]
    query = parse_qs(urlsplit(address).query)
    secret = [token, session, query["code"][0], query["state"][0], CONFIDENTIAL.secret]

    written = site.registry.log_path.read_text() + json.dumps(site.audit())
    assert [text for text in secret if text in written] == []


def test_command_line_signs_in_by_the_browser(site: Site, tmp_path: Path) -> None:
    """The command shows an address; somebody confirms there; and the command has a token of theirs."""
    environment = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "COLUMNS": "200"}
    command = [str(PROGRAM), "login", site.registry.url, "--sso", "sso"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as login:
        assert login.stdout is not None
        address = next(line for line in login.stdout if line.startswith("or open ")).split()[2]
        with site.provider.browser() as browser:
            site.provider.approve_device(browser, address)
        said = login.stdout.read()

    assert login.returncode == 0, said
    assert "signed in" in said
    whoami = run([PROGRAM, "whoami", "--json"], environment=environment)
    assert json.loads(whoami.stdout)["name"] == "ada"
