"""Short-lived bearer tokens of the Docker protocol (distribution, "Token Authentication Implementation")."""

import secrets
from base64 import b85decode, b85encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from entrepot.identity.errors import TokenExpired, TokenInvalid
from entrepot.identity.token_keys import LIFETIME_SECONDS_MAX, TokenKey, TokenKeys
from entrepot.principal import FINGERPRINT_BYTES, SCOPES_MAX, Credential, Fingerprints, Principal, Scope, fingerprint

ALGORITHM = "EdDSA"
ISSUER = "entrepot"
AUDIENCE = "entrepot"
LEEWAY_SECONDS = 5
NAME_CHARACTERS_MAX = 64
"""How much of the user's name is in a token, for whoever looks into one: the number says whose it is."""
ACCESS_BYTES_MAX = 4096
"""How long the list of what a token is for may be. Instead of a longer one it has fingerprints, which are never longer
than 5,000: proxies take 8 KiB for a header (decision 0024)."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """A verified token: for whom, and until when (seconds since the epoch)."""

    principal: Principal
    expires_at: int


def issue(key: TokenKey, principal: Principal, scopes: tuple[Scope, ...], now: int, lifetime: int) -> str:
    """A signed token for these scopes. `now` and `lifetime` are in seconds."""
    token_id = secrets.token_hex(8)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": principal.name[:NAME_CHARACTERS_MAX],
        "provider": principal.provider,
        "uid": principal.user_id,
        "epoch": principal.epoch,
        "credential": {"kind": principal.credential.kind, "id": principal.credential.id},
        "iat": now,
        "nbf": now - LEEWAY_SECONDS,
        "exp": now + lifetime,
        "jti": token_id,
        "access": _access(scopes),
    }
    if len(orjson.dumps(claims["access"])) > ACCESS_BYTES_MAX:
        claims["access"] = _access(scope for scope in scopes if scope.type != "repository")
        claims["repositories"] = _fingerprints(_fingerprint_key(key.private, token_id), scopes)
    return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.kid})


def verify(keys: TokenKeys, token: str, now: int) -> Bearer:
    """Raises TokenInvalid for a token that is not ours, was changed, or is over. `now` is in seconds."""
    try:
        key = keys.find(jwt.get_unverified_header(token)["kid"], now)
        if key is None:
            raise TokenInvalid("the bearer token was signed with a key that is no longer in use: get a new one")
        claims = jwt.decode(
            token,
            key.private.public_key(),
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"require": ["exp", "iat", "nbf", "sub", "jti"]},
            leeway=LEEWAY_SECONDS,
        )
        if claims["exp"] > now + LIFETIME_SECONDS_MAX + LEEWAY_SECONDS:
            raise TokenInvalid("the bearer token's lifetime is longer than allowed: get a new one")
        scopes: tuple[Scope | Fingerprints, ...] = (
            *(_scope(entry) for entry in claims["access"][:SCOPES_MAX]),
            *_by_fingerprint(_fingerprint_key(key.private, claims["jti"]), claims.get("repositories", {})),
        )
        credential = Credential(str(claims["credential"]["kind"]), str(claims["credential"]["id"]))
        user_id = None if claims["uid"] is None else int(claims["uid"])
        principal = Principal(
            str(claims["provider"]),
            str(claims["sub"]),
            scopes,
            credential,
            user_id=user_id,
            epoch=int(claims["epoch"]),
        )
        if principal.is_anonymous != (user_id is None):
            raise ValueError("a token must be for a user or for nobody")
        return Bearer(principal, int(claims["exp"]))
    except jwt.ExpiredSignatureError:
        raise TokenExpired("the bearer token has expired: get a new one") from None
    except (jwt.PyJWTError, AttributeError, KeyError, TypeError, ValueError):
        raise TokenInvalid("the bearer token is not valid: get a new one") from None


def _access(scopes: Iterable[Scope]) -> list[dict[str, object]]:
    return [{"type": s.type, "name": s.name, "actions": sorted(s.actions)} for s in scopes]


def _fingerprints(key: bytes, scopes: Iterable[Scope]) -> dict[str, str]:
    """Those of the repositories, by what is allowed there: `pull,push`."""
    found: dict[str, set[bytes]] = {}
    for scope in scopes:
        if scope.type == "repository":
            found.setdefault(",".join(sorted(scope.actions)), set()).add(fingerprint(key, scope.name))
    return {actions: b85encode(b"".join(sorted(known))).decode() for actions, known in found.items()}


def _by_fingerprint(key: bytes, repositories: dict[str, str]) -> Iterator[Fingerprints]:
    """What `_fingerprints` wrote."""
    for actions, text in repositories.items():
        known = b85decode(text)
        pieces = (known[at : at + FINGERPRINT_BYTES] for at in range(0, len(known), FINGERPRINT_BYTES))
        yield Fingerprints(frozenset(actions.split(",")), frozenset(pieces), key)


def _fingerprint_key(private: Ed25519PrivateKey, token_id: str) -> bytes:
    """Another one for each token, which only the registry can tell."""
    return blake2b(token_id.encode(), digest_size=32, key=private.private_bytes_raw(), person=b"fingerprints").digest()


def _scope(entry: dict[str, Any]) -> Scope:
    return Scope(entry["type"], entry["name"], frozenset(entry["actions"]))
