"""Managing a registry from the command line, as its administrator and as others."""

import base64
import json
import secrets
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest

from tests.functional.command_line import CommandLine
from tests.functional.people import PASSWORD, People
from tests.functional.repository import Repository
from tests.functional.setups import SetUp


@pytest.fixture
def admin_shell(set_up: SetUp, tmp_path: Path) -> CommandLine:
    shell = CommandLine(set_up, tmp_path / "admin")
    shell.sign_in("admin", set_up.server.password)
    return shell


@pytest.fixture
def name() -> str:
    return f"cli-{secrets.token_hex(4)}"


def found(items: list[dict[str, Any]], **members: object) -> list[dict[str, Any]]:
    return [item for item in items if all(item[key] == value for key, value in members.items())]


def test_user_is_added_changed_kept_out_and_removed(admin_shell: CommandLine, name: str) -> None:
    admin = admin_shell
    admin.run("user", "add", name, "--display-name", "Somebody", "--password-stdin", stdin=PASSWORD)
    assert "already" in admin.refused("user", "add", name, "--password-stdin", status=6, stdin=PASSWORD)
    admin.run("user", "change", name, "--email", "somebody@example.com")

    user = admin.json("user", "show", f"local:{name}")
    assert (user["display_name"], user["email"], user["administrator"]) == ("Somebody", "somebody@example.com", False)
    assert found(admin.json("user", "list", "--search", name), name=name) == [user]

    somebody = CommandLine(admin.set_up, admin.home.parent / "somebody")
    somebody.sign_in(name, PASSWORD)
    assert len(admin.json("user", "tokens", name)) == 1
    assert "user:read" in somebody.refused("user", "list", status=4)
    admin.run("user", "disable", name)
    assert "disabled" in somebody.refused("whoami", status=3)
    admin.run("user", "enable", name)
    assert somebody.json("whoami")["name"] == name

    admin.run("user", "remove", name)
    assert name in admin.refused("user", "show", name, status=5)
    somebody.refused("whoami", status=3)


def test_password_when_reset_is_the_new_one(admin_shell: CommandLine, name: str) -> None:
    admin_shell.run("user", "add", name, "--password-stdin", stdin=PASSWORD)
    assert "characters" in admin_shell.refused("user", "reset-password", name, "--password-stdin", status=1, stdin="a")

    generated = admin_shell.run("user", "reset-password", name, "--generate").stdout.strip()

    with admin_shell.set_up.server.client(anonymous=True) as client:
        client.auth = (name, generated)
        assert client.get("/v2/").status_code == 200
        client.auth = (name, PASSWORD)
        assert client.get("/v2/").status_code == 401
    assert admin_shell.refused("user", "reset-password", f"{name}-2", "--generate", status=5)


def test_users_of_an_htpasswd_file_sign_in_with_the_passwords_they_have(
    admin_shell: CommandLine, name: str, tmp_path: Path
) -> None:
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()
    file = tmp_path / "htpasswd"
    file.write_text(f"{name}:{hashed}\n{name}-old:$apr1$deprecated$hash\n")

    done = admin_shell.run("user", "import-htpasswd", file, "--json", status=1)

    told = {entry["user"]: entry["what"] for entry in json.loads(done.stdout)}
    assert told == {name: "created", f"{name}-old": "refused"}
    CommandLine(admin_shell.set_up, tmp_path / "somebody").sign_in(name, PASSWORD)


