"""`entrepot namespace …`, as an operator calls it; no server is needed."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from entrepot.cli.main import app
from entrepot.oci.errors import NameInvalid
from tests.peers.entrepot import PROGRAM
from tests.peers.process import run


@pytest.fixture(autouse=True)
def registry(tmp_path: Path) -> None:
    """An empty one."""
    assert CliRunner().invoke(app, ["migrate", "--data", str(tmp_path)]).exit_code == 0


def _call(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["namespace", *arguments, "--data", str(data)])


def _said(data: Path, *arguments: str) -> str:
    result = _call(data, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def _listed(data: Path) -> object:
    return json.loads(_said(data, "list", "--json"))


def test_list_of_a_new_registry_is_empty(tmp_path: Path) -> None:
    assert _listed(tmp_path) == []


def test_namespaces_when_set_are_listed(tmp_path: Path) -> None:
    assert _said(tmp_path, "public", "team") == "team is now public\n"
    assert _said(tmp_path, "private", "team/secret") == "team/secret is now private\n"
    assert _said(tmp_path, "public", "/") == "/ is now public\n"

    assert _listed(tmp_path) == [
        {"namespace": "/", "public": True},
        {"namespace": "team", "public": True},
        {"namespace": "team/secret", "public": False},
    ]


def test_namespace_set_twice_has_the_last_setting(tmp_path: Path) -> None:
    _said(tmp_path, "public", "team")
    _said(tmp_path, "private", "team")

    assert _listed(tmp_path) == [{"namespace": "team", "public": False}]


def test_namespace_with_slashes_around_it_is_the_same(tmp_path: Path) -> None:
    _said(tmp_path, "public", "/team/")

    assert _listed(tmp_path) == [{"namespace": "team", "public": True}]


def test_namespace_that_inherits_is_not_listed(tmp_path: Path) -> None:
    _said(tmp_path, "public", "team")

    assert _said(tmp_path, "inherit", "team") == "team now inherits\n"
    assert _said(tmp_path, "inherit", "team") == "team had no setting of its own\n"
    assert _listed(tmp_path) == []


def test_list_for_people_is_a_table(tmp_path: Path) -> None:
    _said(tmp_path, "public", "team")

    printed = _said(tmp_path, "list")

    assert [line.split() for line in printed.splitlines() if "team" in line] == [["team", "yes"]]


@pytest.mark.parametrize("path", ["Team", "a b", "../a", "a//b", "a:b", "//", "", "é"])
@pytest.mark.parametrize("command", ["public", "private", "inherit"])
def test_namespace_that_is_no_path_is_refused(tmp_path: Path, command: str, path: str) -> None:
    assert isinstance(_call(tmp_path, command, path).exception, NameInvalid)


def test_namespace_that_is_no_path_is_told_in_one_line(tmp_path: Path) -> None:
    refused = run([PROGRAM, "namespace", "public", "Team", "--data", tmp_path], succeeds=False)

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("entrepot: the repository name is not valid")
    assert refused.stderr.count("\n") == 1
