"""How records become a chain. Pure, so that a file can be verified without a database.

    text        the record, with a random `salt`, as canonical JSON: keys sorted, no spaces, UTF-8
    record_hash SHA-256 of the text
    hash        SHA-256 of: the previous record's hash, the record_hash, the seq in decimal digits, one after another

Hashes are 64 lower-case hexadecimal characters, also where they are hashed; before the first record (seq 1) is START.
"""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import orjson

START = "0" * 64
FORMAT = "entrepot-audit/1"
"""Of exported files; another one is chained, signed or written in another way."""


def canonical(value: Any) -> bytes:
    """The one JSON text of a value."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def hash_of(text: bytes) -> str:
    return sha256(text).hexdigest()


def link(previous: str, record_hash: str, seq: int) -> str:
    """The hash of the record with this number."""
    return sha256(f"{previous}{record_hash}{seq}".encode()).hexdigest()


def time_text(at_ms: int) -> str:
    """RFC 3339, UTC, with milliseconds."""
    seconds, milliseconds = divmod(at_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def time_ms(text: str) -> int:
    """Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return round(moment.timestamp() * 1000)
