"""Both databases, each test with one of its own that has the newest schema."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from entrepot.database.database import Database
from entrepot.database.open import open_database
from entrepot.migrations import schema
from entrepot.settings import DatabaseSettings
from tests.peers.postgresql import PostgreSQL

SQLITE, POSTGRESQL = "sqlite", "postgresql"


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "entrepot.db"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_url(postgresql: PostgreSQL) -> Iterator[str]:
    """A PostgreSQL database to be copied."""
    with postgresql.new_database() as url:
        schema.upgrade(url)
        yield url


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table."""
    if backend == SQLITE:
        yield f"sqlite:///{tmp_path / 'entrepot.db'}"
        return
    postgresql: PostgreSQL = request.getfixturevalue("postgresql")
    with postgresql.new_database() as url:
        yield url


@pytest.fixture
def url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with the newest schema."""
    if backend == SQLITE:
        path = tmp_path / "entrepot.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite:///{path}"
        return
    postgresql: PostgreSQL = request.getfixturevalue("postgresql")
    with postgresql.new_database(copy_of=request.getfixturevalue("migrated_url")) as copied:
        yield copied


@pytest.fixture
async def database(url: str, tmp_path: Path) -> AsyncIterator[Database]:
    opened = open_database(DatabaseSettings(url=url), tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def in_own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where relative paths lead to."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def other(url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """The same database, as another process has it open."""
    opened = open_database(DatabaseSettings(url=url), tmp_path)
    yield opened
    await opened.close()
