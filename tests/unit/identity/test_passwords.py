"""Passwords: hashed, verified, and not more at a time than the machine can bear."""

import asyncio
from collections.abc import Iterator

import pytest

from entrepot.identity.errors import PasswordTooWeak, TooManyLogins
from entrepot.identity.passwords import WAITING_MAX, Verifier, check_rules, generate, hash_password, verify

NO_HASH = "not a hash"
"""Refused without any work."""


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    made = Verifier()
    yield made
    made.close()


@pytest.mark.parametrize("password", ["", "pässwörd ✓", "x" * 1024])
def test_password_when_right_is_verified(password: str) -> None:
    password_hash = hash_password(password)

    assert verify(password_hash, password)
    assert not verify(password_hash, password + "x")


def test_password_hashed_twice_has_two_hashes() -> None:
    one, other = hash_password("secret"), hash_password("secret")

    assert one != other
    assert one.startswith("$argon2id$")
    assert "secret" not in one


@pytest.mark.parametrize("password_hash", [None, "", NO_HASH, "$argon2id$", "secret"])
def test_password_of_nobody_is_never_right(password_hash: str | None) -> None:
    assert not verify(password_hash, "secret")
    assert not verify(password_hash, "")


def test_passwords_when_generated_are_different_and_long() -> None:
    generated = {generate() for _ in range(50)}

    assert len(generated) == 50
    assert all(len(password) >= 24 and password.isascii() for password in generated)


@pytest.mark.anyio
async def test_verifier_of_passwords_answers_as_the_function(verifier: Verifier) -> None:
    password_hash = hash_password("secret")

    assert await verifier.verify(password_hash, "secret")
    assert not await verifier.verify(password_hash, "wrong")
    assert not await verifier.verify(None, "secret")


@pytest.mark.anyio
async def test_verifier_with_too_many_waiting_puts_off(verifier: Verifier) -> None:
    checks = [verifier.verify(NO_HASH, "secret") for _ in range(WAITING_MAX + 2)]

    answers = await asyncio.gather(*checks, return_exceptions=True)

    assert answers[:WAITING_MAX] == [False] * WAITING_MAX
    assert [type(answer) for answer in answers[WAITING_MAX:]] == [TooManyLogins] * 2


@pytest.mark.anyio
async def test_verifier_that_put_off_goes_on(verifier: Verifier) -> None:
    for _ in range(2):
        checks = [verifier.verify(NO_HASH, "secret") for _ in range(WAITING_MAX)]
        assert await asyncio.gather(*checks) == [False] * WAITING_MAX


@pytest.mark.parametrize(
    "password", ["correct horse", "пароль подлиннее", "a1!" * 4 + "bc", generate(), "alic e walks"]
)
def test_password_that_is_long_enough_is_taken(password: str) -> None:
    check_rules("alice", password, 12)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "eleven char",
        "x" * 1025,
        "aaaaaaaaaaaa",
        "abababababab",
        "I am ALICE, in short",
        "entrepot_pat_is_not_a_password",
        "eyJhbGciOiJub25lIn0.e30.",
        "surrogates \ud800",
    ],
)
def test_password_that_is_weak_or_taken_for_something_else_is_refused(password: str) -> None:
    with pytest.raises(PasswordTooWeak):
        check_rules("alice", password, 12)
