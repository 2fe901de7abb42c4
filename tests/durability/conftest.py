"""Servers that are broken on purpose, and one that is not."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.peers.entrepot import Entrepot

pytest.register_assert_rewrite("tests.durability.consistency", "tests.durability.exchange", "tests.durability.pushes")

WORKERS = 2

MakeEntrepot = Callable[..., Entrepot]


@pytest.fixture(scope="session")
def entrepot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrepot]:
    """A server of two workers for the tests that leave it alive and its disk alone."""
    with Entrepot(tmp_path_factory.mktemp("durability"), workers=WORKERS) as server:
        yield server
    server.remove_data()


@pytest.fixture
def make_entrepot(tmp_path: Path) -> Iterator[MakeEntrepot]:
    """Make servers that the test itself starts, ends and starts again; what is left running is killed at its end."""
    made: list[Entrepot] = []

    def make(directory: str = "entrepot", **options: object) -> Entrepot:
        server = Entrepot(tmp_path / directory, **options)  # type: ignore[arg-type]
        made.append(server)
        return server

    with ExitStack() as ends:
        yield make
        for server in made:
            if server.data.exists():  # Unless its disk is gone already.
                ends.callback(server.remove_data)
            if server.server.started:
                ends.callback(server.kill)
