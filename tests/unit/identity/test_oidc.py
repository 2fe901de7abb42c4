"""What an ID token has to say beside being verified, and the user it speaks of."""

import base64
import hashlib

import pytest

from entrepot.identity.assertions import Assertion
from entrepot.identity.errors import TokenInvalid
from entrepot.identity.external import ExternalUser
from entrepot.identity.oidc import GROUPS_MAX, check_access_token, check_id_token, external_user
from tests.peers.oidc_provider import Key, new_keys

CLIENT = "entrepot"
RSA, EC, ED = new_keys()


def assertion(subject: str = "0001", audiences: tuple[str, ...] = (CLIENT,), **claims: object) -> Assertion:
    return Assertion("https://issuer.example", subject, audiences, 1_800_000_000, 1_800_000_060, claims)


def test_id_token_of_this_login_is_taken() -> None:
    check_id_token(assertion(nonce="n"), CLIENT, "n")
    check_id_token(assertion(nonce="n", azp=CLIENT), CLIENT, "n")
    check_id_token(assertion(audiences=(CLIENT, "api"), nonce="n", azp=CLIENT), CLIENT, "n")
    check_id_token(assertion(), CLIENT, None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (assertion(nonce="another"), "another login"),
        (assertion(nonce="é"), "another login"),
        (assertion(nonce=["n"]), "another login"),
        (assertion(), "another login"),
        (assertion(nonce="n", azp="another"), "another client"),
        (assertion(nonce="n", azp=None), "another client"),
        (assertion(audiences=(CLIENT, "api"), nonce="n"), "several clients"),
        (assertion(subject="", nonce="n"), "no subject"),
        (Assertion("https://issuer.example", "0001", (CLIENT,), None, 1, {"nonce": "n"}), "when it was issued"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_id_token_of_another_login_or_client_is_refused(given: Assertion, message: str) -> None:
    with pytest.raises(TokenInvalid, match=message):
        check_id_token(given, CLIENT, "n")


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA, hashlib.sha256), (EC, hashlib.sha256), (ED, hashlib.sha512)], ids=["rsa", "ec", "ed"]
)
def test_access_token_belongs_to_its_id_token(key: Key, algorithm: object) -> None:
    digest = algorithm(b"the access token").digest()  # type: ignore[operator]
    hashed = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    id_token = key.sign({})

    check_access_token(id_token, assertion(at_hash=hashed), "the access token")
    check_access_token(id_token, assertion(), "whatever")
    check_access_token(id_token, assertion(at_hash=hashed), "")
    for wrong in (hashed[:-1], 5, "", "é"):
        with pytest.raises(TokenInvalid):
            check_access_token(id_token, assertion(at_hash=wrong), "the access token")
    with pytest.raises(TokenInvalid):
        check_access_token(id_token, assertion(at_hash=hashed), "another access token")


def test_user_has_what_the_claims_say() -> None:
    claims = {
        "sub": "0001",
        "preferred_username": "ada",
        "name": "Ada\nLovelace",
        "email": 5,
        "groups": ["b", "a", "b", 5, "", None, "x" * 256, "tab\t", "Alle Büros"],
    }

    assert external_user(claims, "preferred_username", "groups") == ExternalUser(
        "0001", "ada", "AdaLovelace", "", ("b", "a", "Alle Büros")
    )


@pytest.mark.parametrize(
    ("groups", "expected"),
    [("admins", ("admins",)), (None, ()), ({"a": 1}, ()), ([], ()), (["a"] * 5, ("a",)), ("", ())],
)
def test_groups_of_any_form_are_read(groups: object, expected: tuple[str, ...]) -> None:
    assert external_user({"sub": "0001", "roles": groups}, "preferred_username", "roles").groups == expected


def test_groups_are_limited_in_number() -> None:
    many = [f"group {number}" for number in range(GROUPS_MAX + 10)]

    assert len(external_user({"sub": "0001", "groups": many}, "preferred_username", "groups").groups) == GROUPS_MAX


def test_name_is_the_subject_where_there_is_no_other() -> None:
    for name in ({}, {"preferred_username": ""}, {"preferred_username": None}):
        assert external_user({"sub": "0001", **name}, "preferred_username", "groups").name == "0001"


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": ""},
        {"sub": 5},
        {"sub": "a" * 256},
        {"sub": "a\x00"},
        {"sub": "0001", "preferred_username": "ada lovelace"},
        {"sub": "0001", "preferred_username": "local:admin"},
        {"sub": "0001", "preferred_username": "a\n"},
        {"sub": "0001", "preferred_username": ["ada"]},
    ],
)
def test_claims_without_a_usable_name_are_refused(claims: dict[str, object]) -> None:
    with pytest.raises(TokenInvalid):
        external_user(claims, "preferred_username", "groups")
