"""Short-lived bearer tokens of the Docker protocol (distribution, "Token Authentication Implementation")."""

import secrets
from dataclasses import dataclass
from typing import Any

import jwt

from entrepot.identity.errors import TokenExpired, TokenInvalid
from entrepot.identity.token_keys import LIFETIME_SECONDS_MAX, TokenKey, TokenKeys
from entrepot.principal import SCOPES_MAX, Credential, Principal, Scope

ALGORITHM = "EdDSA"
ISSUER = "entrepot"
AUDIENCE = "entrepot"
LEEWAY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Bearer:
    """A verified token: for whom, and until when (seconds since the epoch)."""

    principal: Principal
    expires_at: int


def issue(key: TokenKey, principal: Principal, scopes: tuple[Scope, ...], now: int, lifetime: int) -> str:
    """A signed token for these scopes. `now` and `lifetime` are in seconds."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": principal.name,
        "provider": principal.provider,
        "uid": principal.user_id,
        "epoch": principal.epoch,
        "credential": {"kind": principal.credential.kind, "id": principal.credential.id},
        "iat": now,
        "nbf": now - LEEWAY_SECONDS,
        "exp": now + lifetime,
        "jti": secrets.token_hex(8),
        "access": [{"type": s.type, "name": s.name, "actions": sorted(s.actions)} for s in scopes],
    }
    return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.kid})


def verify(keys: TokenKeys, token: str, now: int) -> Bearer:
    """Raises TokenInvalid for a token that is not ours, was changed, or is over. `now` is in seconds."""
    try:
        key = keys.find(jwt.get_unverified_header(token)["kid"], now)
        if key is None:
            raise TokenInvalid("the bearer token was signed with a key that is not in use: get a new one")
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
            raise TokenInvalid("the bearer token is good for longer than one can be: get a new one")
        scopes = tuple(_scope(entry) for entry in claims["access"][:SCOPES_MAX])
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
            raise ValueError("a token is for a user or for nobody")
        return Bearer(principal, int(claims["exp"]))
    except jwt.ExpiredSignatureError:
        raise TokenExpired("the bearer token has expired: get a new one") from None
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        raise TokenInvalid("the bearer token is not valid: get a new one") from None


def _scope(entry: dict[str, Any]) -> Scope:
    return Scope(entry["type"], entry["name"], frozenset(entry["actions"]))
