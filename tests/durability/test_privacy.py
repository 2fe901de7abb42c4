"""What is kept on the machine is its owner's alone, and what is printed has no secret in it."""

import json
import os
import stat
from pathlib import Path

from tests.durability.conftest import MakeEntrepot
from tests.peers.entrepot import PROGRAM
from tests.peers.process import run

SECRET = "s3cret-that-nobody-sees"


def _open_to_others(directory: Path) -> list[str]:
    """What other users of the machine could look into: nothing, if the directory itself is closed."""
    if not stat.S_IMODE(directory.stat().st_mode) & 0o007:
        return []
    return [str(path) for path in directory.rglob("*") if path.stat().st_mode & 0o007]


def test_fresh_data_is_its_owners_alone(make_entrepot: MakeEntrepot) -> None:
    before = os.umask(0o022)
    try:
        registry = make_entrepot()
        registry.start()
    finally:
        os.umask(before)
    with registry.client() as client:
        assert client.get("/v2/").status_code == 200
    files = [path for path in registry.data.rglob("*") if path.is_file()]
    assert {"entrepot.db", "registry.json"} <= {path.name for path in files}
    assert [str(path) for path in files if path.stat().st_mode & 0o077] == []
    assert stat.S_IMODE(registry.data.stat().st_mode) == 0o700
    registry.stop()


def test_data_that_others_could_read_is_closed_to_them_with_a_message(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot()
    registry.data.mkdir(parents=True, exist_ok=True)
    registry.data.chmod(0o755)
    registry.start()
    assert stat.S_IMODE(registry.data.stat().st_mode) == 0o700
    assert _open_to_others(registry.data) == []
    assert "could read" in registry.log_path.read_text()
    registry.stop()


def test_settings_are_shown_without_any_secret(tmp_path: Path) -> None:
    config = tmp_path / "entrepot.toml"
    config.write_text(f"""
        [database]
        url = "postgresql://entrepot:{SECRET}@db.example/entrepot?sslpassword={SECRET}"
        [storage]
        url = "s3://bucket/prefix"
        [storage.options]
        region = "eu-west-1"
        endpoint = "https://user:{SECRET}@s3.example?sig={SECRET}"
        access_key_id = "{SECRET}"
        sas = "{SECRET}"
        unheard_of = "{SECRET}"
        [[providers]]
        name = "sso"
        type = "oidc"
        issuer = "https://user:{SECRET}@sso.example/?x={SECRET}"
        client_id = "registry"
        client_secret = "{SECRET}"
    """)
    printed = run([PROGRAM, "config", "show", "--config", config, "--data", tmp_path / "data"]).stdout
    assert SECRET not in printed
    shown = json.loads(printed)
    assert shown["storage"]["options"]["region"] == "eu-west-1"
    assert shown["database"]["url"] == "postgresql://entrepot:***@db.example/entrepot?***"
    assert shown["storage"]["options"]["endpoint"] == "https://user:***@s3.example?***"


def test_check_of_settings_tells_all_that_is_wrong_at_once(tmp_path: Path) -> None:
    def check(config: str) -> str:
        file = tmp_path / "entrepot.toml"
        file.write_text(config)
        result = run([PROGRAM, "config", "check", "--config", file, "--data", tmp_path / "data"], succeeds=False)
        return result.stdout + result.stderr

    printed = check(
        '[server]\nlisten = "127.0.0.1"\ntls_cert = "/nowhere/a.pem"\ntls_key = "/nowhere/b.pem"\n'
        '[storage]\nurl = "s4://x"\n[database]\nurl = "mysql://x/y"\n'
    )
    for expected in ("server.listen", "/nowhere/a.pem", "'s4'", "database.url"):
        assert expected in printed, printed
    misspelt = '[storage]\nurl = "s3://bucket"\n[storage.options]\nregoin = "eu"\n'
    assert "regoin" in check(misspelt)


def test_password_that_breaks_the_rules_makes_no_administrator(tmp_path: Path) -> None:
    command = [PROGRAM, "serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:1"]
    result = run(command, succeeds=False, environment={"ENTREPOT_ADMIN_PASSWORD": "short"})
    assert "password" in result.stderr


def test_operator_is_whose_process_it_is(make_entrepot: MakeEntrepot) -> None:
    environment = {"LOGNAME": "somebody-else", "USER": "somebody-else"}
    registry = make_entrepot("registry")
    registry.start()
    data = ["--data", registry.data]
    run([PROGRAM, "admin", "reset-password", "--administrator", "--generate", *data], environment=environment)
    exported = run([PROGRAM, "audit", "export", *data], environment=environment).stdout
    assert "somebody-else" not in exported
