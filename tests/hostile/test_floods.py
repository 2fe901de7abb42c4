"""Credentials that are made up, by the thousand: the log counts them, and who has the right ones gets in meanwhile."""

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from entrepot.audit.pulls import FLOOD_SECONDS
from entrepot.identity.tokens import PREFIX
from tests.conftest import StartEntrepot
from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.process import run

FREE = 20
TRIES = 150
WAIT_SECONDS_MAX = FLOOD_SECONDS + 30
WORKERS = 2
PASSWORD = secrets.token_urlsafe(18)
Attempt = Callable[[httpx.Client], httpx.Response]


def _token(client: httpx.Client) -> httpx.Response:
    text = f"{PREFIX}{secrets.token_hex(40)}"
    return client.get("/v2/", auth=(secrets.token_hex(6), text))


def _forged_bearer(client: httpx.Client) -> httpx.Response:
    claims = {"sub": "admin", "provider": "local", "jti": secrets.token_hex(8)}
    text = jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": secrets.token_hex(4)})
    return client.get("/v2/", headers={"authorization": f"Bearer {text}"})


def _assertion(client: httpx.Client) -> httpx.Response:
    claims = {"iss": f"https://{secrets.token_hex(6)}.example", "sub": "ci", "aud": "entrepot"}
    return client.get("/v2/", auth=("robot+ci", jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA")))


def _session(client: httpx.Client) -> httpx.Response:
    return client.get("/v2/", headers={"cookie": f"entrepot_session={secrets.token_urlsafe(32)}"})


ATTEMPTS: dict[str, Attempt] = {
    "login:token": _token,
    "login:bearer": _forged_bearer,
    "login:workload": _assertion,
    "login:session": _session,
}


@pytest.fixture
def server(start_entrepot: StartEntrepot) -> Entrepot:
    return start_entrepot(workers=WORKERS, environment={"ENTREPOT_LOGIN_ADDRESS_FAILURES_FREE": str(FREE)})


def _records(server: Entrepot, action: str) -> list[dict[str, object]]:
    return [record for record in _all(server) if record["action"] == action]


def _all(server: Entrepot) -> list[dict[str, object]]:
    lines = run([PROGRAM, "audit", "export", "--data", server.data]).stdout.splitlines()
    return [line["record"] for line in map(json.loads, lines) if line["type"] == "record"]


def _wait_until_counted(server: Entrepot) -> list[dict[str, object]]:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        records = [record for record in _all(server) if record["action"] in ATTEMPTS]
        counts: Counter[str] = Counter()
        for record in records:
            counts[str(record["action"])] += int(str(record.get("count", 1)))
        if counts == dict.fromkeys(ATTEMPTS, TRIES):
            return records
        assert time.monotonic() < deadline, counts
        time.sleep(1)


def test_made_up_credentials_are_few_records_and_disturb_nobody(server: Entrepot) -> None:
    with server.client(anonymous=True) as stranger, server.client() as admin:
        for action, attempt in ATTEMPTS.items():
            answers = Counter(attempt(stranger).status_code for _ in range(TRIES))
            if action == "login:session":
                # A browser whose session is over has only to sign in again.
                assert answers == {401: TRIES}
            else:
                assert set(answers) <= {401, 429}
                assert answers[429] > answers[401]
            assert admin.get("/v2/").status_code == 200
    records = _wait_until_counted(server)

    assert all(record["outcome"] == "failed" and record["actor"] == "anonymous" for record in records)
    assert {record["address"] for record in records} == {"127.0.0.1"}
    assert len(records) < TRIES


def test_refusals_to_one_user_are_counted(server: Entrepot) -> None:
    with server.client() as admin:
        made = admin.put("/api/v1/users/local/tester", json={"password": PASSWORD}, headers={"if-none-match": "*"})
        made.raise_for_status()
    with server.client(anonymous=True) as tester:
        tester.auth = ("tester", PASSWORD)
        for number in range(TRIES):
            assert tester.get(f"/v2/other/app{number}/tags/list").status_code == 403
    records = [record for record in _all(server) if record["outcome"] == "refused"]
    assert {record["actor"] for record in records} == {"local:tester"}
    assert FREE <= len(records) < TRIES / 2


def test_reading_the_log_is_in_the_log(server: Entrepot) -> None:
    with server.client() as admin:
        for _ in range(3):
            admin.get("/api/v1/audit", params={"actor": "local:nobody"}).raise_for_status()
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not (found := _records(server, "audit:read")):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert found[0]["actor"] == "local:admin"
    assert found[0]["detail"] == {"filter": {"actor": "local:nobody"}}
