"""Password hashes: Argon2id with the library's defaults (RFC 9106, low-memory profile).

Hashes of htpasswd files (bcrypt) are taken, too, and replaced when their user signs in.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import ParamSpec, TypeVar
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
_BCRYPT_PREFIXES = ("$2a$", "$2b$", "$2y$")
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}", re.ASCII)
BCRYPT_COST_MIN, BCRYPT_COST_MAX = 5, 14
"""htpasswd itself makes 5; each more doubles the time of a check, 14 takes about a second."""
_TAKEN_FOR_TOKENS = (PREFIX, "eyJ")
"""What tokens begin with, the registry's own and JSON Web Tokens."""
WAITING_MAX = 64
"""Checks of a worker that may wait; each keeps a processor busy for some 30 ms."""

P = ParamSpec("P")
T = TypeVar("T")
_hasher = PasswordHasher()


def generate() -> str:
    return secrets.token_urlsafe(GENERATED_BYTES)


def hash_password(password: str) -> str:
    return _hasher.hash(password)


def check_rules(name: str, password: str, characters_min: int) -> None:
    """Raises PasswordTooWeak. Length counts, kinds of letters do not (NIST SP 800-63B, 3.1.1.2)."""
    if not characters_min <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise PasswordTooWeak(f"a password has {characters_min} to {PASSWORD_CHARACTERS_MAX} characters")
    if len(set(password)) < DISTINCT_CHARACTERS_MIN or (len(name) > 3 and name.lower() in password.lower()):
        raise PasswordTooWeak(
            f"a password has {DISTINCT_CHARACTERS_MIN} different characters, and not the user's name in it"
        )
    if password.startswith(_TAKEN_FOR_TOKENS):
        raise PasswordTooWeak("a password that begins like a token would be taken for one: begin it in another way")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise PasswordTooWeak("a password is Unicode text, which this is not") from None


def check_htpasswd_hash(password_hash: str) -> None:
    """Raises Invalid for what is not a bcrypt hash of an htpasswd file that can be checked in reasonable time."""
    if not is_bcrypt(password_hash):
        raise Invalid("only bcrypt hashes are taken: make them by htpasswd -B")
    match = _BCRYPT.fullmatch(password_hash)
    if match is None:
        raise Invalid("this is not a whole bcrypt hash")
    if not BCRYPT_COST_MIN <= int(match.group(1)) <= BCRYPT_COST_MAX:
        raise Invalid(f"the cost of a bcrypt hash is {BCRYPT_COST_MIN} to {BCRYPT_COST_MAX} here")


def is_bcrypt(password_hash: str) -> bool:
    return password_hash.startswith(_BCRYPT_PREFIXES)


def outdated(password_hash: str) -> bool:
    """Whether a better hash should be kept, now that the password is at hand."""
    return is_bcrypt(password_hash) or _hasher.check_needs_rehash(password_hash)


class Verifier:
    """Checks passwords one at a time and off the event loop, so that guessing cannot take the machine."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._waiting = 0
        self._turns: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, *of: str) -> AsyncIterator[None]:
        """One at a time of those that name the same: tries at once would all come before the first one has failed."""
        lock = self._turns.setdefault(of, asyncio.Lock())
        async with lock:
            yield

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """See `verify`. Raises TooManyLogins."""
        return await self._run(verify, password_hash, password)

    async def hash(self, password: str) -> str:
        """See `hash_password`. Raises TooManyLogins."""
        return await self._run(hash_password, password)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._waiting >= WAITING_MAX:
            raise TooManyLogins("too many logins wait to be checked: try again in a few seconds")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args, **kwargs))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def verify(password_hash: str | None, password: str) -> bool:
    """Takes as long for an unknown user (no hash) as for a wrong password. Some 30 ms of one processor."""
    if password_hash is not None and is_bcrypt(password_hash):
        return _verify_bcrypt(password_hash, password)
    try:
        _hasher.verify(password_hash or _nobody(), password)
    except (Argon2Error, InvalidHashError):
        return False
    return password_hash is not None


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
