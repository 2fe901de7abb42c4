"""`entrepot` itself."""

from importlib.metadata import version

from typer.testing import CliRunner

from entrepot.cli.main import app


def test_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(app, ["--version"])

    assert (result.exit_code, result.stdout) == (0, f"entrepot {version('entrepot')}\n")
