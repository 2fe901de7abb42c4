"""Tokens that are kept: personal ones, those of robots, and refresh tokens of the Docker protocol.

`entrepot_pat_…`, `entrepot_bot_…`, `entrepot_ref_…`: a prefix that secret scanners recognise, the token's id, 190 bits
of secret, and a checksum, so that a scanner (and this program) can tell a token from noise without asking anybody.
Only a hash is kept: the secret is random, so a fast one does.
"""

import hashlib
import hmac
import json
import re
import secrets
import string
import zlib
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, update

from entrepot.database import topics
from entrepot.database.changes import announce
from entrepot.database.statements import Statement
from entrepot.errors import Invalid
from entrepot.identity.errors import TokenUnknown
from entrepot.identity.tables import tokens
from entrepot.identity.users import User
from entrepot.principal import Limit

PERSONAL, ROBOT, REFRESH = "personal", "robot", "refresh"
PREFIX = "entrepot_"
_PREFIXES = {PERSONAL: f"{PREFIX}pat_", ROBOT: f"{PREFIX}bot_", REFRESH: f"{PREFIX}ref_"}
_ALPHABET = string.digits + string.ascii_letters
_ID_CHARACTERS, _SECRET_CHARACTERS, _CHECKSUM_CHARACTERS = 12, 32, 6
_FORM = re.compile(
    rf"{PREFIX}(pat|bot|ref)_([0-9A-Za-z]{{{_ID_CHARACTERS}}})[0-9A-Za-z]{{{_SECRET_CHARACTERS}}}"
    rf"([0-9A-Za-z]{{{_CHECKSUM_CHARACTERS}}})",
    re.ASCII,
)
_SECRET = re.compile(rf"({PREFIX}(?:pat|bot|ref)_[0-9A-Za-z]{{0,{_ID_CHARACTERS}}})[0-9A-Za-z]*", re.ASCII)
TOKENS_OF_USER_MAX = 100
REFRESH_TOKENS_OF_USER_MAX = 200
"""Every `docker login` makes one, and few are ever taken back: the oldest go."""
LIMITS_MAX = 50
NAME_CHARACTERS_MAX = 255
USED_EVERY_MS = 60_000
"""How often the time of a token's last use is written at most."""


@dataclass(frozen=True, slots=True)
class Token:
    """`limits` is None for a token that reaches as far as its owner. Times are milliseconds since the epoch."""

    id: str
    kind: str
    user_id: int
    name: str
    secret_hash: bytes
    limits: tuple[Limit, ...] | None
    created_at_ms: int
    expires_at_ms: int | None
    used_at_ms: int | None
    used_address: str | None
    parent_id: str | None = None
    """The token that this one was got with, and goes with."""

    def expired(self, now_ms: int) -> bool:
        return self.expires_at_ms is not None and self.expires_at_ms <= now_ms


_COLUMNS = (
    tokens.c.id,
    tokens.c.kind,
    tokens.c.user_id,
    tokens.c.name,
    tokens.c.secret_hash,
    tokens.c.limits,
    tokens.c.created_at_ms,
    tokens.c.expires_at_ms,
    tokens.c.used_at_ms,
    tokens.c.used_address,
    tokens.c.parent_id,
)
_BY_ID = Statement(select(*_COLUMNS).where(tokens.c.id == bindparam("token_id")))
_OF_USER = select(*_COLUMNS).where(tokens.c.user_id == bindparam("user_id")).order_by(tokens.c.id)
_PAGE = (
    select(*_COLUMNS)
    .where(tokens.c.user_id == bindparam("user_id"), tokens.c.id > bindparam("after"))
    .order_by(tokens.c.id)
    .limit(bindparam("limit"))
)
_COUNT = select(func.count()).where(tokens.c.user_id == bindparam("user_id"), tokens.c.kind == bindparam("kind"))
_SURPLUS = (
    select(tokens.c.id)
    .where(tokens.c.user_id == bindparam("user_id"), tokens.c.kind == REFRESH)
    .order_by(tokens.c.created_at_ms.desc(), tokens.c.id)
    .limit(100)
    .offset(REFRESH_TOKENS_OF_USER_MAX - 1)
)
_EXPIRED = delete(tokens).where(tokens.c.expires_at_ms < bindparam("before_ms"))


