from functools import partial

import pytest

from entrepot.database.database import Database
from entrepot.errors import Invalid
from entrepot.identity import tokens, users
from entrepot.identity.errors import TokenUnknown
from entrepot.identity.tokens import PERSONAL, REFRESH, Token
from entrepot.identity.users import LOCAL, User
from entrepot.principal import Limit
from tests.conformance.database.content import NOW_MS

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000
LIMITS = (Limit(frozenset({"repository:pull", "repository:push"}), "namespace", "team"),)


@pytest.fixture
async def user(database: Database) -> User:
    return await database.write(partial(users.add, now_ms=NOW_MS), LOCAL, "alice")


async def add(database: Database, user: User, name: str = "a token", **fields: object) -> tuple[Token, str]:
    values: dict[str, object] = {"kind": PERSONAL, "limits": None, "expires_at_ms": None, "parent_id": None, **fields}
    kind = str(values.pop("kind"))
    return await database.write(partial(tokens.add, now_ms=NOW_MS, **values), kind, user, name)  # type: ignore[arg-type]


async def ids(database: Database, user: User) -> list[str]:
    return [token.id for token in await database.read(tokens.of_user, user.id)]


async def test_token_is_found_as_it_was_made(database: Database, user: User) -> None:
    token, text = await add(database, user, limits=LIMITS, expires_at_ms=NOW_MS + HOUR_MS)

    found = await database.look_up(tokens.find, token.id)

    assert found == token
    assert tokens.parse_id(text) == token.id
    assert tokens.matches(token, text)
    assert not tokens.matches(token, text[:-1] + ("a" if text[-1] != "a" else "b"))
    assert token.expired(NOW_MS + HOUR_MS)
    assert not token.expired(NOW_MS + HOUR_MS - 1)


async def test_revoked_token_takes_along_what_was_got_with_it(database: Database, user: User) -> None:
    first, _ = await add(database, user)
    second, _ = await add(database, user, parent_id=first.id)
    await add(database, user, kind=REFRESH, parent_id=second.id)
    other, _ = await add(database, user)

    await database.write(tokens.remove, first)

    assert await ids(database, user) == [other.id]


async def test_rotated_token_leaves_what_was_made_with_it_to_its_successor(database: Database, user: User) -> None:
    old, _ = await add(database, user, limits=LIMITS)
    made, _ = await add(database, user, parent_id=old.id)
    refresh, _ = await add(database, user, kind=REFRESH, parent_id=old.id)

    new, text = await database.write(
        partial(tokens.rotate, overlap_ms=HOUR_MS, expires_at_ms=None, now_ms=NOW_MS), user, old
    )

    assert tokens.matches(new, text)
    assert (new.name, new.kind, new.limits, new.parent_id) == (old.name, PERSONAL, LIMITS, None)
    kept = await database.read(tokens.find, old.id)
    assert kept is not None
    assert kept.expires_at_ms == NOW_MS + HOUR_MS
    parents = {token.id: token.parent_id for token in await database.read(tokens.of_user, user.id)}
    assert (parents[made.id], parents[refresh.id]) == (new.id, old.id)


async def test_rotated_without_overlap_the_old_one_is_gone(database: Database, user: User) -> None:
    parent, _ = await add(database, user)
    old, _ = await add(database, user, parent_id=parent.id)
    made, _ = await add(database, user, parent_id=old.id)
    await add(database, user, kind=REFRESH, parent_id=old.id)

    new, _ = await database.write(partial(tokens.rotate, overlap_ms=0, expires_at_ms=None, now_ms=NOW_MS), user, old)

    assert new.parent_id == parent.id
    assert sorted(await ids(database, user)) == sorted([parent.id, made.id, new.id])


async def test_overlap_does_not_make_a_token_live_longer(database: Database, user: User) -> None:
    old, _ = await add(database, user, expires_at_ms=NOW_MS + 1000)

    await database.write(partial(tokens.rotate, overlap_ms=HOUR_MS, expires_at_ms=None, now_ms=NOW_MS), user, old)

    kept = await database.read(tokens.find, old.id)
    assert kept is not None
    assert kept.expires_at_ms == NOW_MS + 1000


async def test_one_user_has_so_many_tokens_and_rotates_them_still(database: Database, user: User) -> None:
    made = [(await add(database, user))[0] for _ in range(tokens.TOKENS_OF_USER_MAX)]

    with pytest.raises(Invalid, match="revoke some"):
        await add(database, user)
    with pytest.raises(Invalid, match="revoke some"):
        await database.write(partial(tokens.rotate, overlap_ms=1, expires_at_ms=None, now_ms=NOW_MS), user, made[0])
    await database.write(partial(tokens.rotate, overlap_ms=0, expires_at_ms=None, now_ms=NOW_MS), user, made[0])
    await add(database, user, kind=REFRESH)
    assert len(await ids(database, user)) == tokens.TOKENS_OF_USER_MAX + 1


async def test_tokens_come_in_pages(database: Database, user: User) -> None:
    made = sorted([(await add(database, user))[0].id for _ in range(5)])
    somebody = await database.write(partial(users.add, now_ms=NOW_MS), LOCAL, "bob")
    await add(database, somebody)

    first = await database.read(tokens.page, user.id, after="", limit=3)
    second = await database.read(tokens.page, user.id, after=first[-1].id, limit=3)

    assert [token.id for token in first + second] == made


async def test_token_of_another_user_is_unknown(database: Database, user: User) -> None:
    somebody = await database.write(partial(users.add, now_ms=NOW_MS), LOCAL, "bob")
    token, _ = await add(database, somebody)

    with pytest.raises(TokenUnknown):
        await database.read(tokens.require, user.id, token.id)


async def test_tokens_of_a_user_are_removed_by_kind_and_altogether(database: Database, user: User) -> None:
    personal, _ = await add(database, user)
    await add(database, user, kind=REFRESH)

    await database.write(tokens.remove_of_user, user.id, REFRESH)
    assert await ids(database, user) == [personal.id]
    await database.write(tokens.remove_of_user, user.id)
    assert await ids(database, user) == []


@pytest.mark.parametrize("name", ["", "  ", "a\x00b", "a\nb", "a" * 256])
async def test_name_that_cannot_be_shown_is_refused(database: Database, user: User, name: str) -> None:
    with pytest.raises(Invalid):
        await add(database, user, name)
