"""Tokens of issuers: which are taken, and what is said of the others."""

import base64
import hashlib
import hmac
import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from entrepot.identity import key_sets
from entrepot.identity.assertions import CHARACTERS_MAX, LEEWAY_SECONDS, Assertion, check, issuer_named_in, read_head
from entrepot.identity.errors import TokenInvalid
from entrepot.identity.key_sets import ALGORITHMS, KeySet, KeySetInvalid
from tests.peers.oidc_provider import Key, new_keys

ISSUER, AUDIENCE, NOW = "https://issuer.example", "registry", 1_800_000_000
RSA, EC, ED = new_keys()


def key_set(*keys: Key) -> KeySet:
    return key_sets.parse(json.dumps({"keys": [key.public for key in keys]}))


KEYS = key_set(RSA, EC, ED)


def claims(**changes: object) -> dict[str, object]:
    valid: dict[str, object] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "iat": NOW - 10, "exp": NOW + 60}
    return {name: value for name, value in {**valid, **changes}.items() if value is not ...}


def verify(token: str, keys: KeySet = KEYS) -> Assertion:
    """As `assertions.verify`, with keys that are there already."""
    head = read_head(token)
    key = keys.find(head.key_id, head.algorithm)
    if key is None:
        raise TokenInvalid("no key")
    return check(token, key, ISSUER, [AUDIENCE], NOW)


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=lambda key: key.private["kid"])
def test_token_of_the_issuer_is_taken(key: Key) -> None:
    assertion = verify(key.sign(claims(repository="acme/app")))

    assert assertion.subject == "somebody"
    assert assertion.audiences == (AUDIENCE,)
    assert (assertion.issued_at, assertion.expires_at) == (NOW - 10, NOW + 60)
    assert assertion.claims["repository"] == "acme/app"


def test_token_for_several_audiences_is_for_each() -> None:
    assert verify(RSA.sign(claims(aud=["x", AUDIENCE]))).audiences == ("x", AUDIENCE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exp": NOW - LEEWAY_SECONDS}, "expired"),
        ({"exp": ...}, "never expires"),
        ({"exp": "tomorrow"}, "not a time"),
        ({"exp": True}, "not a time"),
        ({"exp": float("inf")}, "not a time"),
        ({"nbf": NOW + LEEWAY_SECONDS + 1}, "not valid yet"),
        ({"iat": NOW + LEEWAY_SECONDS + 1}, "in the future"),
        ({"iss": "https://issuer.example/"}, "another issuer"),
        ({"iss": ...}, "another issuer"),
        ({"iss": [ISSUER]}, "another issuer"),
        ({"aud": "registry2"}, "another audience"),
        ({"aud": ...}, "another audience"),
        ({"aud": []}, "another audience"),
        ({"aud": {"registry": 1}}, "another audience"),
        ({"aud": [[AUDIENCE]]}, "another audience"),
        ({"sub": 5}, "subject"),
    ],
    ids=str,
)
def test_token_with_a_wrong_claim_is_refused_with_the_reason(changes: dict[str, object], message: str) -> None:
    # PyJWT would not write some of these; a JWS may have anything in it.
    signing = jwt.PyJWK(RSA.private, "RS256").key
    token = jwt.api_jws.encode(json.dumps(claims(**changes)).encode(), signing, "RS256", {"kid": "rsa"})

    with pytest.raises(TokenInvalid, match=message):
        verify(token)


@pytest.mark.parametrize("changes", [{"exp": NOW - LEEWAY_SECONDS + 1}, {"nbf": NOW + LEEWAY_SECONDS}])
def test_token_of_a_clock_that_is_a_little_off_is_taken(changes: dict[str, object]) -> None:
    assert verify(RSA.sign(claims(**changes))).subject == "somebody"


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 5, ["RS256"], "HS256", "HS512", "ES256K", "x"])
def test_token_of_another_algorithm_is_refused(algorithm: object) -> None:
    token = f"{part({'alg': algorithm, 'kid': 'rsa'})}.{part(claims())}."

    with pytest.raises(TokenInvalid):
        verify(token)


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_token_signed_with_the_public_key_as_a_secret_is_refused(encoding: serialization.Encoding) -> None:
    public = jwt.PyJWK(RSA.public, "RS256").key.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{part(claims())}"
    digest = hmac.new(public, signed.encode(), hashlib.sha256).digest()

    with pytest.raises(TokenInvalid):
        verify(f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}")


