"""Password hashes: Argon2id with the library's defaults (RFC 9106, low-memory profile).

Hashes of htpasswd files (bcrypt) are taken, too, and replaced when their user signs in.
"""

import asyncio
import re
import secrets
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeVar
from weakref import WeakValueDictionary

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from entrepot.errors import Invalid
from entrepot.identity.errors import PasswordTooWeak, TooManyLogins
from entrepot.identity.tokens import PREFIX

PASSWORD_CHARACTERS_MAX = 1024
GENERATED_BYTES = 18
DISTINCT_CHARACTERS_MIN = 5
_ARGON2_PREFIX = "$argon2id$"
_BCRYPT_PREFIXES = ("$2a$", "$2b$", "$2y$")
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}", re.ASCII)
BCRYPT_COST_MIN, BCRYPT_COST_MAX = 5, 14
"""htpasswd itself makes 5; each more doubles the time of a check, 14 takes about a second."""
_TAKEN_FOR_TOKENS = (PREFIX, "eyJ")
"""What tokens begin with, the registry's own and JSON Web Tokens."""
SLOTS, SLOTS_OF_ONE = 64, 16
"""Checks that may wait in each lane of a worker, and how many of one address; each takes a processor some 30 ms."""
FAILURE_SECONDS = 0.25
"""Wrong credentials are answered at whole multiples of it: what a directory, or none, was asked does not show."""

T = TypeVar("T")
_hasher = PasswordHasher()


def generate() -> str:
    return secrets.token_urlsafe(GENERATED_BYTES)


def hash_password(password: str) -> str:
    return _hasher.hash(password)


def check_rules(name: str, password: str, characters_min: int) -> None:
    """Raises PasswordTooWeak. Length counts, kinds of letters do not (NIST SP 800-63B, 3.1.1.2)."""
    if not characters_min <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise PasswordTooWeak(f"a password must have {characters_min} to {PASSWORD_CHARACTERS_MAX} characters")
    if len(set(password)) < DISTINCT_CHARACTERS_MIN or (len(name) > 3 and name.lower() in password.lower()):
        raise PasswordTooWeak(
            f"a password must have {DISTINCT_CHARACTERS_MIN} different characters and must not contain the user's name"
        )
    if password.startswith(_TAKEN_FOR_TOKENS):
        raise PasswordTooWeak("a password must not begin like a token: choose another beginning")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise PasswordTooWeak("the password is not valid Unicode text") from None


def check_htpasswd_hash(password_hash: str) -> None:
    """Raises Invalid for what is not a bcrypt hash of an htpasswd file that can be checked in reasonable time."""
    if not is_bcrypt(password_hash):
        raise Invalid("only bcrypt hashes are accepted: create them with htpasswd -B")
    match = _BCRYPT.fullmatch(password_hash)
    if match is None:
        raise Invalid("this is not a complete bcrypt hash")
    if not BCRYPT_COST_MIN <= int(match.group(1)) <= BCRYPT_COST_MAX:
        raise Invalid(f"the cost of a bcrypt hash must be {BCRYPT_COST_MIN} to {BCRYPT_COST_MAX}")


def is_bcrypt(password_hash: str) -> bool:
    return password_hash.startswith(_BCRYPT_PREFIXES)


def outdated(password_hash: str) -> bool:
    """Whether a better hash should be kept, now that the password is at hand."""
    return is_bcrypt(password_hash) or _hasher.check_needs_rehash(password_hash)


