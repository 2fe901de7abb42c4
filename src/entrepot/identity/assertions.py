"""Tokens that an issuer has signed (JWT, RFC 7519), verified as RFC 8725 asks for. The time is the caller's."""

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from jwt import PyJWK, PyJWTError

from entrepot.identity.errors import TokenInvalid
from entrepot.identity.issuers import Issuer
from entrepot.identity.key_sets import ALGORITHMS

CHARACTERS_MAX = 16 * 1024
LEEWAY_SECONDS = 30
"""How far the clocks of an issuer and of this registry may be apart."""
PLAIN_TYPES = frozenset({"", "jwt"})
"""`typ` of ID tokens and of workloads' tokens. Access tokens (at+jwt) and logout tokens prove nobody's identity."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a token says of itself before it is verified."""

    algorithm: str
    key_id: str | None
    type: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an issuer has said, verified. `subject` is empty where the token has none; times are in seconds."""

    issuer: str
    subject: str
    audiences: tuple[str, ...]
    issued_at: int | None
    expires_at: int
    claims: Mapping[str, Any]


async def verify(
    issuer: Issuer,
    token: str,
    audiences: Iterable[str],
    now: int,
    types: frozenset[str] = PLAIN_TYPES,
) -> Assertion:
    """Raises TokenInvalid for a token that is not the issuer's, not for one of the audiences, or not for now.

    Raises ProviderUnavailable when the issuer's keys are not known and cannot be fetched.
    """
    head = read_head(token, types)
    key = await issuer.key(head.key_id, head.algorithm)
    if key is None:
        raise TokenInvalid("the token is signed with a key that its issuer does not have")
    return check(token, key, issuer.url, audiences, now)


def issuer_named_in(token: str) -> str:
    """The issuer that a token claims to be from, before anything is verified; empty when it names none.

    Good for nothing but choosing whose keys to verify it with. Raises TokenInvalid for a token that is none.
    """
    read_head(token, PLAIN_TYPES)
    value = _json_part(token.split(".")[1]).get("iss")
    return value if isinstance(value, str) else ""


def looks_like_one(text: str) -> bool:
    """Whether a password is a JWT: two dots, and a JSON object before the first."""
    return text.startswith("eyJ") and text.count(".") == 2


def read_head(token: str, types: frozenset[str] = PLAIN_TYPES) -> Head:
    """Raises TokenInvalid for a token that is none, or that is of a kind that is never accepted."""
    if len(token) > CHARACTERS_MAX:
        raise TokenInvalid(f"the token is larger than {CHARACTERS_MAX} characters")
    if token.count(".") != 2:
        raise TokenInvalid("the token is not a JWT")
    head = _json_part(token.partition(".")[0])
    algorithm, key_id, kind = head.get("alg"), head.get("kid"), head.get("typ", "")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenInvalid(f"the token is not signed with one of {', '.join(ALGORITHMS)}")
    if "crit" in head or not isinstance(key_id, str | None) or not isinstance(kind, str):
        raise TokenInvalid("the token's header has members that are not valid or not supported")
    kind = kind.lower().removeprefix("application/")
    if kind not in types:
        raise TokenInvalid("the token has the wrong type for this use")
    return Head(algorithm, key_id, kind)


def check(token: str, key: PyJWK, issuer: str, audiences: Iterable[str], now: int) -> Assertion:
    """The verified token; the key's algorithm is the only one that counts. Raises TokenInvalid."""
    try:
        decoded = jwt.api_jws.decode_complete(token, key, algorithms=[key.algorithm_name])
    except (PyJWTError, ValueError, RecursionError):
        raise TokenInvalid("the token's signature is not valid") from None
    claims = _object(decoded["payload"])
    if claims.get("iss") != issuer:
        raise TokenInvalid("the token is from another issuer")
    named = _audiences(claims)
    if not set(named) & set(audiences):
        raise TokenInvalid("the token is for another audience")
    subject = claims.get("sub", "")
    if not isinstance(subject, str):
        raise TokenInvalid("the token's subject is not text")
    expires_at, issued_at = _check_times(claims, now)
    return Assertion(issuer, subject, named, issued_at, expires_at, claims)


def _audiences(claims: Mapping[str, Any]) -> tuple[str, ...]:
    value = claims.get("aud")
    return tuple(item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))


def _check_times(claims: Mapping[str, Any], now: int) -> tuple[int, int | None]:
    """When it expires and when it was issued."""
    expires_at, issued_at, not_before = (_time(claims, name) for name in ("exp", "iat", "nbf"))
    if expires_at is None:
        raise TokenInvalid("the token never expires: get one that does from its issuer")
    if expires_at + LEEWAY_SECONDS <= now:
        raise TokenInvalid("the token has expired: get a new one")
    if not_before is not None and not_before > now + LEEWAY_SECONDS:
        raise TokenInvalid("the token is not valid yet: check the clocks of the issuer and the registry")
    if issued_at is not None and issued_at > now + LEEWAY_SECONDS:
        raise TokenInvalid("the token was issued in the future: check the clocks of the issuer and the registry")
    return expires_at, issued_at


def _time(claims: Mapping[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenInvalid(f"the token's {name} is not a time")
    return int(value)


def _json_part(part: str) -> dict[str, Any]:
    try:
        text = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise TokenInvalid("the token is not a JWT") from None
    return _object(text)


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise TokenInvalid("the token is not a JWT") from None
    if not isinstance(value, dict):
        raise TokenInvalid("the token is not a JWT")
    return value
