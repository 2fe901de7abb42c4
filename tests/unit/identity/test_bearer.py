"""Bearer tokens: what is issued is verified, and nothing else is."""

import base64
import itertools
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from entrepot.access.credentials import within_scopes
from entrepot.access.permissions import REPOSITORY_PERMISSIONS, Permission
from entrepot.identity.bearer import ALGORITHM, AUDIENCE, ISSUER, Bearer, issue, verify
from entrepot.identity.errors import TokenInvalid
from entrepot.identity.token_keys import TokenKeys
from entrepot.principal import SCOPES_MAX, Credential, Principal, Scope

LIFETIME_SECONDS = 3600
ADMIN = Principal("local", "admin", user_id=7, epoch=3)
SCOPES = (
    Scope("repository", "team/image", frozenset({"pull", "push"})),
    Scope("registry", "catalog", frozenset({"*"})),
)
ACTIONS = [frozenset(some) for size in (1, 2, 3) for some in itertools.combinations(["delete", "pull", "push"], size)]


def now() -> int:
    """The library that verifies looks at the real clock."""
    return int(time.time())


@pytest.fixture
def keys(tmp_path: Path) -> TokenKeys:
    return TokenKeys(tmp_path)


def check(keys: TokenKeys, token: str) -> Bearer:
    return verify(keys, token, now())


def sign(keys: TokenKeys, content: dict[str, Any], **header: object) -> str:
    """As the registry does, but for what the header is to have else."""
    key = keys.newest()
    return jwt.encode(content, key.private, ALGORITHM, headers={"kid": key.kid, **header})


def claims(**changes: object) -> dict[str, Any]:
    valid: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "admin",
        "provider": "local",
        "uid": 7,
        "epoch": 3,
        "iat": now(),
        "nbf": now() - 5,
        "exp": now() + LIFETIME_SECONDS,
        "jti": "1",
        "credential": {"kind": "password", "id": ""},
        "access": [],
    }
    return {name: value for name, value in {**valid, **changes}.items() if value is not ...}


def test_token_when_issued_is_verified(keys: TokenKeys) -> None:
    issued_at = now()

    bearer = check(keys, issue(keys.newest(), ADMIN, SCOPES, issued_at, LIFETIME_SECONDS))

    assert bearer.principal == replace(ADMIN, scopes=SCOPES)
    assert bearer.expires_at == issued_at + LIFETIME_SECONDS


def test_token_without_scopes_has_none_instead_of_all(keys: TokenKeys) -> None:
    bearer = check(keys, issue(keys.newest(), ADMIN, (), now(), LIFETIME_SECONDS))

    assert bearer.principal.scopes == ()


def test_token_of_nobody_is_anonymous(keys: TokenKeys) -> None:
    bearer = check(keys, issue(keys.newest(), Principal("", ""), (), now(), LIFETIME_SECONDS))

    assert bearer.principal.is_anonymous


def test_token_with_as_many_scopes_as_there_may_be_fits_into_a_header(keys: TokenKeys) -> None:
    """Proxies take 8 KiB, however long the names are and whatever is allowed in each repository."""
    wanted = {f"{n:04d}".ljust(255, "a"): ACTIONS[n % len(ACTIONS)] for n in range(SCOPES_MAX - 1)}
    scopes = tuple(Scope("repository", name, actions) for name, actions in wanted.items())
    longest = replace(ADMIN, provider="a" * 64, name="語" * 255, credential=Credential("token", "c" * 32))
    token = issue(keys.newest(), longest, (*scopes, SCOPES[1]), now(), LIFETIME_SECONDS)

    assert len(f"Authorization: Bearer {token}\r\n") <= 8 * 1024
    principal = check(keys, token).principal
    for name, actions in wanted.items():
        for permission in REPOSITORY_PERMISSIONS:
            assert within_scopes(principal, permission, name) == (permission.action in actions)
    for number in range(1000):
        assert not any(within_scopes(principal, permission, f"other/{number}") for permission in REPOSITORY_PERMISSIONS)
    assert within_scopes(principal, Permission.REGISTRY_CATALOG, None)


def test_fingerprints_of_a_repository_differ_from_token_to_token(keys: TokenKeys) -> None:
    """Nobody who sees a token can look for a name that it holds for by chance, as they could without a secret."""
    scopes = tuple(Scope("repository", f"{n:04d}".ljust(255, "a"), frozenset({"pull"})) for n in range(100))
    first, second = (issue(keys.newest(), ADMIN, scopes, now(), LIFETIME_SECONDS) for _ in range(2))

    def known(token: str) -> object:
        return jwt.decode(token, options={"verify_signature": False})["repositories"]["pull"]

    assert len(known(first)) == len(known(second))
    assert known(first) != known(second)


