"""Servers of other makers that the registry asks."""

from collections.abc import Iterator

import pytest

from tests.peers.active_directory import ActiveDirectory
from tests.peers.certificate import Certificate
from tests.peers.openldap import OpenLDAP


@pytest.fixture(scope="session")
def openldap(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[OpenLDAP]:
    """One server; a test adds users and groups with names of its own."""
    with OpenLDAP(tmp_path_factory.mktemp("openldap"), certificate) as server:
        yield server


@pytest.fixture(scope="session")
def active_directory(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[ActiveDirectory]:
    """One domain; a test adds users and groups with names of its own."""
    with ActiveDirectory(tmp_path_factory.mktemp("active-directory"), certificate) as server:
        yield server
