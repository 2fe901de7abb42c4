"""Scripts that ask as fast as they can: they are refused in time, and everybody else is served."""

import json
import secrets
import time
from collections.abc import Mapping

import httpx
import pytest

from entrepot.audit.pulls import FLOOD_SECONDS
from tests.conftest import StartEntrepot
from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.process import run

BURST = 30
TRIES_MAX = 400
"""Many more than a limited client needs to meet the limit, however slow the machine."""
WAIT_SECONDS_MAX = FLOOD_SECONDS + 30
PASSWORD = secrets.token_urlsafe(18)
PROXY = "[server]\ntrusted_proxies = ['127.0.0.1/32']\n"
LIMITS = {
    "ENTREPOT_LIMITS_REQUESTS_PER_USER_PER_SECOND": "1",
    "ENTREPOT_LIMITS_REQUESTS_PER_USER_BURST": str(BURST),
    "ENTREPOT_LIMITS_REQUESTS_PER_ADDRESS_PER_SECOND": "1",
    "ENTREPOT_LIMITS_REQUESTS_PER_ADDRESS_BURST": str(BURST),
    "ENTREPOT_LIMITS_EXEMPT_USERS": "local:admin, robot:none",
    "ENTREPOT_LIMITS_EXEMPT_NETWORKS": "198.51.100.0/24,2001:db8::/32",
}


@pytest.fixture
def server(start_entrepot: StartEntrepot) -> Entrepot:
    """One worker: each counts by itself."""
    made = start_entrepot(workers=1, config=PROXY, environment=LIMITS)
    with made.client() as admin:
        for name in ("mallory", "alice"):
            user = {"password": PASSWORD}
            admin.put(f"/api/v1/users/local/{name}", json=user, headers={"if-none-match": "*"}).raise_for_status()
    return made


def _as(name: str, address: str = "203.0.113.1") -> dict[str, object]:
    return {"auth": (name, PASSWORD), "headers": {"x-forwarded-for": address}}


def _nobody(address: str = "203.0.113.1", **headers: str) -> dict[str, object]:
    return {"headers": {"x-forwarded-for": address, **headers}}


def _flood(client: httpx.Client, path: str, options: Mapping[str, object]) -> tuple[int, httpx.Response]:
    """Ask until it is refused; how many were answered, and the refusal."""
    for number in range(TRIES_MAX):
        answer: httpx.Response = client.get(path, **options)  # type: ignore[arg-type]
        if answer.status_code == 429:
            return number, answer
    raise AssertionError(f"{path} was answered {TRIES_MAX} times")


def _until_braked(client: httpx.Client, path: str, options: Mapping[str, object]) -> httpx.Response:
    answered, refusal = _flood(client, path, options)
    assert answered >= BURST
    return refusal


def _is_braked(client: httpx.Client, path: str, options: Mapping[str, object]) -> bool:
    """Whether there is no burst left, but for what has come back since: one each second."""
    return _flood(client, path, options)[0] < BURST / 2


def _status(client: httpx.Client, path: str, options: Mapping[str, object]) -> int:
    answer: httpx.Response = client.get(path, **options)  # type: ignore[arg-type]
    return answer.status_code


def test_user_who_floods_is_braked_and_others_at_the_address_are_served(server: Entrepot) -> None:
    with server.client(anonymous=True) as client:
        braked = _until_braked(client, "/v2/", _as("mallory"))

        assert braked.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
        wait = int(braked.headers["retry-after"])
        assert wait >= 1
        assert _status(client, "/v2/", _as("alice")) == 200
        assert _status(client, "/v2/", _nobody()) == 401
        # Nor from elsewhere, or by a token: it is the user who is limited.
        assert _is_braked(client, "/v2/", _as("mallory", "203.0.113.2"))
        time.sleep(wait)
        assert _status(client, "/v2/", _as("mallory")) == 200


def test_api_says_so_in_its_own_way(server: Entrepot) -> None:
    with server.client(anonymous=True) as client:
        braked = _until_braked(client, "/api/v1/account", _as("mallory"))

        assert braked.headers["content-type"] == "application/problem+json"
        assert braked.json()["status"] == 429
        assert braked.json()["context"]["retry_after_seconds"] == int(braked.headers["retry-after"])
        assert _status(client, "/api/v1/account", _as("alice")) == 200


