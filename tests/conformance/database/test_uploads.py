import asyncio
import itertools
import uuid

import pytest

from entrepot.content import uploads
from entrepot.content.errors import TooManyUploads, UploadChanged, UploadUnknown
from entrepot.content.uploads import UploadSession
from entrepot.database.database import Database
from entrepot.errors import EntrepotError
from entrepot.oci.name import RepositoryName
from entrepot.storage.driver import UploadState

pytestmark = pytest.mark.anyio

MANY = 1000


def session(owner: str = "local:admin", expires_at_ms: int = 10_000) -> UploadSession:
    return UploadSession(str(uuid.uuid4()), RepositoryName("team/app"), owner, 1, "sha256", expires_at_ms)


async def test_upload_is_recorded_as_it_goes_on(database: Database) -> None:
    mine = session()
    states = [
        None,
        UploadState(mine.id),
        UploadState(mine.id, 3, (), b"\x00\xff\n"),
        UploadState(mine.id, 5, ("first",)),
        UploadState(mine.id, 2**40, ("first", "second")),
    ]
    assert await database.read(uploads.find, mine.id) is None

    for before, after in itertools.pairwise(states):
        await database.write(uploads.move, mine, before, after, MANY, 20_000)
        assert await database.read(uploads.find, mine.id) == after


async def test_upload_of_thousands_of_parts(database: Database) -> None:
    mine = session()
    state = UploadState(mine.id, 7, tuple(f"{number:016x}" for number in range(10_000)))
    await database.write(uploads.move, mine, None, state, MANY, 20_000)

    assert await database.read(uploads.find, mine.id) == state


@pytest.mark.parametrize(
    "stale",
    [(0, ()), (4, ("first",)), (5, ("other",)), (5, ("first", "second")), (6, ("first",))],
)
async def test_upload_goes_on_only_from_its_recorded_state(
    database: Database, stale: tuple[int, tuple[str, ...]]
) -> None:
    mine = session()
    recorded = UploadState(mine.id, 5, ("first",))
    await database.write(uploads.move, mine, None, recorded, MANY, 20_000)

    before = UploadState(mine.id, *stale)
    with pytest.raises(UploadChanged):
        await database.write(uploads.move, mine, before, UploadState(mine.id, 9, ("first",)), MANY, 20_000)
    assert not await database.write(uploads.claim, before)
    assert await database.read(uploads.find, mine.id) == recorded


@pytest.mark.parametrize("resumed", [False, True])
async def test_of_many_that_go_on_from_one_state_one_wins(database: Database, other: Database, resumed: bool) -> None:
    mine = session()
    before = None
    if resumed:
        before = UploadState(mine.id, 5, ("first",))
        await database.write(uploads.move, mine, None, before, MANY, 20_000)

    after = [UploadState(mine.id, 9, ("first", f"part{number}")) for number in range(16)]
    outcomes = await asyncio.gather(
        *(
            worker.write(uploads.move, mine, before, state, MANY, 20_000)
            for worker, state in zip((database, other) * 8, after, strict=True)
        ),
        return_exceptions=True,
    )

    winners = [state for state, outcome in zip(after, outcomes, strict=True) if outcome is None]
    assert len(winners) == 1
    assert all(isinstance(outcome, EntrepotError) for outcome in outcomes if outcome is not None)
    assert await database.read(uploads.find, mine.id) == winners[0]


async def test_of_many_that_claim_an_upload_one_gets_it(database: Database, other: Database) -> None:
    mine = session()
    state = UploadState(mine.id, 5, ("first",))
    await database.write(uploads.move, mine, None, state, MANY, 20_000)

    claims = await asyncio.gather(*(worker.write(uploads.claim, state) for worker in (database, other) * 8))
    assert sorted(claims) == [False] * 15 + [True]
    assert await database.read(uploads.find, mine.id) is None


async def test_cancelled_upload_is_unknown_and_stays_so(database: Database) -> None:
    mine = session()
    state = UploadState(mine.id, 5, ("first",))
    await database.write(uploads.move, mine, None, state, MANY, 20_000)

    assert await database.write(uploads.cancel, mine) == state
    with pytest.raises(UploadUnknown):
        await database.read(uploads.find, mine.id)
    with pytest.raises(UploadUnknown):
        await database.write(uploads.cancel, mine)
    with pytest.raises(UploadChanged):
        await database.write(uploads.move, mine, state, UploadState(mine.id, 9, ("first",)), MANY, 20_000)
    assert not await database.write(uploads.claim, state)


async def test_upload_without_a_byte_can_be_cancelled(database: Database) -> None:
    mine = session()

    assert await database.write(uploads.cancel, mine) == UploadState(mine.id)
    with pytest.raises(UploadUnknown):
        await database.read(uploads.find, mine.id)


async def test_owner_has_a_limited_number_of_unfinished_uploads(database: Database) -> None:
    sessions = [session("local:greedy") for _ in range(4)]
    for mine in sessions[:3]:
        await database.write(uploads.move, mine, None, UploadState(mine.id, 1, ("p",)), 3, 20_000)

    last = sessions[3]
    arguments = (last, None, UploadState(last.id, 1, ("p",)), 3, 20_000)
    with pytest.raises(TooManyUploads):
        await database.write(uploads.move, *arguments)
    other = session("local:modest")
    await database.write(uploads.move, other, None, UploadState(other.id, 1, ("p",)), 3, 20_000)
    going_on = sessions[0]
    await database.write(
        uploads.move, going_on, UploadState(going_on.id, 1, ("p",)), UploadState(going_on.id, 2, ("p",)), 3, 20_000
    )
    await database.write(uploads.cancel, sessions[1])
    await database.write(uploads.move, *arguments)


async def test_expired_are_those_whose_time_is_over_oldest_first(database: Database) -> None:
    for expires_at_ms in (3_000, 1_000, 2_000, 2**45):
        mine = session()
        state = UploadState(mine.id, expires_at_ms, ("p",))
        await database.write(uploads.move, mine, None, state, MANY, expires_at_ms)

    found = await database.read(uploads.expired, 3_000, 10)
    assert [state.offset for state in found] == [1_000, 2_000]
    assert [state.offset for state in await database.read(uploads.expired, 2**50, 3)] == [1_000, 2_000, 3_000]


async def test_upload_that_went_on_does_not_expire(database: Database) -> None:
    mine = session()
    first, second = UploadState(mine.id, 1, ("p",)), UploadState(mine.id, 2, ("p",))
    await database.write(uploads.move, mine, None, first, MANY, 1_000)
    assert await database.read(uploads.expired, 2_000, 10) == [first]
    await database.write(uploads.move, mine, first, second, MANY, 9_000)

    assert not await database.write(uploads.expire, mine.id, 2_000)
    assert await database.read(uploads.find, mine.id) == second
    assert await database.write(uploads.expire, mine.id, 10_000)
    assert await database.read(uploads.find, mine.id) is None


async def test_known_ids(database: Database) -> None:
    mine = [session() for _ in range(3)]
    for one in mine:
        await database.write(uploads.move, one, None, UploadState(one.id, 1, ("p",)), MANY, 1_000)
    ids = [one.id for one in mine]

    asked = [*ids, *(f"unknown-{number}" for number in range(900)), ""]
    assert await database.read(uploads.known, asked) == set(ids)
    assert await database.read(uploads.known, []) == set()
