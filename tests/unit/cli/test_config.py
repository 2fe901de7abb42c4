"""`entrepot config …`, as an operator calls it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from entrepot.cli.config import HIDDEN
from entrepot.cli.main import app
from entrepot.errors import Invalid
from entrepot.settings import Settings
from tests.peers.entrepot import PROGRAM
from tests.peers.process import run

SECRET = "s3cr3t-value"


def _printed(*arguments: str, **variables: str) -> str:
    result = CliRunner().invoke(app, ["config", *arguments], env=variables, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_check_of_valid_settings_says_so() -> None:
    assert _printed("check") == "the settings are valid\n"


def test_check_of_settings_with_errors_says_all_of_them_in_one_message(tmp_path: Path) -> None:
    file = tmp_path / "entrepot.toml"
    file.write_text('[server]\nworkers = -1\n[log]\nlevel = "loud"\n')

    refused = run([PROGRAM, "config", "check", "--config", file], environment={"ENTREPOT_TYPO": "1"}, succeeds=False)

    assert refused.stdout == ""
    assert refused.stderr.startswith("entrepot: the settings are not valid")
    assert "Traceback" not in refused.stderr
    for name in ("server.workers", "log.level", "ENTREPOT_TYPO"):
        assert name in refused.stderr


def test_check_says_of_every_provider_what_can_never_work(tmp_path: Path) -> None:
    file = tmp_path / "entrepot.toml"
    file.write_text(
        f"""
        [[providers]]
        name = "corp"
        type = "ldap"
        urls = ["ldaps://ldap.example"]
        user_bind = "uid={{name}},dc=example,dc=test"
        user_base = "dc=example,dc=test"
        user_filter = "(uid=alice)"

        [[providers]]
        name = "mtls"
        type = "certificate"
        ca_file = "{tmp_path}/nowhere.pem"
        """
    )

    refused = run([PROGRAM, "config", "check", "--config", file], succeeds=False)

    assert "provider corp: user_filter must contain {name}" in refused.stderr
    assert "nowhere.pem" in refused.stderr


def test_show_without_anything_prints_the_defaults() -> None:
    assert Settings.model_validate_json(_printed("show")) == Settings()


def test_show_with_a_file_and_an_option_prints_what_is_in_force(tmp_path: Path) -> None:
    file = tmp_path / "entrepot.toml"
    file.write_text('data = "/from/file"\n[server]\nworkers = 3\n')

    shown = json.loads(_printed("show", "--config", str(file), "--data", "/from/option"))

    assert shown["data"] == "/from/option"
    assert shown["server"]["workers"] == 3


def test_show_with_the_file_in_a_variable_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "entrepot.toml"
    file.write_text("[server]\nworkers = 3\n")

    assert json.loads(_printed("show", ENTREPOT_CONFIG=str(file)))["server"]["workers"] == 3


def test_show_of_a_database_hides_its_password() -> None:
    printed = _printed("show", ENTREPOT_DATABASE_URL=f"postgresql://user:{SECRET}@db.example/entrepot")

    assert SECRET not in printed
    assert json.loads(printed)["database"]["url"] == "postgresql://user:***@db.example/entrepot"


def test_show_of_a_database_in_a_file_keeps_its_path() -> None:
    shown = json.loads(_printed("show", ENTREPOT_DATABASE_URL="sqlite:////var/lib/entrepot.db"))

    assert shown["database"]["url"] == "sqlite:////var/lib/entrepot.db"


@pytest.mark.parametrize(
    "option",
    [
        "secret_access_key",
        "access_key_id",
        "AWS_SECRET_ACCESS_KEY",
        "session_token",
        "client_secret",
        "google_service_account_key",
        "azure_storage_sas_key",
        "password",
    ],
)
def test_show_of_storage_options_hides_what_is_secret(option: str) -> None:
    printed = _printed("show", ENTREPOT_STORAGE_OPTIONS=f"region=here,{option}={SECRET}")

    assert SECRET not in printed
    assert json.loads(printed)["storage"]["options"] == {"region": "here", option: HIDDEN}


def test_schema_when_printed_is_a_json_schema() -> None:
    schema = json.loads(_printed("schema"))

    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(Settings.model_fields)


@pytest.mark.parametrize("url", [f"nonsense {SECRET}", f"mysql://user:{SECRET}@host/name", "sqlite://"])
@pytest.mark.parametrize("command", [("config", "check"), ("config", "show"), ("migrate",), ("collect",)])
def test_database_that_is_none_is_refused_by_every_command(tmp_path: Path, command: tuple[str, ...], url: str) -> None:
    variables = {"ENTREPOT_DATABASE_URL": url, "ENTREPOT_DATA": str(tmp_path)}

    result = CliRunner().invoke(app, [*command], env=variables)

    assert isinstance(result.exception, Invalid)
    assert "database.url" in result.exception.message
    assert SECRET not in result.output + result.exception.message