def test_token_that_names_another_key_of_the_issuer_is_refused() -> None:
    with pytest.raises(TokenInvalid):
        verify(RSA.sign(claims(), kid="ec"))


def test_token_signed_by_somebody_else_under_a_known_name_is_refused() -> None:
    other = new_keys()[0]

    with pytest.raises(TokenInvalid, match="signature"):
        verify(other.sign(claims()))


def test_token_that_brings_its_own_key_is_refused() -> None:
    other = new_keys()[0]

    with pytest.raises(TokenInvalid):
        verify(other.sign(claims(), jwk=other.public, jku="https://evil.example/jwks"))


def test_token_that_is_changed_is_refused() -> None:
    head, _, signature = RSA.sign(claims()).split(".")

    with pytest.raises(TokenInvalid, match="signature"):
        verify(f"{head}.{part(claims(sub='somebody else'))}.{signature}")


@pytest.mark.parametrize(
    "head", [{"crit": ["b64"], "b64": False}, {"crit": []}, {"typ": "at+jwt"}, {"typ": "logout+jwt"}]
)
def test_token_with_another_head_is_refused(head: dict[str, object]) -> None:
    token = f"{part({'alg': 'RS256', 'kid': 'rsa', **head})}.{part(claims())}.AAAA"

    with pytest.raises(TokenInvalid):
        read_head(token)


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a.b.c", "é.é.é", "\x00", "e30.e30.e30", "W10.e30.", "x" * (CHARACTERS_MAX + 1)],
)
def test_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(TokenInvalid):
        verify(token)


def test_token_of_deeply_nested_json_is_refused() -> None:
    nested = base64.urlsafe_b64encode(b"[" * 9000).rstrip(b"=").decode()

    with pytest.raises(TokenInvalid):
        read_head(f"{nested}.e30.")


def test_token_without_a_key_s_name_needs_an_issuer_with_one_key_of_its_kind() -> None:
    token = EC.sign(claims(), kid=None)

    assert verify(token, key_set(RSA, EC)).subject == "somebody"
    with pytest.raises(TokenInvalid):
        verify(token, key_set(EC, new_keys()[1]))


def test_issuer_in_a_token_is_read_without_trust() -> None:
    assert issuer_named_in(new_keys()[0].sign(claims())) == ISSUER
    assert issuer_named_in(RSA.sign({"sub": "x"})) == ""


def test_key_is_used_with_its_own_algorithm_only() -> None:
    assert KEYS.find("rsa", "RS256") is not None
    assert KEYS.find("rsa", "PS256") is None
    assert KEYS.find("rsa", "ES256") is None
    assert KEYS.find("ec", "ES384") is None


def test_key_that_names_no_algorithm_is_used_with_every_one_of_its_kind() -> None:
    free = {name: value for name, value in RSA.public.items() if name != "alg"}
    keys = key_sets.parse(json.dumps({"keys": [free]}))

    usable = {name for name in ALGORITHMS if keys.find("rsa", name) is not None}
    assert usable == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


def test_keys_that_are_not_for_verifying_are_left_out() -> None:
    small = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
    odd = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256K1()).public_key(), as_dict=True)
    unusable = [
        {**RSA.public, "use": "enc"},
        {**RSA.public, "key_ops": ["encrypt"]},
        {**RSA.private},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "rsa", "alg": "HS256"},
        {**small, "kid": "rsa"},
        {**odd, "kid": "rsa"},
        {"kty": "RSA", "kid": "rsa", "n": "!", "e": "AQAB"},
        {"kid": "rsa"},
        "text",
        None,
    ]

    for key in unusable:
        keys = key_sets.parse(json.dumps({"keys": [key]}))
        assert all(keys.find("rsa", algorithm) is None for algorithm in [*ALGORITHMS, "HS256", "none"]), key


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": {}}', "[" * 9000, "nonsense"])
def test_key_set_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(KeySetInvalid):
        key_sets.parse(text)
