"""The whole story, with real directories and clients: who pushes, who pulls, who is refused, and who finds out.

A developer of Active Directory, through a nested group; a tester of OpenLDAP; a job with a token of its issuer; and an
auditor, who finds each of their acts under one name and sees whether the export was changed.
"""

import gzip
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.clients.images import layer
from tests.peers.active_directory import ActiveDirectory
from tests.peers.docker import DockerEngine
from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.oidc_provider import OIDCProvider
from tests.peers.openldap import OpenLDAP
from tests.peers.process import run

DORA, TESS, AUDRA = "dora", "tess", "audra"
PASSWORD = "Pass-word-of-19-cats"
AUDRAS_PASSWORD = "an auditor is not amused"
AUDIENCE = "entrepot"
JOB = {"sub": "repo:shop/web:ref:refs/heads/main", "repository": "shop/web", "ref": "refs/heads/main"}


@dataclass(frozen=True)
class Company:
    server: Entrepot
    issuer: OIDCProvider
    admin: httpx.Client


@pytest.fixture(scope="module")
def company(
    tmp_path_factory: pytest.TempPathFactory, active_directory: ActiveDirectory, openldap: OpenLDAP
) -> Iterator[Company]:
    suffix = secrets.token_hex(3)
    dora = active_directory.add_user(f"{DORA}-{suffix}", PASSWORD)
    team = active_directory.add_group(f"web-{suffix}", [dora])
    active_directory.add_group(f"backend-{suffix}", [team])
    tess = openldap.add_user(f"{TESS}-{suffix}", PASSWORD)
    openldap.add_group(f"testers-{suffix}", [tess])
    with OIDCProvider(tmp_path_factory.mktemp("issuer")) as issuer:
        config = _settings(active_directory, openldap, issuer)
        with (
            Entrepot(tmp_path_factory.mktemp("company"), config=config) as server,
            server.client() as admin,
        ):
            admin.headers["x-suffix"] = suffix
            _set_up(admin, suffix)
            yield Company(server, issuer, admin)
        server.remove_data()


