import pytest
from sqlalchemy import Connection, insert, select

from entrepot.database import topics
from entrepot.database.database import Database
from entrepot.identity import workloads
from entrepot.identity.tables import trust_rules, users
from entrepot.identity.workloads import TrustRuleInvalid
from tests.conformance.database.content import NOW_MS
from tests.conformance.database.remembering import Watched
from tests.conformance.database.waiting import until

pytestmark = pytest.mark.anyio

CLAIMS = {"repository": "acme/app", "ref": "refs/heads/*"}


def add_robot(connection: Connection, name: str) -> int:
    values = {"provider": "robot", "subject": name, "name": name, "created_at_ms": NOW_MS}
    number: int = connection.execute(insert(users).returning(users.c.id), values).scalar_one()
    return number


async def test_rules_are_found_by_robot_and_by_provider(database: Database) -> None:
    first, second = await database.write(add_robot, "first"), await database.write(add_robot, "second")
    one = await database.write(workloads.add, first, "github", "registry", CLAIMS, NOW_MS)
    two = await database.write(workloads.add, second, "github", "registry", {"repository": "ünïcode/*"}, NOW_MS)
    three = await database.write(workloads.add, first, "gitlab", "registry", {"project_path": "a/b"}, NOW_MS)

    assert (one.claims, one.robot_id, one.provider, one.audience) == (CLAIMS, first, "github", "registry")
    assert await database.read(workloads.of_robot, first) == (one, three)
    assert await database.look_up(workloads.of_provider, "github") == (one, two)
    assert await database.read(workloads.of_provider, "nobody") == ()


async def test_rule_is_removed_from_its_own_robot_only(database: Database) -> None:
    first, second = await database.write(add_robot, "first"), await database.write(add_robot, "second")
    rule = await database.write(workloads.add, first, "github", "registry", CLAIMS, NOW_MS)

    assert not await database.write(workloads.remove, second, rule.id)
    assert await database.write(workloads.remove, first, rule.id)
    assert not await database.write(workloads.remove, first, rule.id)
    assert await database.read(workloads.of_robot, first) == ()


async def test_rule_that_would_trust_everybody_is_not_kept(database: Database) -> None:
    robot = await database.write(add_robot, "robot")

    with pytest.raises(TrustRuleInvalid):
        await database.write(workloads.add, robot, "github", "registry", {}, NOW_MS)
    assert await database.read(workloads.of_robot, robot) == ()


async def test_rules_go_with_their_robot(database: Database) -> None:
    robot = await database.write(add_robot, "robot")
    await database.write(workloads.add, robot, "github", "registry", CLAIMS, NOW_MS)

    def remove(connection: Connection) -> int:
        connection.execute(users.delete().where(users.c.id == robot))
        return len(connection.execute(select(trust_rules.c.id)).all())

    assert await database.write(remove) == 0


async def test_change_of_rules_is_told_to_other_workers(database: Database, other: Database) -> None:
    robot = await database.write(add_robot, "robot")
    watched = Watched(other)

    await watched.remember(topics.TRUST_RULES)
    rule = await database.write(workloads.add, robot, "github", "registry", CLAIMS, NOW_MS)
    await until(lambda: not watched.knows(topics.TRUST_RULES))
    await watched.remember(topics.TRUST_RULES)
    await database.write(workloads.remove, robot, rule.id)
    await until(lambda: not watched.knows(topics.TRUST_RULES))
