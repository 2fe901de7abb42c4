import asyncio

import pytest

from entrepot.database.database import Database
from entrepot.identity import users
from entrepot.identity.users import LOCAL, User
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
