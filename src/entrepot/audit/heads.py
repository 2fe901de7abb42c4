"""Signs the chain's end, so that nobody can write the records before it anew without the key.

What was signed last is kept outside of the database, too (`witness.py`), and nothing that lacks it is signed.
"""

from typing import Any

from sqlalchemy import Connection, Row, select

from entrepot.audit import chain
from entrepot.audit.hashing import START, hash_of, link, time_text
from entrepot.audit.signing import is_signed, sign
from entrepot.audit.tables import audit_heads, audit_records
from entrepot.audit.witness import ACCEPT, ChainBroken, Witness
from entrepot.database.database import Database
from entrepot.database.dialect import execute, insert_or_ignore

CHECKED_RECORDS = 1000
"""Records that are read at a time."""
SEQ_MAX = 2**63 - 1

_INSERT = insert_or_ignore(audit_heads, "seq")


async def sign_end(database: Database, witness: Witness, now_ms: int) -> bool:
    """Sign the newest record's hash if it moved since the last time; answers whether it did. Raises ChainBroken."""
    seq, hash_ = await database.read(chain.end)
    signed = await sign_until(database, witness, seq, now_ms)
    if signed is not None and signed != hash_:
        raise _broken(seq)
    return signed is not None


async def sign_until(database: Database, witness: Witness, seq: int, now_ms: int) -> str | None:
    """Sign the hash of this record and answer it; None when it is signed already. Raises ChainBroken.

    What comes after the signed record before it is checked first: the key vouches for nothing that was changed since.
    """
    await check_end(database, witness)
    signed = await database.read(last, seq)
    signed_seq, hash_ = (signed.seq, signed.hash) if signed is not None else (0, START)
    if signed_seq == seq:
        return None
    hash_ = await _checked(database, signed_seq, hash_, seq)
    head = sign(witness.key, _statement(seq, hash_, now_ms))
    await database.write(_add, head, now_ms)
    witness.keep(head)
    return hash_


async def keep_newest(database: Database, witness: Witness) -> None:
    """Keep the newest head here, too, if another replica signed it. Raises ChainBroken."""
    await check_end(database, witness)
    newest = await database.look_up(last)
    kept = witness.read()
    if newest is not None and (kept is None or kept["seq"] < newest.seq):
        head = statement_of(newest)
        if not is_signed(witness.key.public_key(), head):
            raise _broken(newest.seq)
        witness.keep(head)


async def check_end(database: Database, witness: Witness) -> None:
    """Raises ChainBroken when the database lacks what was signed, or has another record in its place."""
    kept = witness.read()
    if kept is None:
        return
    sealed, hash_ = await database.look_up(_sealed_and_signed, kept["seq"])
    if sealed < kept["seq"] or hash_ != kept["hash"]:
        raise ChainBroken(
            f"the audit log in the database differs from the one that was signed up to record {kept['seq']} at "
            f"{kept['time']}: it ends with record {sealed}, or records were replaced. Nothing newer is signed. If an "
            f"older backup was restored on purpose, run {ACCEPT}; if not, find out who writes to the database"
        )


async def accept(database: Database, witness: Witness) -> int:
    """Let the database's log be the one that is signed on; returns up to which record that is signed."""
    newest = await database.read(last)
    if newest is None:
        witness.path.unlink(missing_ok=True)
        return 0
    witness.replace(statement_of(newest))
    return int(newest.seq)


def last(connection: Connection, until: int = SEQ_MAX) -> Row[Any] | None:
    """The newest signed head up to this record: seq, hash, signed_at_ms, key_id, signature."""
    signed = select(audit_heads).where(audit_heads.c.seq <= until)
    return connection.execute(signed.order_by(audit_heads.c.seq.desc()).limit(1)).one_or_none()


def within(connection: Connection, first: int, last_seq: int) -> dict[int, dict[str, Any]]:
    """The signed heads of these records, as statements, by seq."""
    rows = connection.execute(select(audit_heads).where(audit_heads.c.seq.between(first, last_seq)))
    return {row.seq: statement_of(row) for row in rows}


def statement_of(head: Row[Any]) -> dict[str, Any]:
    """A row, as it was signed."""
    signature = {"key_id": head.key_id, "signature": head.signature}
    return {**_statement(head.seq, head.hash, head.signed_at_ms), **signature}


def _add(connection: Connection, head: dict[str, Any], now_ms: int) -> None:
    """Does nothing if the record is signed already."""
    values = {name: head[name] for name in ("seq", "hash", "key_id", "signature")}
    execute(connection, _INSERT, {**values, "signed_at_ms": now_ms})


def _sealed_and_signed(connection: Connection, seq: int) -> tuple[int, str | None]:
    """Where the chain ends, and the hash that was signed for this record."""
    signed = select(audit_heads.c.hash).where(audit_heads.c.seq == seq)
    return chain.end(connection)[0], connection.execute(signed).scalar()


def _statement(seq: int, hash_: str, at_ms: int) -> dict[str, Any]:
    return {"type": "head", "seq": seq, "hash": hash_, "time": time_text(at_ms)}


async def _checked(database: Database, seq: int, hash_: str, last_seq: int) -> str:
    """The hash of the last record, computed from this one's."""
    while seq < last_seq:
        rows = await database.read(_records, seq, min(last_seq, seq + CHECKED_RECORDS))
        if not rows:
            raise _broken(seq + 1)
        for row in rows:
            seq += 1
            hash_ = link(hash_, hash_of(row.record.encode()), seq)
            if (row.seq, row.hash) != (seq, hash_):
                raise _broken(seq)
    return hash_


def _records(connection: Connection, after: int, last_seq: int) -> list[Row[Any]]:
    columns = (audit_records.c.seq, audit_records.c.record, audit_records.c.hash)
    within_range = audit_records.c.seq.between(after + 1, last_seq)
    return list(connection.execute(select(*columns).where(within_range).order_by(audit_records.c.seq)))


def _broken(seq: int) -> ChainBroken:
    return ChainBroken(
        f"the audit log was changed in the database at record {seq}: no newer record is signed. Export it, compare it "
        "with archived segments and with what was forwarded, and find out who writes to the database"
    )