def test_group_with_a_role_lets_its_members_in(
    admin_shell: CommandLine, name: str, set_up: SetUp, admin: httpx.Client
) -> None:
    shell = admin_shell
    repository = Repository(admin, f"{name}/app")
    pushed = repository.push_image("v1")
    shell.run("user", "add", name, "--password-stdin", stdin=PASSWORD)
    shell.run("group", "add", name, "--description", "Testers")
    shell.run("group", "add-member", name, name)
    on = ("--on", f"namespace:{name}")
    granted = shell.json("grant", "add", "reader", "--group", name, *on, "--until", "2099-01-01", "--if", "true")
    assert granted["expires_at"].startswith("2099-01-01T00:00:00")

    with set_up.server.client(anonymous=True) as client:
        client.auth = (name, PASSWORD)
        client.follow_redirects = True
        assert repository.by(client).manifest("v1").content == pushed.payload
        shell.run("group", "remove-member", name, name)
        assert set_up.soon(lambda: repository.by(client).manifest("v1").status_code != 200)
    assert [item["id"] for item in shell.json("grant", "list", "--group", name)] == [granted["id"]]
    shell.run("grant", "remove", str(granted["id"]))
    assert shell.json("grant", "list", "--group", name) == []
    shell.run("group", "remove", name)
    assert found(shell.json("group", "list"), name=name) == []


def test_grant_is_for_one_subject_in_a_place(admin_shell: CommandLine) -> None:
    assert "--user" in admin_shell.refused("grant", "add", "reader", "--on", "registry", status=1)
    assert "namespace:team" in admin_shell.refused("grant", "add", "reader", "--everyone", "--on", "team", status=1)
    both = ("--everyone", "--user", "alice")
    admin_shell.refused("grant", "add", "reader", *both, "--on", "registry", status=1)


def test_robot_is_made_in_one_step_and_pushes(admin_shell: CommandLine, name: str, set_up: SetUp) -> None:
    shell, robot = admin_shell, f"{name}/ci"
    pull_and_push = ("--permission", "repository:pull", "--permission", "repository:push")
    place = ("--place", f"namespace:{name}")
    printed = shell.run("robot", "create", robot, *place, *pull_and_push, "--print-docker-config").stdout
    (auth,) = [entry["auth"] for entry in json.loads(printed)["auths"].values()]
    assert list(json.loads(printed)["auths"]) == [set_up.server.host]
    user, _, secret = base64.b64decode(auth).decode().partition(":")
    assert user == f"robot+{robot}"

    with set_up.server.client(anonymous=True) as client:
        client.auth = (user, secret)
        client.follow_redirects = True
        Repository(client, f"{name}/app").push_image("v1")
        assert Repository(client, f"{name}/app").delete_manifest("v1").status_code in {401, 403}
    (grant,) = shell.json("grant", "list", "--user", f"robot:{robot}")
    assert (grant["role"], grant["place"]) == ("developer", {"kind": "namespace", "path": name})
    assert [repository["name"] for repository in shell.json("repository", "list", "--below", name)] == [f"{name}/app"]
    assert shell.json("repository", "tags", f"{name}/app")[0]["pushed_by"] == f"robot:{robot}"
    assert shell.json("repository", "tags", f"{name}/app", "--names") == ["v1"]
    assert shell.run("repository", "tags", f"{name}/app", "--names").stdout == "v1\n"
    assert "none" in shell.refused("repository", "tags", f"{name}/none", "--names", status=5)

    assert "already" in shell.refused("robot", "create", robot, *place, status=6)
    rotated = shell.run("robot", "rotate", robot, "--overlap", "0s").stdout.strip()
    with set_up.server.client(anonymous=True) as client:
        client.auth = (user, secret)
        assert set_up.soon(lambda: client.get("/v2/").status_code == 401)
        client.auth = (user, rotated)
        assert client.get("/v2/").status_code == 200
        shell.run("robot", "disable", robot)
        assert set_up.soon(lambda: client.get("/v2/").status_code == 401)
    assert found(shell.json("robot", "list", "--below", name), name=robot)[0]["disabled"] is True
    shell.run("robot", "enable", robot)
    (token,) = shell.json("robot", "tokens", robot)
    shell.run("robot", "revoke", robot, token["id"])
    shell.run("robot", "remove", robot)
    shell.refused("robot", "show", robot, status=5)


def test_robot_that_cannot_be_made_whole_is_not_made(admin_shell: CommandLine, name: str) -> None:
    create = ("robot", "create", f"{name}/ci", "--place", f"namespace:{name}")

    assert "no role" in admin_shell.refused(*create, "--role", "nonesuch", status=5)
    admin_shell.refused("robot", "show", f"{name}/ci", status=5)
    assert "no role has" in admin_shell.refused(*create, "--permission", "repository:paint", status=1)
    admin_shell.refused("robot", "show", f"{name}/ci", status=5)


