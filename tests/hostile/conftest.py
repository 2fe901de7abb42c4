"""One server for all of these tests, which has to be as good as new after each."""

from collections.abc import Iterator

import pytest

from tests.hostile.remains import remains
from tests.hostile.target import Image, Target, push_image
from tests.peers.entrepot import Entrepot

REPOSITORY = "hostile/held"


@pytest.fixture(scope="package")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server with two workers, so that no test passes because one process remembers."""
    wrong_passwords = {"ENTREPOT_LOGIN_FAILURES_FREE": "1000000"}
    with Entrepot(tmp_path_factory.mktemp("hostile"), environment=wrong_passwords) as server:
        yield Target(server)
    server.remove_data()


@pytest.fixture(scope="package")
def image(target: Target) -> Image:
    """An image that is there before any test, and unchanged after all."""
    return push_image(target, REPOSITORY)


@pytest.fixture(autouse=True)
def no_defect(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test sends, the server goes on and has met nothing unexpected."""
    names = [name for name in ("target", "slow_target", "limited_target") if name in request.fixturenames]
    targets: list[Target] = [request.getfixturevalue(name) for name in names]
    yield
    for target in targets:
        assert target.is_alive()
        assert target.new_defects() == []


@pytest.fixture
def nothing_left(target: Target, image: Image) -> Iterator[None]:
    """What was refused has left no file and no row."""
    before = remains(target.data)
    yield
    assert remains(target.data) == before
