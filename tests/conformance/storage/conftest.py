"""The implementations of a store, opened for one test each."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from entrepot.settings import StorageSettings
from entrepot.storage.driver import Driver
from entrepot.storage.store import BlobStore
from tests.conformance.storage.implementations import Implementation, Opened, parameters

NOTHING_IS_SMALL = {"small_blob_bytes_max": 0}
"""Small blobs never reach a driver: here all do but empty ones. See test_small.py."""


@pytest.fixture(params=parameters())
def implementation(request: pytest.FixtureRequest) -> Implementation:
    chosen: Implementation = request.param
    return chosen


@pytest.fixture
async def opened(
    implementation: Implementation, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Opened]:
    if implementation.scheme == "s3":
        seaweedfs = request.getfixturevalue("seaweedfs")
        settings = StorageSettings(
            url=seaweedfs.new_url(), options=seaweedfs.options(), redirect=implementation.redirect, **NOTHING_IS_SMALL
        )
    else:
        settings = StorageSettings(redirect=implementation.redirect, **NOTHING_IS_SMALL)
    opened = Opened(implementation, settings, tmp_path)
    yield opened
    await opened.store.close()
    shutil.rmtree(tmp_path / "storage", ignore_errors=True)


@pytest.fixture
def store(opened: Opened) -> BlobStore:
    return opened.store


@pytest.fixture
def driver(opened: Opened) -> Driver:
    return opened.driver