def test_token_of_a_user_counts_for_the_user(server: Entrepot) -> None:
    with server.client(anonymous=True) as client:
        token = client.get("/token", params={"service": "x"}, **_as("mallory")).json()["token"]  # type: ignore[arg-type]
        _flood(client, "/v2/", _nobody(authorization=f"Bearer {token}"))
        assert _is_braked(client, "/v2/", _as("mallory"))
        assert _status(client, "/v2/", _as("alice")) == 200


def test_token_for_many_repositories_counts_as_several_requests(server: Entrepot) -> None:
    """Of names that nobody knows, each is looked up in the database."""
    scopes = "&".join(f"scope=repository:of-many/{number}:pull" for number in range(1000))
    for options in (_as("mallory"), _nobody()):
        with server.client(anonymous=True) as client:
            answered, _ = _flood(client, f"/token?{scopes}", options)
            assert 1 <= answered < BURST / 2
            assert _status(client, "/v2/", _as("alice")) == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v2/", {}),
        ("/v2/library/app/manifests/latest", {}),
        ("/there/is/no/such/path", {}),
        ("/api/v1/users", {}),
        ("/v2/", {"authorization": "Bearer made-up"}),
        ("/v2/", {"authorization": "Basic !"}),
        ("/v2/", {"authorization": ""}),
        ("/v2/", {"cookie": "entrepot_session=made-up"}),
        ("/v2/", {"client-cert": ":AAAA:"}),
    ],
    ids=str,
)
def test_address_that_floods_is_braked_and_users_there_go_on(
    server: Entrepot, path: str, headers: dict[str, str]
) -> None:
    with server.client(anonymous=True) as client:
        braked = _until_braked(client, path, _nobody(**headers))

        assert _is_braked(client, path, _nobody(**headers))
        assert _status(client, "/v2/", _as("alice")) == 200
        assert _status(client, path, _nobody("203.0.113.9", **headers)) != 429
        # Balancers hear the truth.
        assert _status(client, "/healthz", _nobody()) == _status(client, "/readyz", _nobody()) == 200
        time.sleep(int(braked.headers["retry-after"]))
        assert _status(client, path, _nobody(**headers)) != 429


def test_addresses_of_one_ipv6_network_are_one(server: Entrepot) -> None:
    with server.client(anonymous=True) as client:
        _until_braked(client, "/v2/", _nobody("2001:db9::1"))
        assert _is_braked(client, "/v2/", _nobody("2001:db9::ffff:1"))


def test_who_is_exempt_is_never_braked(server: Entrepot) -> None:
    with server.client() as admin, server.client(anonymous=True) as client:
        for number in range(BURST * 3):
            assert admin.get("/v2/").status_code == 200
            assert _status(client, "/v2/", _nobody(f"198.51.100.{number % 2}")) == 401
            assert _status(client, "/v2/", _as("alice", "2001:db8::7")) == 200
            assert _status(client, "/readyz", _nobody("203.0.113.1")) == 200


def test_flood_is_counted_and_recorded_once(server: Entrepot) -> None:
    with server.client(anonymous=True) as client:
        _until_braked(client, "/v2/", _as("mallory"))
        _until_braked(client, "/v2/", _nobody())
        refused = {"local:mallory": 1, "anonymous": 1}
        for _ in range(5):
            refused["anonymous"] += _status(client, "/v2/", _nobody()) == 429
    with server.client() as admin:
        metrics = admin.get("/metrics").text
    assert 'entrepot_requests_braked_total{of="user"} 1.0' in metrics
    assert f'entrepot_requests_braked_total{{of="address"}} {refused["anonymous"]}.0' in metrics

    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        lines = run([PROGRAM, "audit", "export", "--data", server.data]).stdout.splitlines()
        exported = [line["record"] for line in map(json.loads, lines) if line["type"] == "record"]
        records = [record for record in exported if record["action"] == "request:limit"]
        if {record["actor"]: record.get("count", 1) for record in records} == refused:
            break
        assert time.monotonic() < deadline, records
        time.sleep(1)
    assert all(record["outcome"] == "refused" and record["address"] == "203.0.113.1" for record in records)
