"""Decisions about who may what, with many grants."""

import asyncio
import random
import time
from pathlib import Path
from statistics import median

from sqlalchemy import Connection, create_engine, insert

from benchmarks.load import Sample
from benchmarks.prefill import DATABASE_FILE
from benchmarks.works.capacity import Capacity
from benchmarks.works.work import Measure, Scale
from entrepot.access.permissions import Permission
from entrepot.access.tables import grants
from entrepot.actions import authorize
from entrepot.app import open_app
from entrepot.identity.tables import group_members, groups, users
from entrepot.principal import Origin, Principal
from entrepot.settings import Settings
from entrepot.telemetry.metrics import Metrics

GRANTS, GROUPS, GROUPS_OF_USER, USERS = 10_000, 1_000, 200, 50
PATTERN_EVERY = 100
DECISIONS = 1_000
"""Warm ones, of each user."""
PROVIDER = "bench"
ORIGIN = Origin("192.0.2.1", "docker/28.0", "bench")


class AccessDecisions(Capacity):
    name = "access"
    how = (
        "10,000 grants of a role somewhere to 1,000 groups, one of 100 by a pattern, and 50 users who are in 200 of "
        "the groups each, so that 2,000 grants are a user's. Measured in a process of its own is how long it takes to "
        "decide whether a user may pull from a repository: the first time, when nothing is remembered of the user, and "
        "each time after that; the medians."
    )
    measures = (
        Measure("access-cold", "first decision about a user", "ms", 2, less_is_better=True, target_value=5.0),
        Measure("access-warm", "each decision after that", "µs", 1, less_is_better=True, target_value=100.0),
    )

    @classmethod
    def rounds(cls, scale: Scale) -> int:
        return scale.heavy_rounds

    def prepare(self) -> None:
        self.server.stop()
        engine = create_engine(f"sqlite:///{self._data / DATABASE_FILE}")
        with engine.begin() as connection:
            _fill(connection)
        engine.dispose()

    def round(self, number: int) -> dict[str, Sample]:
        cold, warm = asyncio.run(_times(self._data))
        return {"access-cold": Sample(median(cold) * 1e3), "access-warm": Sample(median(warm) * 1e6)}

    @property
    def _data(self) -> Path:
        return self.server.directory / "data"


async def _times(data: Path) -> tuple[list[float], list[float]]:
    """Seconds of the first decisions, and of later ones."""
    cold: list[float] = []
    warm: list[float] = []
    async with open_app(Settings(data=data), Metrics()) as app:
        for number in range(USERS):
            principal = Principal(PROVIDER, f"user{number}")
            for ask in range(DECISIONS + 1):
                repository = f"team{random.randrange(GRANTS)}/app/deep/below"
                start = time.perf_counter()
                await authorize.may(app, principal, ORIGIN, Permission.REPOSITORY_PULL, repository)
                (warm if ask else cold).append(time.perf_counter() - start)
    return cold, warm


def _fill(connection: Connection) -> None:
    now_ms = int(time.time() * 1000)
    new_groups = [
        {"provider": PROVIDER, "name": f"group{number}", "description": "", "created_at_ms": now_ms}
        for number in range(GROUPS)
    ]
    group_ids = list(connection.execute(insert(groups).returning(groups.c.id), new_groups).scalars())
    new_users = [
        {"provider": PROVIDER, "subject": f"user{number}", "name": f"user{number}", "created_at_ms": now_ms}
        for number in range(USERS)
    ]
    user_ids = list(connection.execute(insert(users).returning(users.c.id), new_users).scalars())
    memberships = [
        {"user_id": user_id, "group_id": group_id}
        for user_id in user_ids
        for group_id in random.sample(group_ids, GROUPS_OF_USER)
    ]
    connection.execute(insert(group_members), memberships)
    connection.execute(insert(grants), [_grant(number, random.choice(group_ids), now_ms) for number in range(GRANTS)])


def _grant(number: int, group_id: int, now_ms: int) -> dict[str, object]:
    pattern = number % PATTERN_EVERY == 0
    return {
        "role": random.choice(["reader", "developer", "maintainer"]),
        "subject_kind": "group",
        "group_id": group_id,
        "place_kind": "pattern" if pattern else "namespace",
        "place_path": f"team{number}/**/app-*" if pattern else f"team{number}/app",
        "terms_hash": f"{number:064d}",
        "created_by": PROVIDER,
        "created_at_ms": now_ms,
    }