class _Lane:
    """Places before the hasher. Those who have some take turns, and have a share each."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def take(self, who: str) -> None:
        """Raises TooManyLogins."""
        if self._taken.total() >= SLOTS or self._taken[who] >= SLOTS_OF_ONE:
            raise TooManyLogins("too many logins are waiting to be checked: try again in a few seconds")
        self._taken[who] += 1

    def leave(self, who: str) -> None:
        self._taken[who] -= 1
        if not self._taken[who]:
            del self._taken[who]

    def wait(self, who: str, turn: asyncio.Future[None]) -> None:
        self._waiting.setdefault(who, deque()).append(turn)

    def next(self) -> asyncio.Future[None] | None:
        while self._waiting:
            who, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[who] = turns
            if not turn.cancelled():
                return turn
        return None


class Verifier:
    """Checks passwords one at a time and off the event loop, so that guessing cannot take the machine.

    Who was right before waits in a lane of their own, and every second check is one of it: a flood of strangers'
    guesses does not keep them waiting. `count` hears of each hash that is computed.
    """

    def __init__(
        self, count: Callable[[str], None] = lambda algorithm: None, failure_seconds: float = FAILURE_SECONDS
    ) -> None:
        self._count = count
        self._failure_seconds = failure_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._known, self._strangers = _Lane(), _Lane()
        self._is_busy = self._last_was_known = False
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, of: str) -> AsyncIterator[None]:
        """One at a time of those that name the same: tries at once would all come before the first one has failed."""
        lock = self._turns.setdefault(of, asyncio.Lock())
        async with lock:
            yield

    @asynccontextmanager
    async def slot(self, who: str, *, known: bool) -> AsyncIterator["Slot"]:
        """A slot before the hasher, for one of `who`. Raises TooManyLogins."""
        lane = self._known if known else self._strangers
        lane.take(who)
        try:
            yield Slot(self, lane, who)
        finally:
            lane.leave(who)

    async def hash(self, password: str, who: str) -> str:
        """See `hash_password`; for somebody who has shown that they may. Raises TooManyLogins."""
        async with self.slot(who, known=True) as slot:
            return await slot.hash(password)

    async def even_out(self, since: float) -> None:
        """Wait with a refusal until it tells no more than any other one; `since` is on the monotonic clock."""
        if self._failure_seconds:
            await asyncio.sleep(seconds_left(time.monotonic() - since, self._failure_seconds))

    async def run(self, lane: _Lane, who: str, function: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        lane.wait(who, turn)
        self._go_on()
        try:
            await turn
            return await loop.run_in_executor(self._thread, function)
        finally:
            if not turn.cancelled():
                self._is_busy = False
                self._go_on()

    def counted(self, algorithms: list[str]) -> None:
        for algorithm in algorithms:
            self._count(algorithm)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _go_on(self) -> None:
        """Let the next one have the hasher, of the other lane than the last if there is one."""
        if self._is_busy:
            return
        known = not self._last_was_known
        turn = (self._known if known else self._strangers).next()
        if turn is None:
            known = not known
            turn = (self._known if known else self._strangers).next()
        if turn is not None:
            self._is_busy, self._last_was_known = True, known
            turn.set_result(None)


@dataclass(frozen=True, slots=True)
class Slot:
    """Somebody's slot before the hasher."""

    _verifier: Verifier
    _lane: _Lane
    _who: str

    async def verify(self, password_hash: str | None, password: str, bcrypt_cost: int = 0) -> bool:
        """See `verify`."""
        right = await self._verifier.run(self._lane, self._who, partial(verify, password_hash, password, bcrypt_cost))
        work = work_of(password_hash, bcrypt_cost)
        self._verifier.counted(["bcrypt" if is_bcrypt(one) else "argon2id" for one in work])
        return right

    async def hash(self, password: str) -> str:
        """See `hash_password`."""
        made = await self._verifier.run(self._lane, self._who, partial(hash_password, password))
        self._verifier.counted(["argon2id"])
        return made


def seconds_left(spent: float, unit: float) -> float:
    """From now to the next whole multiple of `unit`, when that much was spent."""
    return unit - spent % unit


def verify(password_hash: str | None, password: str, bcrypt_cost: int = 0) -> bool:
    """Some 30 ms of one processor, and as long for an unknown user (no hash) as for a wrong password of any user.

    `bcrypt_cost` is the highest of all users' hashes, 0 when there are no hashes of bcrypt.
    """
    right = [_matches(one, password) for one in work_of(password_hash, bcrypt_cost)]
    return right[0] and password_hash is not None


def work_of(password_hash: str | None, bcrypt_cost: int) -> list[str]:
    """The hashes that a check computes, the user's own first; it is the same work whatever that is.

    Every check is one of Argon2 and, where any user has a hash of bcrypt, its highest cost: each more doubles the work,
    so that a lower one lacks once its own, and once each between.
    """
    if password_hash is None or not is_bcrypt(password_hash):
        own = password_hash if password_hash is not None and password_hash.startswith(_ARGON2_PREFIX) else _nobody()
        return [own, _nobodys_bcrypt(bcrypt_cost)] if bcrypt_cost else [own]
    match = _BCRYPT.fullmatch(password_hash)
    cost = int(match.group(1)) if match else bcrypt_cost
    return [password_hash, _nobody(), *(_nobodys_bcrypt(more) for more in range(cost, bcrypt_cost))]


def _matches(password_hash: str, password: str) -> bool:
    if is_bcrypt(password_hash):
        return _verify_bcrypt(password_hash, password)
    try:
        return _hasher.verify(password_hash, password)
    except (Argon2Error, InvalidHashError):
        return False


def _verify_bcrypt(password_hash: str, password: str) -> bool:
    try:
        # The first 72 bytes are all that bcrypt looks at, and all that the hash was made of.
        return bcrypt.checkpw(password.encode()[:72], password_hash.encode())
    except ValueError:
        return False


@cache
def _nobody() -> str:
    """A hash that no password has."""
    return _hasher.hash(secrets.token_urlsafe(16))


@cache
def _nobodys_bcrypt(cost: int) -> str:
    """A hash of this cost that no password has."""
    return f"$2b${cost:02d}${'.' * 53}"
