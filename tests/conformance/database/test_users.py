import asyncio
from functools import partial

import pytest
from sqlalchemy import Connection

from entrepot.database.database import Database
from entrepot.errors import Invalid
from entrepot.identity import users
from entrepot.identity.errors import LastAdministrator
from entrepot.identity.users import LOCAL, ROBOT, User
from tests.conformance.database.content import NOW_MS

pytestmark = pytest.mark.anyio

NAMES = ("admin", "Admin", "ädmin", "管理者", "a" * 255)


async def test_administrator_is_added_once(database: Database) -> None:
    assert not await database.read(users.has_administrator)
    assert await database.write(users.add_administrator, "admin", "hash", NOW_MS)
    assert not await database.write(users.add_administrator, "admin", "other hash", NOW_MS)

    assert await database.read(users.has_administrator)
    user = await database.read(users.find, LOCAL, "admin")
    assert isinstance(user, User)
    assert (user.key, user.password_hash, user.administrator) == ("local:admin", "hash", True)


async def test_administrator_added_by_many_at_once_is_one(database: Database, other: Database) -> None:
    """As by workers and commands that start at the same time on a new database."""
    added = await asyncio.gather(
        *(
            worker.write(users.add_administrator, "admin", f"hash {number}", NOW_MS)
            for number, worker in enumerate((database, other) * 6)
        )
    )

    assert sorted(added) == [False] * 11 + [True]
    user = await database.read(users.find, LOCAL, "admin")
    assert user is not None
    assert user.password_hash == f"hash {added.index(True)}"


async def test_users_are_told_apart_by_every_letter_and_by_provider(database: Database) -> None:
    for name in NAMES:
        assert await database.write(users.add_administrator, name, f"hash of {name[:10]}", NOW_MS)

    for name in NAMES:
        user = await database.read(users.find, LOCAL, name)
        assert user is not None
        assert user.password_hash == f"hash of {name[:10]}"
    assert await database.read(users.find, "ldap", "admin") is None
    assert await database.read(users.find, LOCAL, "nobody") is None


async def test_password_is_replaced(database: Database) -> None:
    await database.write(users.add_administrator, "admin", "hash", NOW_MS)

    assert await database.write(users.set_password, "admin", "new hash")
    assert not await database.write(users.set_password, "nobody", "new hash")
    user = await database.read(users.find, LOCAL, "admin")
    assert user is not None
    assert user.password_hash == "new hash"


async def test_new_hash_of_a_password_that_was_changed_meanwhile_is_not_kept(database: Database) -> None:
    await database.write(users.add_administrator, "admin", "hash", NOW_MS)
    await database.write(users.set_password, "admin", "hash of another password")

    assert not await database.write(partial(users.set_password, instead_of="hash"), "admin", "better hash")
    user = await database.read(users.require, LOCAL, "admin")
    assert user.password_hash == "hash of another password"


async def test_administrators_who_remove_each_other_at_once_leave_one(database: Database, other: Database) -> None:
    """Each looks first whether somebody is left, and each sees the other one."""
    names = ("first", "second")
    for name in names:
        await database.write(users.add_administrator, name, "hash", NOW_MS)

    def demote(connection: Connection, name: str) -> None:
        before = users.lock_administrators(connection)
        users.change(connection, users.require(connection, LOCAL, name), administrator=False)
        users.require_administrator_left(connection, before)

    outcomes = await asyncio.gather(
        *(worker.write(demote, name) for worker, name in zip((database, other), names, strict=True)),
        return_exceptions=True,
    )

    assert sorted(type(outcome) for outcome in outcomes if outcome is not None) == [LastAdministrator]
    assert len(await database.write(users.lock_administrators)) == 1


@pytest.mark.parametrize(
    "change", [{"disabled": True}, {"gone": True}, {"password_hash": None}, {"administrator": False}]
)
async def test_administrator_who_cannot_sign_in_does_not_count(database: Database, change: dict[str, object]) -> None:
    await database.write(users.add_administrator, "first", "hash", NOW_MS)
    await database.write(users.add_administrator, "second", "hash", NOW_MS)
    await database.write(
        lambda connection: users.change(connection, users.require(connection, LOCAL, "first"), **change)
    )

    second = await database.read(users.require, LOCAL, "second")
    assert await database.write(users.lock_administrators) == {second.id}


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b", "a:b", "a\u00a0b", "a\u200bb", "\u202eb", "e\u0301", "\ufffd", "robot+a", "a" * 256]
)
async def test_local_name_that_looks_like_another_is_refused(database: Database, name: str) -> None:
    with pytest.raises(Invalid):
        await database.write(partial(users.add, now_ms=NOW_MS), LOCAL, name)


async def test_robots_below_a_namespace_are_found(database: Database) -> None:
    names = ("team/ci", "team", "team-b/ci", "team/deep/ci", "team0", "other/team/ci")
    for name in names:
        await database.write(partial(users.add, now_ms=NOW_MS), ROBOT, name)

    found = await database.read(users.page, provider=ROBOT, below="team", after=0, limit=10)

    assert [robot.name for robot in found] == ["team/ci", "team/deep/ci"]
