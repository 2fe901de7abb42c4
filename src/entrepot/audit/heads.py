"""Signs the chain's end, so that nobody can write the records before it anew without the key."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Row, select

from entrepot.audit import chain
from entrepot.audit.hashing import START, hash_of, link, time_text
from entrepot.audit.signing import sign
from entrepot.audit.tables import audit_heads, audit_records
from entrepot.database.database import Database
from entrepot.database.dialect import execute, insert_or_ignore
from entrepot.errors import Unavailable

CHECKED_RECORDS = 1000
"""Records that are read at a time."""
SEQ_MAX = 2**63 - 1

_INSERT = insert_or_ignore(audit_heads, "seq")


class ChainBroken(Unavailable):
    """The records in the database are not those that were sealed."""


async def sign_end(database: Database, key: Ed25519PrivateKey, now_ms: int) -> bool:
    """Sign the newest record's hash if it moved since the last time; answers whether it did. Raises ChainBroken."""
    seq, hash_ = await database.read(chain.end)
    signed = await sign_until(database, key, seq, now_ms)
    if signed is not None and signed != hash_:
        raise _broken(seq)
    return signed is not None


async def sign_until(database: Database, key: Ed25519PrivateKey, seq: int, now_ms: int) -> str | None:
    """Sign the hash of this record and answer it; None when it is signed already. Raises ChainBroken.

    What comes after the signed record before it is checked first: the key vouches for nothing that was changed since.
    """
    signed = await database.read(last, seq)
    signed_seq, hash_ = (signed.seq, signed.hash) if signed is not None else (0, START)
    if signed_seq == seq:
        return None
    hash_ = await _checked(database, signed_seq, hash_, seq)
    await database.write(add, key, seq, hash_, now_ms)
    return hash_


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


def add(connection: Connection, key: Ed25519PrivateKey, seq: int, hash_: str, now_ms: int) -> None:
    """Sign this record's hash; does nothing if it is signed already."""
    signed = sign(key, _statement(seq, hash_, now_ms))
    values = {"seq": seq, "hash": hash_, "signed_at_ms": now_ms}
    execute(connection, _INSERT, {**values, "key_id": signed["key_id"], "signature": signed["signature"]})


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
        f"the audit log was changed in the database, at record {seq}: no newer record is signed. Export it, compare it "
        "with archived segments and with what was forwarded, and find out who writes to the database"
    )