def looks_like_token(text: str) -> bool:
    return text.startswith(PREFIX)


def redacted(text: str) -> str:
    """The text without what is secret, should it be a token or have one in it."""
    return _SECRET.sub(r"\1…", text)


def parse_id(text: str) -> str | None:
    """The id of a token whose form and checksum are right."""
    match = _FORM.fullmatch(text)
    if match is None or match.group(3) != _checksum(text[: -len(match.group(3))]):
        return None
    return match.group(2)


def add(
    connection: Connection,
    kind: str,
    user: User,
    name: str,
    *,
    limits: tuple[Limit, ...] | None,
    expires_at_ms: int | None,
    now_ms: int,
    parent_id: str | None = None,
) -> tuple[Token, str]:
    """A new token, and its text, which is never to be had again. Raises Invalid."""
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise Invalid(f"a token's name must have 1 to {NAME_CHARACTERS_MAX} printable characters")
    if limits is not None and len(limits) > LIMITS_MAX:
        raise Invalid(f"a token can have at most {LIMITS_MAX} limits")
    if expires_at_ms is not None and expires_at_ms <= now_ms:
        raise Invalid("the token's expiry is in the past: choose a later time")
    if kind != REFRESH and _count(connection, user.id, kind) >= TOKENS_OF_USER_MAX:
        raise Invalid(f"{user.name} has {TOKENS_OF_USER_MAX} tokens, which is the limit: revoke some")
    if kind == REFRESH:
        _make_room(connection, user.id)
    token_id = _random(_ID_CHARACTERS)
    text = _PREFIXES[kind] + token_id + _random(_SECRET_CHARACTERS)
    text += _checksum(text)
    token = Token(token_id, kind, user.id, name, _hash(text), limits, now_ms, expires_at_ms, None, None, parent_id)
    values = {
        "id": token.id,
        "kind": kind,
        "user_id": user.id,
        "name": name,
        "secret_hash": token.secret_hash,
        "parent_id": parent_id,
        "limits": None if limits is None else json.dumps([_plain(limit) for limit in limits]),
        "created_at_ms": now_ms,
        "expires_at_ms": expires_at_ms,
        "used_at_ms": None,
        "used_address": None,
    }
    connection.execute(insert(tokens), values)
    return token, text


def find(connection: Connection, token_id: str) -> Token | None:
    row = _BY_ID.one(connection, token_id=token_id)
    return None if row is None else _token(row)


def matches(token: Token, text: str) -> bool:
    return hmac.compare_digest(token.secret_hash, _hash(text))


def of_user(connection: Connection, user_id: int, kind: str | None = None) -> list[Token]:
    found = [_token(row) for row in connection.execute(_OF_USER, {"user_id": user_id})]
    return [token for token in found if kind is None or token.kind == kind]


def page(connection: Connection, user_id: int, *, after: str, limit: int) -> list[Token]:
    """Tokens of all kinds, in the order of their ids, after one."""
    rows = connection.execute(_PAGE, {"user_id": user_id, "after": after, "limit": limit})
    return [_token(tuple(row)) for row in rows]


def require(connection: Connection, user_id: int, token_id: str) -> Token:
    """A token of this user. Raises TokenUnknown."""
    token = find(connection, token_id)
    if token is None or token.user_id != user_id:
        raise TokenUnknown(f"there is no token {token_id[:16]}")
    return token


