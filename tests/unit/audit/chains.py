"""Exports of small chains, made without a database."""

from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from entrepot.audit.export import Range, Writer
from entrepot.audit.hashing import START, canonical, hash_of, link, time_text
from entrepot.audit.query import Filter, Found
from entrepot.audit.signing import sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NOW_MS = 1_700_000_000_123


def record(number: int, **changes: Any) -> dict[str, Any]:
    made = {
        "time": time_text(NOW_MS + number),
        "actor": "local:alice" if number % 2 else "ldap:bob",
        "address": "192.0.2.7",
        "user_agent": "docker/27.1 \u00fc",
        "request_id": f"{number:032x}",
        "action": "manifest:push",
        "resource": f"repository:team/app{number % 3}",
        "digest": f"sha256:{number:064x}",
        "outcome": "done",
        "detail": {"size": number, "tags": ["v1"]},
    }
    return {**made, **changes}


def chained(records: Iterable[dict[str, Any]], first: int = 1, previous: str = START) -> list[Found]:
    found = []
    for seq, each in enumerate(records, start=first):
        text = canonical(each)
        previous = link(previous, hash_of(text), seq)
        found.append(Found(seq, previous, text.decode()))
    return found


def exported(
    found: list[Found],
    *,
    previous: str = START,
    hidden: Iterable[int] = (),
    heads: Iterable[int] = (),
    key: Ed25519PrivateKey = KEY,
) -> list[bytes]:
    """The lines of an export of these records."""
    first = found[0].seq if found else 1
    hidden = set(hidden)
    wanted = Filter(actor="local:alice") if hidden else Filter()
    writer = Writer(key, Range(first, first + len(found) - 1, previous), wanted)
    shown = frozenset(each.seq for each in found) - hidden
    signed = {each.seq: head(each, key) for each in found if each.seq in set(heads)}
    text = writer.header() + writer.records(found, shown, signed) + writer.closing(NOW_MS)
    return text.splitlines(keepends=True)


def head(of: Found, key: Ed25519PrivateKey = KEY) -> dict[str, Any]:
    return sign(key, {"type": "head", "seq": of.seq, "hash": of.hash, "time": time_text(NOW_MS)})
