"""Signing in at the command line: a token for this machine is kept, the password is not."""

import json
from pathlib import Path
from stat import S_IMODE

import pytest

from tests.functional.command_line import CommandLine
from tests.functional.setups import SetUp
from tests.peers.process import free_port


@pytest.fixture
def shell(set_up: SetUp, tmp_path: Path) -> CommandLine:
    return CommandLine(set_up, tmp_path)


@pytest.fixture
def signed_in(shell: CommandLine) -> CommandLine:
    shell.sign_in("admin", shell.set_up.server.password)
    return shell


def kept(shell: CommandLine) -> dict[str, str]:
    login: dict[str, str] = json.loads(shell.credentials.read_text())["registries"][shell.set_up.server.url]
    return login


def test_sign_in_keeps_a_token_and_no_password(signed_in: CommandLine) -> None:
    text = signed_in.credentials.read_text()
    assert signed_in.set_up.server.password not in text
    assert kept(signed_in)["token"].startswith("entrepot_pat_")
    assert S_IMODE(signed_in.credentials.stat().st_mode) == 0o600

    me = signed_in.json("whoami")
    assert (me["provider"], me["name"], me["registry"]) == ("local", "admin", signed_in.set_up.server.url)
    assert me["credential"]["kind"] == "token"
    (token,) = [token for token in signed_in.json("token", "list") if token["id"] == kept(signed_in)["token_id"]]
    assert token["name"].startswith("entrepot login on ")
    assert token["expires_at"] is not None


def test_sign_out_revokes_the_token(signed_in: CommandLine) -> None:
    token = kept(signed_in)["token"]

    signed_in.run("logout")

    assert json.loads(signed_in.credentials.read_text()) == {"current": None, "registries": {}}
    assert "not signed in" in signed_in.refused("whoami", status=3)
    with signed_in.set_up.server.client(anonymous=True) as client:
        client.headers["authorization"] = f"Bearer {token}"
        assert signed_in.set_up.soon(lambda: client.get("/api/v1/account").status_code == 401)
    signed_in.refused("logout", status=3)


def test_wrong_password_signs_nobody_in(shell: CommandLine) -> None:
    url = shell.set_up.server.url
    login = ("login", url, "--username", "nobody", "--password-stdin")

    said = shell.refused(*login, status=3, stdin="wrong")

    assert "wrong" in said
    assert not shell.credentials.exists()


def test_token_that_was_brought_along_is_kept_and_stays_good(signed_in: CommandLine, tmp_path: Path) -> None:
    url = signed_in.set_up.server.url
    token = signed_in.run("token", "create", "for a job", "--expires", "1h").stdout
    job = CommandLine(signed_in.set_up, tmp_path / "job")

    job.run("login", url, "--token-stdin", stdin=token)
    assert job.json("whoami")["name"] == "admin"
    job.run("logout")

    assert job.json("whoami", ENTREPOT_URL=url, ENTREPOT_TOKEN=token.strip())["name"] == "admin"
    assert "login URL" in job.refused("whoami", status=3)


def test_token_that_is_none_is_refused(shell: CommandLine) -> None:
    assert "token" in shell.refused("login", shell.set_up.server.url, "--token-stdin", status=3, stdin="nonsense\n")
    said = shell.refused("whoami", status=3, ENTREPOT_URL=shell.set_up.server.url, ENTREPOT_TOKEN="entrepot_pat_x")
    assert "entrepot login" in said


def test_nobody_at_the_address_is_told(shell: CommandLine) -> None:
    login = ("login", f"127.0.0.1:{free_port()}", "--username", "admin", "--password-stdin")

    assert "cannot reach" in shell.refused(*login, status=7, stdin="password")


def test_password_is_not_sent_unencrypted_to_another_machine(shell: CommandLine) -> None:
    login = ("login", "http://registry.invalid", "--username", "admin", "--password-stdin")

    assert "--plain-http" in shell.refused(*login, status=1, stdin="password")


def test_password_where_nobody_can_be_asked_is_an_option(shell: CommandLine) -> None:
    assert "--password-stdin" in shell.refused("login", shell.set_up.server.url, "--username", "admin", status=1)


def test_registry_of_several_is_chosen(signed_in: CommandLine) -> None:
    url = signed_in.set_up.server.url
    assert signed_in.json("use") == [{"registry": url, "user": "local:admin", "current": True}]

    assert "not signed in" in signed_in.refused("use", "https://registry.invalid", status=3)
    signed_in.run("use", url)


def test_tokens_are_made_rotated_and_revoked(signed_in: CommandLine) -> None:
    limits = ("--permission", "repository:pull", "--on", "namespace:team")
    made = signed_in.json("token", "create", "ci", "--expires", "30d", *limits)
    token_id = made["token"]["id"]
    assert made["token"]["limits"] == [{"permissions": ["repository:pull"], "kind": "namespace", "path": "team"}]

    assert "token can only rotate itself" in signed_in.refused("token", "rotate", token_id, status=4)
    signed_in.run("token", "revoke", token_id)

    assert token_id not in {token["id"] for token in signed_in.json("token", "list")}
    assert "no token" in signed_in.refused("token", "revoke", token_id, status=5)


def test_completion_of_a_shell_is_printed(shell: CommandLine) -> None:
    script = shell.run("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").stdout
    offered = shell.run(_ENTREPOT_COMPLETE="complete_bash", COMP_WORDS="entrepot us", COMP_CWORD="1").stdout

    assert "_ENTREPOT_COMPLETE=complete_bash" in script
    assert offered.split() == ["use", "user"]
