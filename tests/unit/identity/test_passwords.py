"""Passwords: hashed, verified, and not more at a time than the machine can bear."""

import asyncio
from collections.abc import Iterator

import bcrypt
import pytest
from argon2 import PasswordHasher

from entrepot.identity import passwords
from entrepot.identity.errors import PasswordTooWeak, TooManyLogins
from entrepot.identity.passwords import (
    SLOTS,
    SLOTS_OF_ONE,
    Verifier,
    check_rules,
    generate,
    hash_password,
    seconds_left,
    verify,
    work_of,
)

NO_HASH = "not a hash"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hashes that cost little, for tests of who is next."""
    passwords._nobody.cache_clear()
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield
    passwords._nobody.cache_clear()


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


async def check(verifier: Verifier, who: str, order: list[str] | None = None, *, known: bool = False) -> bool:
    async with verifier.slot(who, known=known) as slot:
        right = await slot.verify(None, "secret")
        if order is not None:
            order.append(who)
        return right


@pytest.mark.anyio
async def test_verifier_of_passwords_answers_as_the_function(verifier: Verifier) -> None:
    password_hash = hash_password("secret")

    async with verifier.slot("198.51.100.1", known=False) as slot:
        assert await slot.verify(password_hash, "secret")
        assert not await slot.verify(password_hash, "wrong")
        assert not await slot.verify(None, "secret")
    assert verify(await verifier.hash("secret", "local:alice"), "secret")


@pytest.mark.anyio
@pytest.mark.usefixtures("quick")
async def test_guesses_of_one_address_have_their_share_and_of_all_what_there_is(verifier: Verifier) -> None:
    """Each round: the places of those before are free again."""
    for _ in range(2):
        guesses = [check(verifier, f"198.51.100.{number // 40}") for number in range(240)]
        answers = await asyncio.gather(*guesses, return_exceptions=True)

        for first in range(0, SLOTS // SLOTS_OF_ONE * 40, 40):
            assert answers[first : first + SLOTS_OF_ONE] == [False] * SLOTS_OF_ONE
        assert sum(type(answer) is TooManyLogins for answer in answers) == 240 - SLOTS


@pytest.mark.anyio
@pytest.mark.usefixtures("quick")
async def test_who_was_right_before_does_not_wait_behind_a_flood(verifier: Verifier) -> None:
    order: list[str] = []
    flood = [check(verifier, f"198.51.100.{number}", order) for number in range(SLOTS)]
    known = [check(verifier, f"user:{number}", order, known=True) for number in range(4)]

    await asyncio.gather(*flood, *known)

    # One was at work already; from then on every second one is of those who are known.
    assert [number for number, who in enumerate(order) if who.startswith("user:")] == [1, 3, 5, 7]
    assert len(order) == SLOTS + 4


@pytest.mark.anyio
@pytest.mark.usefixtures("quick")
async def test_strangers_of_other_addresses_do_not_wait_behind_one_that_floods(verifier: Verifier) -> None:
    order: list[str] = []
    flood = [check(verifier, "198.51.100.1", order) for _ in range(SLOTS_OF_ONE)]

    await asyncio.gather(*flood, check(verifier, "203.0.113.1", order), check(verifier, "203.0.113.2", order))

    assert max(order.index("203.0.113.1"), order.index("203.0.113.2")) <= 3


@pytest.mark.anyio
@pytest.mark.usefixtures("quick")
async def test_who_goes_away_while_waiting_or_at_work_leaves_the_place_and_stops_nobody(verifier: Verifier) -> None:
    waiting = [asyncio.ensure_future(check(verifier, "198.51.100.1")) for _ in range(SLOTS_OF_ONE)]
    await asyncio.sleep(0)
    for one in (waiting[0], *waiting[5:]):
        one.cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert answers[1:5] == [False] * 4

    again = [check(verifier, "198.51.100.1") for _ in range(SLOTS_OF_ONE)]
    assert await asyncio.gather(*again) == [False] * SLOTS_OF_ONE


# What time tells.


def cost_of(password_hash: str) -> int:
    return 2 ** int(password_hash.split("$")[2])


@pytest.mark.parametrize("highest", [0, 5, 8])
def test_every_check_is_the_same_work_whoever_it_is_of(highest: int) -> None:
    hashes = [None, hash_password("secret"), "$argon2id$", "not a hash"]
    hashes += [bcrypt.hashpw(b"secret", bcrypt.gensalt(cost)).decode() for cost in range(5, highest + 1)]
    works = [work_of(password_hash, highest) for password_hash in hashes]

    for work in works:
        assert sum(one.startswith("$argon2id$") for one in work) == 1
        assert sum(cost_of(one) for one in work if one.startswith("$2")) == (2**highest if highest else 0)
    for password_hash, work in zip(hashes, works, strict=True):
        if password_hash is not None and password_hash.count("$") > 2:
            assert work[0] == password_hash
            assert verify(password_hash, "secret", highest)
        assert not verify(password_hash, "wrong", highest)


@pytest.mark.anyio
async def test_each_hash_that_is_computed_is_counted() -> None:
    computed: list[str] = []
    verifier = Verifier(computed.append)
    imported = bcrypt.hashpw(b"secret", bcrypt.gensalt(6)).decode()
    try:
        for password_hash in (None, hash_password("secret"), imported):
            async with verifier.slot("198.51.100.1", known=False) as slot:
                await slot.verify(password_hash, "wrong", 6)
            assert sorted(computed) == ["argon2id", "bcrypt"]
            computed.clear()
    finally:
        verifier.close()


@pytest.mark.parametrize(("spent", "left"), [(0, 0.25), (0.05, 0.2), (0.24, 0.01), (0.26, 0.24), (3.6, 0.15)])
def test_refusal_waits_for_the_next_whole_multiple(spent: float, left: float) -> None:
    assert seconds_left(spent, 0.25) == pytest.approx(left)


@pytest.mark.parametrize(
    "password",
    ["correct horse", "пароль подлиннее", "a1!" * 4 + "bc", generate(), "alic e walks"],
    ids=("words", "Cyrillic", "signs", "generated", "the name in parts"),
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