def test_everybody_does_what_they_may_and_the_auditor_sees_it(
    company: Company, docker_engine: DockerEngine, busybox: Path, tmp_path: Path
) -> None:
    server, suffix = company.server, company.admin.headers["x-suffix"]
    dora, tess = f"{DORA}-{suffix}", f"{TESS}-{suffix}"
    image = f"{server.host}/shop/web:v1"
    docker = Docker(docker_engine, server)

    # The developer, a member of a group in a group, pushes.
    docker.login(tmp_path / "dora", dora, PASSWORD)
    files = tmp_path / "files.tar"
    files.write_bytes(gzip.decompress(layer({"bin/busybox": busybox.read_bytes()})))
    docker_engine.run("import", files, image, config=tmp_path / "dora")
    docker_engine.run("push", image, config=tmp_path / "dora")

    # The tester pulls, and is told which role a push would need.
    docker.login(tmp_path / "tess", tess, PASSWORD)
    docker_engine.run("pull", image, config=tmp_path / "tess")
    docker_engine.run("tag", image, f"{server.host}/shop/web:v2", config=tmp_path / "tess")
    refused = docker_engine.run("push", f"{server.host}/shop/web:v2", config=tmp_path / "tess", succeeds=False)
    assert refused.returncode != 0
    assert "developer" in refused.stderr
    assert "reader" in refused.stderr

    # The job pushes to its one repository, and to no other.
    now = int(time.time())
    claims = {**JOB, "iss": company.issuer.issuer, "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 600}
    docker.login(tmp_path / "job", "ci", company.issuer.mint(claims))
    docker_engine.run("tag", image, f"{server.host}/shop/web:job", config=tmp_path / "job")
    docker_engine.run("push", f"{server.host}/shop/web:job", config=tmp_path / "job")
    docker_engine.run("tag", image, f"{server.host}/shop/api:job", config=tmp_path / "job")
    elsewhere = docker_engine.run("push", f"{server.host}/shop/api:job", config=tmp_path / "job", succeeds=False)
    assert elsewhere.returncode != 0
    other_branch = company.issuer.mint({**claims, "ref": "refs/heads/attack"})
    docker.login(tmp_path / "attack", "ci", other_branch, succeeds=False)

    # The auditor finds each of them under one name, and nobody else does.
    with server.client(anonymous=True) as auditor:
        auditor.auth = httpx.BasicAuth(AUDRA, AUDRAS_PASSWORD)
        assert _acts(auditor, f"ad:{dora}", "manifest:push") == ["repository:shop/web"]
        assert "repository:shop/web" in _acts(auditor, f"ldap:{tess}", "manifest:pull")
        assert _acts(auditor, f"ldap:{tess}", "repository:push", "refused")
        assert _acts(auditor, "robot:shop/ci", "manifest:push") == ["repository:shop/web"]
        assert auditor.get("/v2/shop/web/tags/list").status_code == 403
        exported = auditor.get("/api/v1/audit/export")
        key = auditor.get("/api/v1/audit/public-key")
    assert (exported.status_code, key.status_code) == (200, 200)

    # What was exported verifies without the registry; one changed byte is found.
    file, key_file = tmp_path / "audit.jsonl", tmp_path / "audit.pem"
    file.write_bytes(exported.content)
    key_file.write_bytes(key.content)
    run([PROGRAM, "audit", "verify", file, "--key", key_file])
    changed = exported.content.replace(dora.encode(), dora.upper().encode(), 1)
    assert changed != exported.content
    file.write_bytes(changed)
    found = run([PROGRAM, "audit", "verify", file, "--key", key_file], succeeds=False)
    assert found.returncode != 0


@dataclass(frozen=True)
class Docker:
    engine: DockerEngine
    server: Entrepot

    def login(self, config: Path, name: str, password: str, *, succeeds: bool = True) -> None:
        words = ("login", "--username", name, "--password-stdin", self.server.host)
        ended = self.engine.run(*words, config=config, stdin=password, succeeds=succeeds)
        assert (ended.returncode == 0) is succeeds


def _settings(active_directory: ActiveDirectory, openldap: OpenLDAP, issuer: OIDCProvider) -> str:
    return f"""
[[providers]]
type = "ldap"
name = "ad"
directory = "active-directory"
urls = [{json.dumps(active_directory.tls_url)}]
ca_file = "{active_directory.ca_file}"
bind_dn = {json.dumps(active_directory.bind_dn)}
bind_password = {json.dumps(active_directory.bind_password)}
user_base = {json.dumps(active_directory.base)}
group_base = {json.dumps(active_directory.group_base)}

[[providers]]
type = "ldap"
name = "ldap"
urls = [{json.dumps(openldap.url)}]
ca_file = "{openldap.ca_file}"
bind_dn = {json.dumps(openldap.bind_dn)}
bind_password = {json.dumps(openldap.bind_password)}
user_base = {json.dumps(openldap.user_base)}
group_base = {json.dumps(openldap.group_base)}

[[providers]]
type = "oidc"
name = "ci"
issuer = {json.dumps(issuer.issuer)}
"""


def _set_up(admin: httpx.Client, suffix: str) -> None:
    """What an administrator does once."""

    def done(answer: httpx.Response) -> None:
        assert answer.status_code in {200, 201}, answer.text

    shop = {"kind": "namespace", "path": "shop"}
    one = {"kind": "repository", "path": "shop/web"}
    grants = [
        ("developer", {"group": f"ad:backend-{suffix}"}, shop),
        ("reader", {"group": f"ldap:testers-{suffix}"}, shop),
        ("developer", {"user": "robot:shop/ci"}, one),
        ("auditor", {"user": f"local:{AUDRA}"}, {"kind": "registry", "path": ""}),
    ]
    done(admin.put(f"/api/v1/users/local/{AUDRA}", json={"password": AUDRAS_PASSWORD}))
    done(admin.put("/api/v1/robots/shop/ci", json={"description": "pushes what main builds"}))
    rule = {"provider": "ci", "audience": AUDIENCE, "claims": {"repository": "shop/web", "ref": "refs/heads/main"}}
    done(admin.post("/api/v1/robots/shop/ci/trust-rules", json=rule))
    for role, subject, place in grants:
        done(admin.post("/api/v1/grants", json={"role": role, "subject": subject, "place": place}))


def _acts(auditor: httpx.Client, actor: str, action: str, outcome: str = "done") -> list[str]:
    """The resources that somebody did this to, as the audit log has it."""
    for _ in range(20):
        answer = auditor.get("/api/v1/audit", params={"actor": actor, "action": action, "outcome": outcome})
        assert answer.status_code == 200, answer.text
        if answer.json()["items"]:
            break
        time.sleep(0.2)
    return sorted({item["record"]["resource"] for item in answer.json()["items"]})
