import asyncio

import pytest
from sqlalchemy import Connection

from entrepot.database.database import Database
from entrepot.errors import Invalid
from entrepot.identity import groups, users
from entrepot.identity.errors import GroupUnknown, NameTaken
from entrepot.identity.users import User
from tests.conformance.database.content import NOW_MS

pytestmark = pytest.mark.anyio


@pytest.fixture
async def alice(database: Database) -> User:
    return await database.write(lambda connection: users.add(connection, "local", "alice", now_ms=NOW_MS))


async def names_of(database: Database, user: User) -> list[str]:
    return sorted((await database.read(groups.of_user, user.id)).values())


async def test_member_is_added_and_removed_once(database: Database, alice: User) -> None:
    group = await database.write(groups.add, "local", "testers", "", NOW_MS)

    assert await database.write(groups.add_member, group, alice)
    assert not await database.write(groups.add_member, group, alice)
    assert await names_of(database, alice) == ["local:testers"]
    assert await database.write(groups.remove_member, group, alice)
    assert not await database.write(groups.remove_member, group, alice)
    assert await names_of(database, alice) == []


async def test_groups_of_a_directory_are_set_and_others_stay(database: Database, alice: User) -> None:
    local = await database.write(groups.add, "local", "testers", "", NOW_MS)
    await database.write(groups.add_member, local, alice)
    many = [f"group {number}" for number in range(1200)]

    assert await database.write(
        groups.set_of_user, alice, "ldap", [*many, "x", "x", "", " ", "\x00", "a" * 256], NOW_MS
    )
    assert len(await names_of(database, alice)) == 1202
    assert not await database.write(groups.set_of_user, alice, "ldap", [*many, "x"], NOW_MS)
    assert await database.write(groups.set_of_user, alice, "ldap", ["x", "y"], NOW_MS)
    assert await names_of(database, alice) == ["ldap:x", "ldap:y", "local:testers"]
    assert await database.write(groups.set_of_user, alice, "ldap", [], NOW_MS)
    assert await names_of(database, alice) == ["local:testers"]


async def test_no_more_groups_are_kept_than_a_user_may_have(database: Database, alice: User) -> None:
    names = [f"group {number}" for number in range(groups.GROUPS_OF_USER_MAX + 10)]
    await database.write(groups.set_of_user, alice, "ldap", names, NOW_MS)

    assert len(await names_of(database, alice)) == groups.GROUPS_OF_USER_MAX


async def test_logins_at_the_same_time_set_the_groups_once(database: Database, other: Database, alice: User) -> None:
    await asyncio.gather(
        *(
            worker.write(groups.set_of_user, alice, "ldap", ["x", "y", f"only {number}"], NOW_MS)
            for number, worker in enumerate((database, other) * 4)
        )
    )

    assert {"ldap:x", "ldap:y"} <= set(await names_of(database, alice))


@pytest.mark.parametrize("name", ["", " ", "a" * 256, "a\x00", "a\nb"])
async def test_group_of_an_impossible_name_is_refused(database: Database, name: str) -> None:
    with pytest.raises(Invalid):
        await database.write(groups.add, "ldap", name, "", NOW_MS)


async def test_group_is_there_once_and_then_gone_with_its_members(database: Database, alice: User) -> None:
    group = await database.write(groups.add, "local", "testers", "", NOW_MS)
    with pytest.raises(NameTaken):
        await database.write(groups.add, "local", "testers", "", NOW_MS)
    await database.write(groups.add_member, group, alice)

    def members(connection: Connection) -> list[str]:
        return [name for _, _, name in groups.members(connection, group, after=0, limit=10)]

    assert await database.read(members) == ["alice"]
    await database.write(groups.remove, group)
    assert await names_of(database, alice) == []
    with pytest.raises(GroupUnknown):
        await database.read(groups.require, "local", "testers")