def test_role_is_made_and_removed(admin_shell: CommandLine, name: str) -> None:
    admin_shell.run("role", "put", name, "--permission", "repository:pull", "--description", "Looks on")

    assert admin_shell.json("role", "show", name)["permissions"] == ["repository:pull"]
    assert {role["name"] for role in admin_shell.json("role", "list")} >= {name, "reader", "administrator"}
    admin_shell.run("role", "remove", name)
    admin_shell.refused("role", "show", name, status=5)
    admin_shell.refused("role", "put", name, "--permission", "repository:paint", status=1)


def test_namespace_is_set_over_the_api_or_on_the_data_directory(
    admin_shell: CommandLine, name: str, set_up: SetUp
) -> None:
    shell = admin_shell
    assert shell.run("namespace", "public", name).stdout == f"{name} is now public\n"
    assert found(shell.json("namespace", "list"), namespace=name) == [{"namespace": name, "public": True}]
    assert found(json.loads(set_up.command("namespace", "list", "--json")), namespace=name)

    assert set_up.command("namespace", "inherit", name) == f"{name} now inherits\n"
    assert set_up.soon(lambda: found(shell.json("namespace", "list"), namespace=name) == [])
    assert shell.run("namespace", "inherit", name).stdout == f"{name} had no setting of its own\n"
    both = ("--data", str(set_up.server.data), "--url", set_up.server.url)
    assert "give only one" in shell.refused("namespace", "public", name, *both, status=1)
    acts = shell.json("audit", "list", "--resource", f"namespace:{name}")
    assert [act["record"]["actor"].partition(":")[0] for act in acts] == ["operator", "local"]


def test_access_is_explained(admin_shell: CommandLine, name: str, set_up: SetUp) -> None:
    shell = admin_shell
    shell.run("user", "add", name, "--password-stdin", stdin=PASSWORD)
    shell.run("grant", "add", "reader", "--user", name, "--on", f"namespace:{name}")

    allowed = shell.json("access", "explain", name, "pull", f"repository:{name}/app")
    refused = shell.run("access", "explain", name, "push", f"repository:{name}/app", status=4).stdout

    assert allowed["allowed"] is True
    assert f"local:{name} may not repository:push on repository:{name}/app" in refused
    assert "developer" in refused


def test_audit_log_is_listed_and_exported_whole(admin_shell: CommandLine, name: str, tmp_path: Path) -> None:
    shell = admin_shell
    shell.run("role", "put", name, "--permission", "repository:pull")
    (act,) = shell.json("audit", "list", "--resource", f"role:{name}")
    assert (act["record"]["action"], act["record"]["actor"]) == ("role:put", "local:admin")
    assert len(shell.json("audit", "list", "--limit", "2")) == 2

    shell.run("audit", "export", "--output", tmp_path / "export.jsonl")
    (tmp_path / "key.pem").write_text(shell.run("audit", "public-key").stdout)

    assert "intact" in shell.run("audit", "verify", tmp_path / "export.jsonl", "--key", tmp_path / "key.pem").stdout
    assert shell.json("audit", "status")["seq"] > 0


def test_who_may_little_is_told_what_is_missing(set_up: SetUp, tmp_path: Path) -> None:
    people = People(set_up.server, set_up.config)
    try:
        person = people.person()
    finally:
        people.close()
    shell = CommandLine(set_up, tmp_path)
    shell.sign_in(person.name, PASSWORD)

    for command in (
        ("group", "list"),
        ("robot", "create", "ci", "--place", "registry"),
        ("grant", "add", "owner", "--user", person.name, "--on", "namespace:team"),
        ("audit", "list"),
        ("namespace", "public", "team"),
        ("role", "put", "mine", "--permission", "repository:pull"),
    ):
        shell.refused(*command, status=4)
