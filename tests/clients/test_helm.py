"""helm keeps charts in the registry."""

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.clients.conftest import Client
from tests.clients.refusal import assert_refused
from tests.clients.registry_content import registry_content
from tests.peers.registry import Registry


def _log_in(helm: Client, registry: Registry, password: str, *, succeeds: bool = True) -> CompletedProcess[str]:
    return helm(
        *("registry", "login", "--plain-http", "--username", registry.username),
        *("--password-stdin", registry.host),
        stdin=password,
        succeeds=succeeds,
    )


@pytest.fixture
def chart(helm: Client, tmp_path: Path) -> Path:
    """A packaged chart."""
    source = tmp_path / "harbourmaster"
    (source / "templates").mkdir(parents=True)
    (source / "Chart.yaml").write_text(
        "apiVersion: v2\nname: harbourmaster\nversion: 1.2.3+build.4\ndescription: a test\n"
    )
    (source / "templates" / "note.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: note}\ndata: {berth: {{ .Values.berth | quote }}}\n"
    )
    (source / "values.yaml").write_text("berth: seven\n")
    helm("package", source, "--destination", tmp_path)
    return tmp_path / "harbourmaster-1.2.3+build.4.tgz"


def test_helm_pulls_and_renders_the_chart_that_it_pushed(
    helm: Client, registry: Registry, chart: Path, tmp_path: Path
) -> None:
    _log_in(helm, registry, registry.password)
    charts = f"oci://{registry.host}/clients/charts"
    helm("push", "--plain-http", chart, charts)
    # A tag has no plus sign: helm writes an underscore for it.
    repository = "clients/charts/harbourmaster"
    assert chart.read_bytes() in registry_content(registry, repository, "1.2.3_build.4").values()

    pulled = tmp_path / "pulled"
    pulled.mkdir()
    wanted = (f"{charts}/harbourmaster", "--version", "1.2.3+build.4")
    helm("pull", "--plain-http", *wanted, "--destination", pulled)
    assert (pulled / chart.name).read_bytes() == chart.read_bytes()
    assert 'berth: "seven"' in helm("template", "--plain-http", "test", *wanted).stdout


def test_helm_login_with_wrong_password_is_refused(helm: Client, registry: Registry) -> None:
    assert_refused(_log_in(helm, registry, "wrong", succeeds=False))


def test_helm_pull_of_a_private_chart_without_login_is_refused(
    helm: Client, registry: Registry, chart: Path, tmp_path: Path
) -> None:
    _log_in(helm, registry, registry.password)
    charts = f"oci://{registry.host}/clients/private-charts"
    helm("push", "--plain-http", chart, charts)
    helm("registry", "logout", registry.host)
    assert_refused(helm("pull", "--plain-http", f"{charts}/harbourmaster", succeeds=False))
