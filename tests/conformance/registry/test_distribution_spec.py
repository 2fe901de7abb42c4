"""Every API and every kind of data of the official suite passes; nothing is skipped, but mounts.

The suite asks for tokens that name one repository, and such a token mounts from no other: what the specification has
for that, 202 and an upload, is what it gets.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.registry.suite import API_ROWS, DATA_ROWS, Outcome, run_suite
from tests.peers.certificate import Certificate
from tests.peers.entrepot import Entrepot
from tests.peers.registry import Registry

VERSIONS = ("1.1", "dev")
MOUNTED_NOT = {"Blob anonymous mount": "Skip"}
_MOUNT = re.compile(
    r"\n##### sha\d+ blobs/mount(?: anonymous)?/blob-mount(?:-anonymous)?: skipped\n.*status 202, fell back"
)
SPARSE_CONFIG = """\
[registry]
allow_sparse_manifests = true
"""


@pytest.fixture(scope="module")
def sparse_registry(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Entrepot]:
    """Accepts manifests whose blobs are elsewhere; speaks TLS, so that the suite sees that too."""
    directory = tmp_path_factory.mktemp("sparse")
    with Entrepot(directory, config=SPARSE_CONFIG, certificate=certificate) as server:
        yield server
    server.remove_data()


def _assert_passed(outcome: Outcome, *, but: dict[str, str]) -> None:
    everything = outcome.apis | outcome.data
    others = {name: verdict for name, verdict in everything.items() if verdict != "Pass"}
    not_passed = [one for one in outcome.not_passed if not _MOUNT.match(one)]
    if not_passed or others != {**but, **MOUNTED_NOT}:
        pytest.fail(str(outcome), pytrace=False)
    assert (len(outcome.apis), len(outcome.data)) == (API_ROWS, DATA_ROWS)


@pytest.mark.parametrize("version", VERSIONS)
def test_suite_passes_with_defaults(registry: Registry, version: str, tmp_path: Path) -> None:
    outcome = run_suite(
        registry,
        version=version,
        sparse=False,
        repositories=f"conformance/v{version}",
        results=tmp_path / "results",
    )
    _assert_passed(outcome, but={"Sparse Manifests": "Disabled"})


@pytest.mark.parametrize("version", VERSIONS)
def test_suite_passes_whole_where_sparse_manifests_are_allowed(
    sparse_registry: Entrepot, version: str, tmp_path: Path
) -> None:
    outcome = run_suite(
        sparse_registry,
        version=version,
        sparse=True,
        repositories=f"conformance/v{version}",
        results=tmp_path / "results",
    )
    _assert_passed(outcome, but={})
