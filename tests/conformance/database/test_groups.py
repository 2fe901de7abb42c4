import asyncio
from functools import partial

import pytest

from entrepot.database.database import Database
from entrepot.errors import Invalid
from entrepot.identity import groups, users
from entrepot.identity.errors import GroupUnknown, NameTaken
from entrepot.identity.groups import Group
from entrepot.identity.users import LOCAL, User
from tests.conformance.database.content import NOW_MS

pytestmark = pytest.mark.anyio


@pytest.fixture
async def group(database: Database) -> Group:
    return await database.write(groups.add, LOCAL, "developers", "", NOW_MS)


@pytest.fixture
async def user(database: Database) -> User:
    return await database.write(partial(users.add, now_ms=NOW_MS), LOCAL, "alice")


async def test_member_is_added_once_and_removed_once(database: Database, group: Group, user: User) -> None:
    assert await database.write(groups.add_member, group, user)
    assert not await database.write(groups.add_member, group, user)
    assert await database.read(groups.of_user, user.id) == {group.id: "local:developers"}
    assert await database.write(groups.remove_member, group, user)
    assert not await database.write(groups.remove_member, group, user)
    assert await database.read(groups.of_user, user.id) == {}


async def test_members_come_in_pages(database: Database, group: Group) -> None:
    for name in ("b", "a", "c"):
        await database.write(
            groups.add_member, group, await database.write(partial(users.add, now_ms=NOW_MS), LOCAL, name)
        )

    first = await database.read(groups.members, group, after=0, limit=2)
    second = await database.read(groups.members, group, after=first[-1][0], limit=2)

    assert [name for _, _, name in first + second] == ["b", "a", "c"]


async def test_name_is_taken_once_for_each_provider(database: Database, group: Group) -> None:
    with pytest.raises(NameTaken):
        await database.write(groups.add, LOCAL, group.name, "", NOW_MS)
    await database.write(groups.add, "ldap", group.name, "", NOW_MS)
    await database.write(groups.remove, group)
    with pytest.raises(GroupUnknown):
        await database.read(groups.require, LOCAL, group.name)
    assert await database.read(groups.find, "ldap", group.name) is not None


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\nb", "a\u200bb", "e\u0301", "a" * 256])
async def test_name_of_a_local_group_can_be_read_and_written_in_a_path(database: Database, name: str) -> None:
    with pytest.raises(Invalid):
        await database.write(groups.add, LOCAL, name, "", NOW_MS)


async def test_groups_of_a_provider_are_those_of_the_last_login(database: Database, group: Group, user: User) -> None:
    await database.write(groups.add_member, group, user)

    assert await database.write(groups.set_of_user, user, "ldap", ["/a/b", "c"], NOW_MS)
    assert not await database.write(groups.set_of_user, user, "ldap", ["c", "/a/b"], NOW_MS)
    assert await database.write(groups.set_of_user, user, "ldap", ["c"], NOW_MS)

    held = await database.read(groups.of_user, user.id)
    assert sorted(held.values()) == ["ldap:c", "local:developers"]


async def test_no_more_groups_are_kept_than_a_user_may_have(database: Database, user: User) -> None:
    names = [f"group {number}" for number in range(groups.GROUPS_OF_USER_MAX + 10)]
    await database.write(groups.set_of_user, user, "ldap", names, NOW_MS)

    assert len(await database.read(groups.of_user, user.id)) == groups.GROUPS_OF_USER_MAX


async def test_logins_at_the_same_time_set_the_groups_once(database: Database, other: Database, user: User) -> None:
    await asyncio.gather(
        *(
            worker.write(groups.set_of_user, user, "ldap", ["x", "y", f"only {number}"], NOW_MS)
            for number, worker in enumerate((database, other) * 4)
        )
    )

    assert {"ldap:x", "ldap:y"} <= set((await database.read(groups.of_user, user.id)).values())


async def test_names_that_cannot_be_kept_are_left_out(database: Database, user: User) -> None:
    await database.write(groups.set_of_user, user, "ldap", ["x", "x", "", " ", "\x00", "a\nb", "a" * 256], NOW_MS)

    assert list((await database.read(groups.of_user, user.id)).values()) == ["ldap:x"]
