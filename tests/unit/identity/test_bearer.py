"""Bearer tokens: what is issued is verified, and nothing else is."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from entrepot.identity.bearer import ALGORITHM, AUDIENCE, ISSUER, issue, verify
from entrepot.identity.errors import TokenInvalid
from entrepot.principal import SCOPES_MAX, Credential, Principal, Scope

KEY = Ed25519PrivateKey.generate()
LIFETIME_SECONDS = 3600
ADMIN = Principal("local", "admin")
SCOPES = (
    Scope("repository", "team/image", frozenset({"pull", "push"})),
    Scope("registry", "catalog", frozenset({"*"})),
)


def now() -> int:
    """The library that verifies looks at the real clock."""
    return int(time.time())


def claims(**changes: object) -> dict[str, Any]:
    valid: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "admin",
        "provider": "local",
        "nbf": now() - 5,
        "exp": now() + LIFETIME_SECONDS,
        "jti": "1",
        "credential": {"kind": "password", "id": ""},
        "access": [],
    }
    return {name: value for name, value in {**valid, **changes}.items() if value is not ...}


def test_token_when_issued_is_verified() -> None:
    issued_at = now()

    bearer = verify(KEY, issue(KEY, ADMIN, SCOPES, issued_at, LIFETIME_SECONDS))

    assert bearer.principal == Principal("local", "admin", SCOPES)
    assert bearer.expires_at == issued_at + LIFETIME_SECONDS


def test_token_without_scopes_has_none_instead_of_all() -> None:
    bearer = verify(KEY, issue(KEY, ADMIN, (), now(), LIFETIME_SECONDS))

    assert bearer.principal.scopes == ()


def test_token_of_nobody_is_anonymous() -> None:
    bearer = verify(KEY, issue(KEY, Principal("", ""), (), now(), LIFETIME_SECONDS))

    assert bearer.principal.is_anonymous


def test_token_with_as_many_scopes_as_there_may_be_is_verified_whole() -> None:
    scopes = tuple(Scope("repository", f"a{n}", frozenset({"pull"})) for n in range(SCOPES_MAX))

    assert verify(KEY, issue(KEY, ADMIN, scopes, now(), LIFETIME_SECONDS)).principal.scopes == scopes


def test_tokens_issued_at_once_are_different() -> None:
    issued_at = now()

    assert len({issue(KEY, ADMIN, SCOPES, issued_at, LIFETIME_SECONDS) for _ in range(10)}) == 10


def test_token_that_is_over_is_refused() -> None:
    with pytest.raises(TokenInvalid, match="expired"):
        verify(KEY, issue(KEY, ADMIN, SCOPES, now() - 2 * LIFETIME_SECONDS, LIFETIME_SECONDS))


def test_token_of_the_future_is_refused() -> None:
    with pytest.raises(TokenInvalid, match="not valid"):
        verify(KEY, issue(KEY, ADMIN, SCOPES, now() + LIFETIME_SECONDS, LIFETIME_SECONDS))


def test_token_of_another_registry_is_refused() -> None:
    with pytest.raises(TokenInvalid):
        verify(KEY, issue(Ed25519PrivateKey.generate(), ADMIN, SCOPES, now(), LIFETIME_SECONDS))


def test_token_made_by_hand_is_verified() -> None:
    assert verify(KEY, jwt.encode(claims(), KEY, ALGORITHM)).principal == Principal(
        "local", "admin", (), Credential("password")
    )


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "provider", "nbf", "exp", "jti", "access"])
def test_token_without_a_claim_is_refused(claim: str) -> None:
    with pytest.raises(TokenInvalid):
        verify(KEY, jwt.encode(claims(**{claim: ...}), KEY, ALGORITHM))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "another"},
        {"aud": "another"},
        {"exp": "never"},
        {"exp": None},
        {"sub": 5},
        {"access": None},
        {"access": 5},
        {"access": "pull"},
        {"access": {"0": 1}},
        {"access": [None]},
        {"access": [{}]},
        {"access": [{"type": "repository", "name": "a"}]},
        {"access": [{"type": "repository", "name": "a", "actions": 5}]},
    ],
    ids=str,
)
def test_token_with_a_wrong_claim_is_refused(changes: dict[str, object]) -> None:
    # PyJWT would not write some of these; a JWS may have anything in it.
    token = jwt.api_jws.encode(json.dumps(claims(**changes)).encode(), KEY, ALGORITHM)

    with pytest.raises(TokenInvalid):
        verify(KEY, token)


def test_token_without_a_signature_is_refused() -> None:
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    token = issue(KEY, ADMIN, SCOPES, now(), LIFETIME_SECONDS)

    for forged in (f"{head}.{token.split('.')[1]}.", token.rpartition(".")[0] + "."):
        with pytest.raises(TokenInvalid):
            verify(KEY, forged)


def test_token_signed_with_the_public_key_as_a_secret_is_refused() -> None:
    public = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    with pytest.raises(TokenInvalid):
        verify(KEY, jwt.encode(claims(), public, "HS256"))


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é", "\x00", "e30.e30.e30", "x" * 10_000])
def test_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(TokenInvalid):
        verify(KEY, token)
