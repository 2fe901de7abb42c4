"""BuildKit pushes what it builds, and keeps its cache in the registry in both forms that it has."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.peers.buildkit import BuildKit
from tests.peers.registry import Registry

CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0"
INDEX, MANIFEST = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def buildkit(tmp_path: Path, registry: Registry) -> Iterator[BuildKit]:
    made = BuildKit(tmp_path / "buildkit", registry)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def context(tmp_path: Path, busybox: Path) -> Path:
    """A build of two steps, one of which runs a program."""
    made = tmp_path / "context"
    made.mkdir()
    shutil.copy(busybox, made / "busybox")
    (made / "Dockerfile").write_text(
        f'FROM scratch\nCOPY busybox /busybox\nRUN ["/busybox", "sh", "-c", "echo {secrets.token_hex(8)} >/made"]\n'
    )
    return made


@pytest.mark.parametrize(("as_image", "media_type"), [("false", INDEX), ("true", MANIFEST)], ids=["index", "manifest"])
def test_buildkit_pushes_its_cache_and_builds_from_it(
    buildkit: BuildKit, registry: Registry, context: Path, as_image: str, media_type: str
) -> None:
    name = f"{registry.host}/clients/buildkit-{secrets.token_hex(4)}"
    output = f"--output=type=image,name={name}:made,push=true"
    kept = f"type=registry,ref={name}:cache"
    first = buildkit.build(context, output, f"--export-cache={kept},mode=max,image-manifest={as_image}")
    assert "CACHED" not in first

    path = name.removeprefix(registry.host)
    with httpx.Client(base_url=f"http://{registry.host}/v2", auth=(registry.username, registry.password)) as client:
        cache = client.get(f"{path}/manifests/cache", headers={"accept": f"{INDEX}, {MANIFEST}"})
        made = client.get(f"{path}/manifests/made", headers={"accept": f"{INDEX}, {MANIFEST}"})
        assert (cache.status_code, cache.headers["content-type"]) == (200, media_type)
        entries = cache.json()["manifests"] if media_type == INDEX else [cache.json()["config"]]
        assert CACHE_CONFIG in {entry["mediaType"] for entry in entries}
        buildkit.forget()
        again = buildkit.build(context, output, f"--import-cache={kept}")
        assert again.count("CACHED") == 2
        same = client.get(f"{path}/manifests/made", headers={"accept": f"{INDEX}, {MANIFEST}"})
    layers = [found.json().get("layers") or found.json()["manifests"] for found in (made, same)]
    assert layers[0] == layers[1]
