"""Of all replicas, one collects garbage at a time."""

import pytest

from entrepot.database.database import Database
from entrepot.lifecycle import garbage

pytestmark = pytest.mark.anyio


async def test_of_many_maintenance_processes_one_collects_and_never_at_once(database: Database) -> None:
    every_ms = 1000
    assert not await database.write(garbage.claim, 10_000, every_ms)
    assert not await database.write(garbage.claim, 10_999, every_ms)
    claims = [await database.write(garbage.claim, 11_000, every_ms) for _ in range(3)]
    assert claims == [True, False, False]
