"""Both set-ups, one server each for all stories; every story has repositories of its own."""

import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.functional.people import People, people_of
from tests.functional.repository import Repository
from tests.functional.setups import ALONE, SHARED, SetUp, alone, shared
from tests.peers.postgresql import PostgreSQL
from tests.peers.seaweedfs import SeaweedFS


@pytest.fixture(scope="session")
def alone_set_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUp]:
    with alone(tmp_path_factory.mktemp(ALONE)) as started:
        yield started


@pytest.fixture(scope="session")
def shared_set_up(
    tmp_path_factory: pytest.TempPathFactory, postgresql: PostgreSQL, seaweedfs: SeaweedFS
) -> Iterator[SetUp]:
    with shared(tmp_path_factory.mktemp(SHARED), postgresql, seaweedfs) as started:
        yield started


@pytest.fixture(scope="module", params=[ALONE, SHARED])
def set_up(request: pytest.FixtureRequest) -> SetUp:
    found: SetUp = request.getfixturevalue("alone_set_up" if request.param == ALONE else "shared_set_up")
    return found


@pytest.fixture(scope="module")
def admin(set_up: SetUp) -> Iterator[httpx.Client]:
    """The administrator, with Basic credentials; follows redirects, as all clients do for blobs."""
    with set_up.server.client() as client:
        client.follow_redirects = True
        yield client


@pytest.fixture(scope="module")
def anybody(set_up: SetUp) -> Iterator[httpx.Client]:
    """Somebody without credentials."""
    with set_up.server.client(anonymous=True) as client:
        client.follow_redirects = True
        yield client


@pytest.fixture
def repository(admin: httpx.Client) -> Repository:
    """One that nobody has pushed to, as the administrator sees it."""
    return new_repository(admin)


@pytest.fixture
def other_repository(admin: httpx.Client) -> Repository:
    return new_repository(admin)


def new_repository(client: httpx.Client) -> Repository:
    return Repository(client, f"story/{secrets.token_hex(6)}")


@pytest.fixture
def log_path(set_up: SetUp) -> object:
    """Shown when a story fails."""
    return set_up.server


@pytest.fixture(scope="module")
def people(set_up: SetUp) -> Iterator[People]:
    with people_of(set_up) as made:
        yield made