def rotate(
    connection: Connection, user: User, token: Token, *, overlap_ms: int, expires_at_ms: int | None, now_ms: int
) -> tuple[Token, str]:
    """A token in the place of this one, which ends when the overlap is over. Raises Invalid.

    Tokens that were made with the old one stay and go with the new one from now on; refresh tokens go with the old one.
    """
    made_with_it = (tokens.c.parent_id == token.id) & (tokens.c.kind != REFRESH)
    children = list(connection.execute(select(tokens.c.id).where(made_with_it)).scalars())
    connection.execute(update(tokens).where(made_with_it).values(parent_id=None))
    if overlap_ms > 0:
        expire_at(connection, token, now_ms + overlap_ms)
    else:
        remove(connection, token)
    replacement, text = add(
        connection,
        token.kind,
        user,
        token.name,
        limits=token.limits,
        expires_at_ms=expires_at_ms,
        now_ms=now_ms,
        parent_id=token.parent_id,
    )
    if children:
        connection.execute(update(tokens).where(tokens.c.id.in_(children)).values(parent_id=replacement.id))
        announce(connection, topics.TOKENS)
    return replacement, text


def remove(connection: Connection, token: Token) -> None:
    """Revoke it, and with it the tokens that were got with it."""
    connection.execute(delete(tokens).where(tokens.c.id == token.id))
    announce(connection, topics.TOKENS)


def remove_of_user(connection: Connection, user_id: int, kind: str | None = None) -> None:
    """Revoke all of the user's tokens, or those of one kind."""
    statement = delete(tokens).where(tokens.c.user_id == user_id)
    connection.execute(statement if kind is None else statement.where(tokens.c.kind == kind))
    announce(connection, topics.TOKENS)


def expire_at(connection: Connection, token: Token, expires_at_ms: int) -> None:
    """Let the token end then, if it does not end before."""
    if token.expires_at_ms is None or token.expires_at_ms > expires_at_ms:
        connection.execute(update(tokens).where(tokens.c.id == token.id).values(expires_at_ms=expires_at_ms))
        announce(connection, topics.TOKENS)


def used(connection: Connection, token_id: str, address: str, now_ms: int, expires_at_ms: int | None = None) -> None:
    """Note the token's use; nobody is told, as nothing depends on it. A refresh token lives on by it."""
    values: dict[str, object] = {"used_at_ms": now_ms, "used_address": address[:64]}
    if expires_at_ms is not None:
        values["expires_at_ms"] = expires_at_ms
    connection.execute(update(tokens).where(tokens.c.id == token_id).values(**values))


def expire(connection: Connection, before_ms: int) -> int:
    """Remove tokens that ended before that time; answers how many."""
    return connection.execute(_EXPIRED, {"before_ms": before_ms}).rowcount


def _count(connection: Connection, user_id: int, kind: str) -> int:
    return connection.execute(_COUNT, {"user_id": user_id, "kind": kind}).scalar_one()


def _make_room(connection: Connection, user_id: int) -> None:
    """For one more refresh token."""
    surplus = connection.execute(_SURPLUS, {"user_id": user_id}).scalars().all()
    if surplus:
        connection.execute(delete(tokens).where(tokens.c.id.in_(surplus)))
        announce(connection, topics.TOKENS)


def _token(row: tuple[object, ...] | RowMapping) -> Token:
    token_id, kind, user_id, name, secret_hash, narrowed, created, expires, used_at, used_address, parent_id = row
    limits = None if narrowed is None else tuple(_limit(entry) for entry in json.loads(str(narrowed)))
    return Token(  # type: ignore[call-overload, no-any-return, unused-ignore]
        str(token_id),
        str(kind),
        user_id,  # type: ignore[arg-type]
        str(name),
        bytes(secret_hash),  # type: ignore[call-overload]
        limits,
        created,  # type: ignore[arg-type]
        expires,  # type: ignore[arg-type]
        used_at,  # type: ignore[arg-type]
        used_address,  # type: ignore[arg-type]
        parent_id,  # type: ignore[arg-type]
    )


def _plain(limit: Limit) -> dict[str, object]:
    return {"permissions": sorted(limit.permissions), "kind": limit.kind, "path": limit.path}


def _limit(entry: dict[str, object]) -> Limit:
    permissions = entry["permissions"]
    assert isinstance(permissions, list)
    return Limit(frozenset(permissions), str(entry["kind"]), str(entry["path"]))


def _random(characters: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(characters))


def _checksum(text: str) -> str:
    number, found = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        found = _ALPHABET[digit] + found
    return found


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
