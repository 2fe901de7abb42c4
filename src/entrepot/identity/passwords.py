"""Password hashes: Argon2id with the library's defaults (RFC 9106, low-memory profile)."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from entrepot.identity.errors import TooManyLogins

PASSWORD_CHARACTERS_MAX = 1024
GENERATED_BYTES = 18
WAITING_MAX = 64
"""Checks of a worker that may wait; each keeps a processor busy for some 30 ms."""

_hasher = PasswordHasher()


def generate() -> str:
    return secrets.token_urlsafe(GENERATED_BYTES)


def hash_password(password: str) -> str:
    return _hasher.hash(password)


class Verifier:
    """Checks passwords one at a time and off the event loop, so that guessing cannot take the machine."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._waiting = 0

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """See `verify`. Raises TooManyLogins."""
        if self._waiting >= WAITING_MAX:
            raise TooManyLogins("too many logins wait to be checked: try again in a few seconds")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, verify, password_hash, password)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def verify(password_hash: str | None, password: str) -> bool:
    """Takes as long for an unknown user (no hash) as for a wrong password. Some 30 ms of one processor."""
    try:
        _hasher.verify(password_hash or _nobody(), password)
    except (Argon2Error, InvalidHashError):
        return False
    return password_hash is not None


@cache
def _nobody() -> str:
    """A hash that no password has."""
    return _hasher.hash(secrets.token_urlsafe(16))
