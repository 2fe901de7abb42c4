"""Passwords guessed by the hundred: who has the right one is let in meanwhile, and no answer tells who exists."""

import secrets
import sqlite3
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import httpx
import pytest

from entrepot.identity.passwords import SLOTS_OF_ONE
from tests.conftest import StartEntrepot
from tests.peers.entrepot import Entrepot

GUESSES = 90
AT_ONCE = 40
STEPS = 5
"""As many as are free; `tests/conformance/database/test_sign_in.py` has what is answered while a name has to wait."""
HERE = "198.51.100.9"
PASSWORD = secrets.token_urlsafe(18)
KINDS = ("nobody", "local", "imported", "disabled", "admin", "robot", "robot+ci", "robot+nobody")
PROXY = "[server]\ntrusted_proxies = ['127.0.0.1/32']\n"


def _make(server: Entrepot, name: str, **values: object) -> None:
    with server.client() as admin:
        user = {"password": PASSWORD, **values}
        admin.put(f"/api/v1/users/local/{name}", json=user, headers={"if-none-match": "*"}).raise_for_status()


def _ask(client: httpx.Client, name: str, password: str, address: str) -> httpx.Response:
    return client.get("/v2/", auth=(name, password), headers={"x-forwarded-for": address})


def _hashes(server: Entrepot) -> Counter[str]:
    with server.client() as client:
        lines = client.get("/metrics").text.splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith("entrepot_password_hashes_total")]
    return Counter({name: int(float(value)) for name, _, value in found})


@pytest.mark.parametrize("spread", [False, True], ids=["one address", "many addresses"])
def test_who_was_right_before_is_let_in_during_a_flood(start_entrepot: StartEntrepot, spread: bool) -> None:
    """One worker, so that all guesses are before the same hasher."""
    free = {"ENTREPOT_LOGIN_FAILURES_FREE": "100000"}
    server = start_entrepot(workers=1, config=PROXY, environment=free)
    _make(server, "alice")
    guessed: list[int] = []
    begun = threading.Event()

    def guess(number: int) -> int:
        address = f"203.0.{number}.1" if spread else "203.0.113.1"
        with server.client(anonymous=True) as client:
            if number == AT_ONCE:
                begun.set()
            status = _ask(client, secrets.token_hex(6), secrets.token_hex(6), address).status_code
        guessed.append(status)
        return status

    with server.client(anonymous=True) as client, ThreadPoolExecutor(AT_ONCE) as crowd:
        assert _ask(client, "alice", PASSWORD, HERE).status_code == 200
        # What is remembered of right passwords is gone by any change of a user.
        _make(server, "bob")
        statuses = crowd.map(guess, range(GUESSES))
        assert begun.wait(60)
        before = len(guessed)
        assert _ask(client, "alice", PASSWORD, HERE).status_code == 200
        # Those who were refused a place do not count: they are answered at once.
        checked_meanwhile = Counter(guessed[before:])[401]
        answers = Counter(statuses)

    assert set(answers) <= {401, 429}
    assert checked_meanwhile < SLOTS_OF_ONE
    if not spread:
        # One address has its share of the places, and no more.
        assert answers[429] > 0


def test_no_sequence_of_guesses_tells_what_kind_of_name_it_is_of(start_entrepot: StartEntrepot) -> None:
    server = start_entrepot(workers=1, config=PROXY)
    for name in ("local", "imported", "disabled"):
        _make(server, name)
    with server.client() as admin:
        admin.patch("/api/v1/users/local/disabled", json={"disabled": True}).raise_for_status()
        robot = {"description": "", "limits": []}
        admin.put("/api/v1/robots/ci", json=robot, headers={"if-none-match": "*"})
    with sqlite3.connect(server.data / "entrepot.db") as database:
        imported = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(6)).decode()
        database.execute("UPDATE users SET password_hash = ? WHERE name = 'imported'", (imported,))
    server.restart()
    seen: dict[str, list[tuple[object, ...]]] = {}
    work: dict[str, Counter[str]] = {}
    with server.client(anonymous=True) as client:
        for number, name in enumerate(KINDS):
            before = _hashes(server)
            answers = [_ask(client, name, secrets.token_hex(8), f"203.0.113.{number}") for _ in range(STEPS)]
            seen[name] = [_visible(answer) for answer in answers]
            work[name] = _hashes(server) - before

    assert [status for status, *_ in seen["nobody"]] == [401] * STEPS
    assert set(work["nobody"].values()) == {STEPS}
    assert len(work["nobody"]) == 2
    for name in KINDS:
        as_who = "robot+nobody" if name.startswith("robot+") else "nobody"
        assert seen[name] == seen[as_who], name
        assert work[name] == work[as_who], name


def _visible(answer: httpx.Response) -> tuple[object, ...]:
    own = {"date", "x-request-id"}
    return answer.status_code, answer.content, sorted((k, v) for k, v in answer.headers.items() if k not in own)
