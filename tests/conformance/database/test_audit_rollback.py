"""Who writes the database sets the audit log back: nothing in the database tells, and it is noticed nevertheless."""

import logging

import pytest
from sqlalchemy import Connection, delete, update

from entrepot.audit import chain, export, heads
from entrepot.audit.tables import audit_chain, audit_heads, audit_pending, audit_records
from entrepot.audit.verify import Known, Report, verify
from entrepot.audit.witness import ChainBroken, Witness
from entrepot.database.database import Database
from tests.conformance.database.audit_records import WITNESS, leave, record
from tests.conformance.database.content import NOW_MS
from tests.unit.audit.chains import KEY

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("in_own_directory")]

LENGTH, SET_BACK_TO = 40, 25


async def _fill(database: Database, first: int, last: int) -> None:
    await database.write(leave, [record(number) for number in range(first, last + 1)])
    await chain.seal_all(database)


async def _sign(database: Database, now_ms: int = NOW_MS) -> bool:
    return await heads.sign_end(database, WITNESS, now_ms)


def _set_back(connection: Connection) -> None:
    """To the state after SET_BACK_TO, as if nothing had come after it."""
    for table in (audit_records, audit_heads):
        connection.execute(delete(table).where(table.c.seq > SET_BACK_TO))
    connection.execute(delete(audit_pending))
    kept = connection.execute(audit_records.select().where(audit_records.c.seq == SET_BACK_TO)).one()
    connection.execute(update(audit_chain).values(seq=kept.seq, hash=kept.hash))


@pytest.fixture
async def set_back(database: Database) -> Database:
    """A log of LENGTH records, two times signed, that was set back to SET_BACK_TO."""
    await _fill(database, 1, SET_BACK_TO)
    assert await _sign(database)
    await _fill(database, SET_BACK_TO + 1, LENGTH)
    assert await _sign(database)
    await database.write(_set_back)
    return database


async def _verified(database: Database, known: Known | None = None) -> Report:
    content = b"".join([piece async for piece in export.lines(database, WITNESS, export.EVERYTHING, lambda: NOW_MS)])
    return verify(content.splitlines(keepends=True), KEY.public_key(), known)


async def test_log_that_ends_too_early_is_not_signed(set_back: Database) -> None:
    with pytest.raises(ChainBroken, match=f"signed up to record {LENGTH}.*ends with record {SET_BACK_TO}"):
        await _sign(set_back)
    await _fill(set_back, 100, 104)
    with pytest.raises(ChainBroken, match=f"ends with record {SET_BACK_TO + 5}"):
        await _sign(set_back)
    assert list(await set_back.read(heads.within, 1, 1000)) == [SET_BACK_TO]


async def test_log_that_grew_past_what_was_signed_is_not_signed(set_back: Database) -> None:
    await _fill(set_back, 100, 200)

    with pytest.raises(ChainBroken, match="records were replaced"):
        await _sign(set_back)
    assert list(await set_back.read(heads.within, 1, 1000)) == [SET_BACK_TO]


@pytest.mark.parametrize("more", [0, 5, 100])
async def test_export_names_what_is_missing(set_back: Database, more: int) -> None:
    if more:
        await _fill(set_back, 100, 99 + more)
    report = await _verified(set_back)

    assert not report.whole
    messages = " ".join(problem.message for problem in report.problems)
    if more < LENGTH - SET_BACK_TO:
        assert f"to {LENGTH} are missing" in messages
    else:
        assert f"does not match the records up to {LENGTH}" in messages


async def test_another_replica_keeps_what_it_has_seen(set_back: Database) -> None:
    """One that signed nothing itself, or less, knows the newest head that was in the database."""
    other = Witness(WITNESS.path.with_name("other.head"), KEY)
    await heads.keep_newest(set_back, other)
    assert (other.read() or {})["seq"] == SET_BACK_TO
    with pytest.raises(ChainBroken):
        await heads.keep_newest(set_back, WITNESS)
    assert (WITNESS.read() or {})["seq"] == LENGTH


async def test_head_that_somebody_else_signed_is_not_kept(database: Database) -> None:
    await _fill(database, 1, 3)
    await _sign(database)
    await database.write(lambda connection: connection.execute(update(audit_heads).values(hash="0" * 64)) and None)
    fresh = Witness(WITNESS.path.with_name("fresh.head"), KEY)

    with pytest.raises(ChainBroken):
        await heads.keep_newest(database, fresh)
    assert fresh.read() is None


async def test_signing_goes_on_after_somebody_accepted_it(set_back: Database) -> None:
    assert await heads.accept(set_back, WITNESS) == SET_BACK_TO
    await _fill(set_back, 100, 104)

    assert await _sign(set_back)
    assert (await _verified(set_back)).whole
    assert (WITNESS.read() or {})["seq"] == SET_BACK_TO + 5


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"seq":3,"hash":"%s"}' % ("0" * 64)])
async def test_file_that_was_tampered_with_stops_signing(database: Database, text: str) -> None:
    await _fill(database, 1, 3)
    await _sign(database)
    WITNESS.path.write_text(text)
    await _fill(database, 4, 5)

    with pytest.raises(ChainBroken, match="cannot be used"):
        await _sign(database)


async def test_what_was_signed_is_in_the_process_log(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    await _fill(database, 1, 3)
    with caplog.at_level(logging.INFO):
        await _sign(database)
    seq, hash_ = await database.read(chain.end)

    assert f"signed up to record {seq}, whose hash is {hash_}" in caplog.text


async def test_place_that_cannot_be_written_does_not_stop_signing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys may be mounted read-only."""
    await _fill(database, 1, 3)
    nowhere = Witness(WITNESS.path.absolute() / "no" / "such" / "directory" / "audit.head", KEY)

    assert await heads.sign_end(database, nowhere, NOW_MS)
    assert "could not be saved" in caplog.text


@pytest.mark.parametrize("seq", [10, SET_BACK_TO, LENGTH])
async def test_what_somebody_kept_is_compared(database: Database, seq: int) -> None:
    await _fill(database, 1, LENGTH)
    whole = await _verified(database)
    hashes: dict[int, str] = {}

    def look(connection: Connection) -> None:
        hashes.update({row.seq: row.hash for row in connection.execute(audit_records.select())})

    await database.read(look)
    assert whole.whole
    assert (await _verified(database, Known(seq, hashes[seq], "what I kept"))).whole
    other = await _verified(database, Known(seq, "0" * 64, "what I kept"))
    assert [problem.message for problem in other.problems] == [
        f"what I kept had another hash for record {seq}: the log up to there was replaced"
    ]
