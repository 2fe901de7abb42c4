"""What buildah builds is pushed, and runs wherever it is pulled."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import Client
from tests.clients.images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    ELSEWHERE,
    HERE,
    OCI_INDEX,
    OCI_MANIFEST,
    digest_of,
)
from tests.clients.registry_content import manifest_digest, registry_content
from tests.peers.docker import DockerEngine
from tests.peers.registry import Registry

FORMATS = {"oci": OCI_MANIFEST, "docker": DOCKER_MANIFEST}
INDEXES = {"oci": OCI_INDEX, "v2s2": DOCKER_LIST}


@pytest.fixture
def buildah(buildah: Client, registry: Registry) -> Iterator[Client]:
    buildah(
        *(
            "login",
            "--tls-verify=false",
            "--username",
            registry.username,
            "--password-stdin",
        ),
        registry.host,
        stdin=registry.password,
    )
    yield buildah
    buildah("rm", "--all")
    buildah("rmi", "--all", "--force")


def _run_with_docker(engine: DockerEngine, registry: Registry, name: str, config: Path, *command: str) -> str:
    engine.run(
        *("login", "--username", registry.username, "--password-stdin", registry.host),
        config=config,
        stdin=registry.password,
    )
    engine.run("pull", name, config=config)
    said = engine.run("run", "--rm", "--network=host", name, *command, config=config).stdout
    engine.run("image", "rm", name, config=config)
    return said


@pytest.mark.parametrize("format", FORMATS)
def test_image_built_without_a_dockerfile_runs_after_push_and_pull(
    buildah: Client,
    docker_engine: DockerEngine,
    registry: Registry,
    busybox: Path,
    tmp_path: Path,
    format: str,
) -> None:
    name = f"{registry.host}/clients/buildah-commands:{format}"
    container = buildah("from", "scratch").stdout.strip()
    buildah("copy", container, busybox, "/bin/busybox")
    buildah("config", "--env", "PLACE=a container", container)
    buildah("config", "--cmd", '["/bin/busybox", "sh", "-c", "echo in $PLACE"]', container)
    buildah("commit", "--format", format, container, name)
    written = tmp_path / "digest"
    buildah("push", "--tls-verify=false", "--digestfile", written, name)

    content = registry_content(registry, "clients/buildah-commands", format)
    manifest = json.loads(content[written.read_text()])
    assert manifest.get("mediaType", OCI_MANIFEST) == FORMATS[format]
    said = _run_with_docker(docker_engine, registry, name, tmp_path / "docker")
    assert said == "in a container\n"


@pytest.mark.parametrize("format", FORMATS)
def test_image_built_from_a_dockerfile_runs_after_push_and_pull(
    buildah: Client,
    docker_engine: DockerEngine,
    registry: Registry,
    busybox: Path,
    tmp_path: Path,
    format: str,
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "busybox").write_bytes(busybox.read_bytes())
    (context / "busybox").chmod(0o755)
    (context / "Dockerfile").write_text(
        "FROM scratch\n"
        "COPY busybox /bin/busybox\n"
        'RUN ["/bin/busybox", "sh", "-c", "echo built by RUN > /note"]\n'
        'ENTRYPOINT ["/bin/busybox"]\n'
        'CMD ["cat", "/note"]\n'
    )
    name = f"{registry.host}/clients/buildah-dockerfile:{format}"
    buildah("bud", "--layers", "--format", format, "--tag", name, context)
    written = tmp_path / "digest"
    buildah("push", "--tls-verify=false", "--digestfile", written, name)

    content = registry_content(registry, "clients/buildah-dockerfile", format)
    manifest = json.loads(content[written.read_text()])
    assert manifest.get("mediaType", OCI_MANIFEST) == FORMATS[format]
    assert len(manifest["layers"]) > 1
    said = _run_with_docker(docker_engine, registry, name, tmp_path / "docker")
    assert said == "built by RUN\n"


@pytest.mark.parametrize("format", INDEXES)
def test_manifest_list_made_by_buildah_is_pushed_whole(
    buildah: Client, registry: Registry, tmp_path: Path, format: str
) -> None:
    name = f"{registry.host}/clients/buildah-list"
    listed = f"list-{format}"
    buildah("manifest", "create", listed)
    for architecture in (HERE, ELSEWHERE):
        (tmp_path / architecture).write_text(f"made for {architecture}")
        container = buildah("from", "--arch", architecture, "scratch").stdout.strip()
        buildah("copy", container, tmp_path / architecture, "/made-for")
        buildah("config", "--arch", architecture, container)
        buildah("commit", "--manifest", listed, container, f"made-for-{architecture}")
    buildah(
        *("manifest", "push", "--all", "--tls-verify=false", "--format", format),
        *(listed, f"docker://{name}:{format}"),
    )
    content = registry_content(registry, "clients/buildah-list", format)
    index = json.loads(content[manifest_digest(registry, "clients/buildah-list", format)])
    assert index.get("mediaType", OCI_INDEX) == INDEXES[format]
    platforms = {entry["platform"]["architecture"] for entry in index["manifests"]}
    assert platforms == {HERE, ELSEWHERE}


def test_image_pulled_by_buildah_has_the_pushed_digest(buildah: Client, registry: Registry, busybox: Path) -> None:
    name = f"{registry.host}/clients/buildah-again:made"
    container = buildah("from", "scratch").stdout.strip()
    buildah("copy", container, busybox, "/bin/busybox")
    image = buildah("commit", container, name).stdout.strip()
    buildah("push", "--tls-verify=false", name)
    buildah("rm", container)
    buildah("rmi", name)
    assert buildah("pull", "--tls-verify=false", name).stdout.strip() == image
    raw = buildah("inspect", "--type", "image", "--format", "{{.Manifest}}", name).stdout
    assert digest_of(raw.strip().encode()) == manifest_digest(registry, "clients/buildah-again", "made")
