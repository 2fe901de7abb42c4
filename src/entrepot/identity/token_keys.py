"""The keys that sign bearer tokens: the newest signs, those before it verify for as long as their tokens may last.

Each is a file. The first is `token.pem`; later ones have in their name the second since when they sign, as in
`token-1795600000.pem`. Running processes notice a new one by themselves.
"""

import base64
import hashlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from entrepot.identity.key_files import KeysUnreadable, new_signing_key, parse_signing_key, read_or_make

LIFETIME_SECONDS_MAX = 3600
"""The longest that a bearer token can be good for, `token.lifetime_seconds`."""
RETIRED_SECONDS = LIFETIME_SECONDS_MAX + 60
"""How long a key verifies after a newer one has come: with what processes take to notice, and clocks differ by."""
LOOK_SECONDS = 1.0
"""How often the directory is looked at, at most."""
_FIRST = "token.pem"
_NAME = re.compile(r"token(?:-([0-9]{1,12}))?\.pem", re.ASCII)
_KID_CHARACTERS = 16

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class TokenKey:
    """Never prints. Times are seconds since the epoch; `retired_at` is None for the key that signs."""

    kid: str
    private: Ed25519PrivateKey
    since: int
    retired_at: int | None
    name: str

    def is_over(self, now: int) -> bool:
        """Whether all that it signed has expired, so that what it verifies now can only be forged."""
        return self.retired_at is not None and self.retired_at + RETIRED_SECONDS <= now


class TokenKeys:
    """The keys in the directory as they are now."""

    def __init__(self, directory: Path, tick: Callable[[], float] = time.monotonic) -> None:
        """Makes the first key where there is none. Raises KeysUnreadable."""
        self._directory = directory
        self._tick = tick
        self._looked_at = tick()
        self._missed_at = self._looked_at - LOOK_SECONDS
        self._keys = load_or_make(directory)
        self.version = 0
        """Is another one when the keys are: what was verified by others holds no more."""

    def refresh(self) -> None:
        """Look at the directory, if that was not done just now."""
        if self._tick() - self._looked_at >= LOOK_SECONDS:
            self._look()

    def newest(self) -> TokenKey:
        """The key that signs."""
        self.refresh()
        return self._keys[-1]

    def find(self, kid: str, now: int) -> TokenKey | None:
        """The key of that id, unless it is too old to verify anything (`now` in seconds).

        An unknown id may be that of a key that has just come, so the directory is looked at once more; but at most
        once a second, as anybody can make up ids.
        """
        self.refresh()
        found = self._known(kid)
        if found is None and self._tick() - self._missed_at >= LOOK_SECONDS:
            self._missed_at = self._tick()
            self._look()
            found = self._known(kid)
        return None if found is None or found.is_over(now) else found

    def _known(self, kid: str) -> TokenKey | None:
        return next((key for key in self._keys if key.kid == kid), None)

    def _look(self) -> None:
        self._looked_at = self._tick()
        try:
            if _names(self._directory) == [key.name for key in self._keys]:
                return
            found = load(self._directory)
        except KeysUnreadable as error:
            log.error("%s; the keys that were read before remain in use", error.message)
            return
        if found:
            self._keys = found
            self.version += 1


def load_or_make(directory: Path) -> list[TokenKey]:
    """Any number of processes may start at once on an empty directory. Raises KeysUnreadable."""
    if not _names(directory):
        try:
            read_or_make(directory / _FIRST, new_signing_key)
        except OSError as error:
            raise _unreadable(directory, error) from error
    return load(directory)


def load(directory: Path) -> list[TokenKey]:
    """The keys, oldest first. Raises KeysUnreadable."""
    names = _names(directory)
    keys: list[TokenKey] = []
    for name, successor in zip_longest(names, names[1:]):
        try:
            private = parse_signing_key((directory / name).read_bytes())
        except FileNotFoundError:
            continue  # Removed since the directory was listed.
        except (OSError, ValueError) as error:
            raise _unreadable(directory, error) from error
        if private is None:
            raise KeysUnreadable(
                f"the keys in {directory} are not those of a registry: move them away to have new ones created"
            )
        retired_at = None if successor is None else _since(successor)
        keys.append(TokenKey(_kid(private), private, _since(name), retired_at, name))
    return keys


def rotate(directory: Path, now: int, *, revoke: bool = False) -> tuple[TokenKey, list[TokenKey]]:
    """Make a key that signs from now on; answers it, and the older ones that were removed. Raises KeysUnreadable.

    Removed are those whose tokens have all expired; with `revoke` all of them, and their tokens are good no more.
    """
    before = load_or_make(directory)
    # A clock that was set back must not make the new key an old one.
    since = max(now, before[-1].since + 1)
    try:
        read_or_make(directory / f"token-{since}.pem", new_signing_key)
        keys = load(directory)
        removed = [key for key in keys[:-1] if revoke or key.is_over(now)]
        for key in removed:
            (directory / key.name).unlink(missing_ok=True)
    except OSError as error:
        raise _unreadable(directory, error) from error
    return keys[-1], removed


def _names(directory: Path) -> list[str]:
    """Oldest first. Raises KeysUnreadable."""
    try:
        return sorted((path.name for path in directory.iterdir() if _NAME.fullmatch(path.name)), key=_since)
    except OSError as error:
        raise _unreadable(directory, error) from error


def _since(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match[1]) if match is not None and match[1] is not None else 0


def _kid(key: Ed25519PrivateKey) -> str:
    """Names a key without telling it: a hash of its public half."""
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.urlsafe_b64encode(hashlib.sha256(public).digest()).decode()[:_KID_CHARACTERS]


def _unreadable(directory: Path, error: Exception) -> KeysUnreadable:
    return KeysUnreadable(f"the keys in {directory} cannot be read or created: {error}")