def test_tokens_issued_at_once_are_different(keys: TokenKeys) -> None:
    issued_at = now()

    assert len({issue(keys.newest(), ADMIN, SCOPES, issued_at, LIFETIME_SECONDS) for _ in range(10)}) == 10


def test_token_that_is_over_is_refused(keys: TokenKeys) -> None:
    with pytest.raises(TokenInvalid, match="expired"):
        check(keys, issue(keys.newest(), ADMIN, SCOPES, now() - 2 * LIFETIME_SECONDS, LIFETIME_SECONDS))


def test_token_of_the_future_is_refused(keys: TokenKeys) -> None:
    with pytest.raises(TokenInvalid, match="not valid"):
        check(keys, issue(keys.newest(), ADMIN, SCOPES, now() + LIFETIME_SECONDS, LIFETIME_SECONDS))


def test_token_of_another_registry_is_refused(keys: TokenKeys, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = TokenKeys(tmp_path / "other").newest()

    with pytest.raises(TokenInvalid):
        check(keys, issue(other, ADMIN, SCOPES, now(), LIFETIME_SECONDS))


def test_token_made_by_hand_is_verified(keys: TokenKeys) -> None:
    assert check(keys, sign(keys, claims())).principal == replace(ADMIN, scopes=(), credential=Credential("password"))


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "provider", "nbf", "exp", "jti", "access"])
def test_token_without_a_claim_is_refused(keys: TokenKeys, claim: str) -> None:
    with pytest.raises(TokenInvalid):
        check(keys, sign(keys, claims(**{claim: ...})))


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
        {"repositories": 5},
        {"repositories": ["pull"]},
        {"repositories": {"pull": 5}},
        {"repositories": {"pull": "\u00e9"}},
        {"repositories": {"pull": " "}},
    ],
    ids=str,
)
def test_token_with_a_wrong_claim_is_refused(keys: TokenKeys, changes: dict[str, object]) -> None:
    key = keys.newest()
    # PyJWT would not write some of these; a JWS may have anything in it.
    token = jwt.api_jws.encode(json.dumps(claims(**changes)).encode(), key.private, ALGORITHM, headers={"kid": key.kid})

    with pytest.raises(TokenInvalid):
        check(keys, token)


def test_token_that_is_good_for_longer_than_one_can_be_is_refused(keys: TokenKeys) -> None:
    """Whoever has an old key cannot make one that outlives it."""
    with pytest.raises(TokenInvalid, match="longer"):
        check(keys, sign(keys, claims(exp=now() + 100_000)))


@pytest.mark.parametrize("kid", ["", "another", "../token.pem", "x" * 10_000, "é", "\x00"])
def test_token_with_a_key_id_that_is_none_of_ours_is_refused(keys: TokenKeys, kid: str) -> None:
    with pytest.raises(TokenInvalid):
        check(keys, sign(keys, claims(), kid=kid))


@pytest.mark.parametrize("kid", [None, 5, [], {}, ["a"]])
def test_token_whose_key_id_is_no_text_is_refused(keys: TokenKeys, kid: object) -> None:
    head = base64.urlsafe_b64encode(json.dumps({"alg": ALGORITHM, "kid": kid}).encode()).rstrip(b"=").decode()
    _, _, rest = sign(keys, claims()).partition(".")

    with pytest.raises(TokenInvalid):
        check(keys, f"{head}.{rest}")


def test_token_that_brings_its_own_key_is_refused(keys: TokenKeys) -> None:
    """What a header says about keys beside the id is not looked at."""
    own = Ed25519PrivateKey.generate()
    public = own.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(public).rstrip(b"=").decode()}

    for header in ({"kid": keys.newest().kid, "jwk": jwk}, {"kid": "own", "jwk": jwk, "jku": "http://127.0.0.1/keys"}):
        with pytest.raises(TokenInvalid):
            check(keys, jwt.encode(claims(), own, ALGORITHM, headers=header))


def test_token_without_a_signature_is_refused(keys: TokenKeys) -> None:
    head = (
        base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT", "kid": keys.newest().kid}).encode())
        .rstrip(b"=")
        .decode()
    )
    token = issue(keys.newest(), ADMIN, SCOPES, now(), LIFETIME_SECONDS)

    for forged in (f"{head}.{token.split('.')[1]}.", token.rpartition(".")[0] + "."):
        with pytest.raises(TokenInvalid):
            check(keys, forged)


def test_token_signed_with_the_public_key_as_a_secret_is_refused(keys: TokenKeys) -> None:
    public = keys.newest().private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    with pytest.raises(TokenInvalid):
        check(keys, jwt.encode(claims(), public, "HS256", headers={"kid": keys.newest().kid}))


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é", "\x00", "e30.e30.e30", "x" * 10_000])
def test_token_that_is_none_is_refused(keys: TokenKeys, token: str) -> None:
    with pytest.raises(TokenInvalid):
        check(keys, token)
