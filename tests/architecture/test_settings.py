"""The page of settings is what the program says itself."""

import json

import pytest
from typer.testing import CliRunner

from entrepot import settings
from entrepot.cli.main import app
from tests.architecture.program import ROOT

SETTINGS = settings.documented()


def test_page_of_settings_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["config", "schema", "--markdown"])

    assert printed.exit_code == 0
    assert (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8") == printed.stdout


@pytest.mark.parametrize("setting", SETTINGS, ids=[dotted for dotted, *_ in SETTINGS])
def test_setting_when_documented_has_a_sentence(setting: tuple[str, str, object, str]) -> None:
    meaning = setting[3]

    assert meaning
    assert "\n" not in meaning
    assert "|" not in meaning, "it would end the cell of the table"
    assert meaning.endswith((".", "…"))


def test_variables_of_settings_are_told_apart() -> None:
    """`a_b.c` and `a.b_c` would be one variable."""
    variables = [variable for _, variable, _, _ in SETTINGS]

    assert len(set(variables)) == len(variables)
    assert settings.OTHER_VARIABLES.isdisjoint(variables)


def test_schema_when_printed_has_every_setting() -> None:
    printed = CliRunner().invoke(app, ["config", "schema"])
    schema = json.loads(printed.stdout)

    for dotted, *_ in SETTINGS:
        section, _, key = dotted.rpartition(".")
        properties = schema["properties"]
        if section:
            definition = properties[section].get("$ref") or properties[section]["allOf"][0]["$ref"]
            properties = schema["$defs"][definition.rpartition("/")[2]]["properties"]
        assert properties[key]["description"]
