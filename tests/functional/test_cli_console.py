"""On the data directory, when nobody can be let in any more by the API, and to rotate keys, while the registry runs."""

import json
import os
import pwd
import secrets
import time
from pathlib import Path

import httpx
import jwt
import pytest

from tests.conftest import StartEntrepot
from tests.functional.command_line import CommandLine
from tests.functional.people import PASSWORD
from tests.functional.repository import Repository
from tests.functional.setups import SetUp
from tests.functional.test_token import get_token, with_token
from tests.peers.entrepot import PROGRAM
from tests.peers.process import run

POLLS_MAX = 200
POLL_SECONDS = 0.05
ANSWERS = 16
"""Enough for both workers to have given some."""


def kid_of(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


def test_password_is_reset_and_the_user_let_in_again(set_up: SetUp, tmp_path: Path) -> None:
    shell = CommandLine(set_up, tmp_path)
    shell.sign_in("admin", set_up.server.password)
    name = f"lost-{secrets.token_hex(4)}"
    shell.run("user", "add", name, "--password-stdin", stdin=PASSWORD)
    shell.run("user", "disable", name)

    # Who it was is the kernel's word: variables say what anybody likes.
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOGNAME", "somebody-else")
        printed = set_up.command("admin", "reset-password", name, "--generate", "--administrator")

    me = CommandLine(set_up, tmp_path / "me")
    me.sign_in(name, printed.strip())
    assert me.json("whoami")["administrator"] is True
    (act,) = me.json("audit", "list", "--resource", f"user:local:{name}", "--action", "password:reset")
    assert act["record"]["actor"] == f"operator:{pwd.getpwuid(os.getuid()).pw_name}"
    assert act["record"]["credential"]["kind"] == "console"
    assert printed.strip() not in json.dumps(act)


def test_password_reset_forgets_wrong_ones(start_entrepot: StartEntrepot) -> None:
    server = start_entrepot(config="[login]\nfailures_free = 1\ndelay_seconds_max = 3600\n")
    with server.client(anonymous=True) as client:
        # Until the next try has to wait for so long that a slow machine makes no difference.
        wait = 0
        while wait < 8:
            time.sleep(wait)
            client.auth = ("admin", secrets.token_hex(8))
            client.get("/v2/")
            wait = int(client.get("/v2/").headers.get("retry-after", 0))
        client.auth = ("admin", server.password)
        assert client.get("/v2/").status_code == 429

        reset = ("admin", "reset-password", "--password-stdin", "--data", str(server.data))
        run([PROGRAM, *reset], stdin=PASSWORD)

        client.auth = ("admin", PASSWORD)
        assert client.get("/v2/").status_code == 200


def test_administrator_who_is_gone_is_made_again(start_entrepot: StartEntrepot) -> None:
    server = start_entrepot()
    reset = [PROGRAM, "admin", "reset-password", "second", "--generate", "--data", server.data]

    assert "has no user second" in run(reset, succeeds=False).stderr
    password = run([*reset, "--administrator"]).stdout.strip()

    with server.client() as client:
        client.auth = ("second", password)
        assert client.get("/api/v1/account").json()["administrator"] is True


def test_password_that_is_weak_is_refused_by_the_console_too(set_up: SetUp) -> None:
    options = ["--data", str(set_up.server.data), "--config", str(set_up.config)]
    command = [PROGRAM, "admin", "reset-password", "--password-stdin", *options]

    assert "characters" in run(command, stdin="short", succeeds=False).stderr


def test_tokens_stay_good_when_the_key_is_rotated(set_up: SetUp, admin: httpx.Client, repository: Repository) -> None:
    pushed = repository.push_image("v1")
    scope = f"repository:{repository.name}:pull"
    before = get_token(admin, scope)
    kids = {kid_of(before)}

    set_up.command("keys", "rotate")

    for _ in range(POLLS_MAX):
        after = get_token(admin, scope)
        for token in (before, after):
            with with_token(set_up, token) as client:
                assert repository.by(client).manifest("v1").content == pushed.payload
        kids.add(kid_of(after))
        if len(kids) > 1 and all(kid_of(get_token(admin, scope)) == kid_of(after) for _ in range(ANSWERS)):
            break
        time.sleep(POLL_SECONDS)
    assert kid_of(after) != kid_of(before)
    listed = json.loads(set_up.command("keys", "list", "--json"))
    assert [(key["key"], key["state"]) for key in listed][-2:] == [
        (kid_of(before), "verifies"),
        (kid_of(after), "signs"),
    ]


@pytest.mark.parametrize("kid", ["made-up", "", "../../etc/passwd", "x" * 5000])
def test_token_with_a_key_id_of_the_senders_choice_is_refused(set_up: SetUp, admin: httpx.Client, kid: str) -> None:
    genuine = get_token(admin)
    claims = jwt.decode(genuine, options={"verify_signature": False})
    forged = jwt.encode(claims, secrets.token_bytes(32), "HS256", headers={"kid": kid})
    with with_token(set_up, forged) as client:
        assert all(client.get("/v2/").status_code == 401 for _ in range(ANSWERS))
    with with_token(set_up, genuine) as client:
        assert all(client.get("/v2/").status_code == 200 for _ in range(ANSWERS))


def test_keys_when_revoked_take_their_tokens_along(start_entrepot: StartEntrepot) -> None:
    server = start_entrepot()
    with server.client() as admin:
        token = get_token(admin)
        run([PROGRAM, "keys", "rotate", "--revoke", "--data", server.data])

        admin.auth = None
        for _ in range(POLLS_MAX):
            bearer = {"authorization": f"Bearer {token}"}
            if all(admin.get("/v2/", headers=bearer).status_code == 401 for _ in range(ANSWERS)):
                break
            time.sleep(POLL_SECONDS)
        else:
            pytest.fail("a token of a key that was removed is still good")
    assert len(list((server.data / "keys").glob("token*.pem"))) == 1
