"""Stored logins of this user: `~/.config/entrepot/credentials.json`, readable only by the user. No passwords."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from entrepot.cli.errors import CredentialsUnreadable


@dataclass(frozen=True, slots=True)
class Login:
    """A stored login. `token_id` is empty for a token that the user supplied, which `logout` does not revoke."""

    user: str
    token: str = field(repr=False)
    token_id: str = ""
    expires_at: str | None = None
    ca_file: str | None = None


@dataclass(slots=True)
class Logins:
    """Logins by the registry's URL; `current` is the registry that commands use."""

    current: str | None = None
    registries: dict[str, Login] = field(default_factory=dict)


def path() -> Path:
    """The file's path. Raises CredentialsUnreadable without a home directory, as for a user id without a name."""
    base = os.environ.get("XDG_CONFIG_HOME")
    try:
        return (Path(base) if base else Path.home() / ".config") / "entrepot" / "credentials.json"
    except RuntimeError:
        raise CredentialsUnreadable("you have no home directory: set HOME or XDG_CONFIG_HOME") from None


def read() -> Logins:
    """Read the stored logins. Raises CredentialsUnreadable."""
    file = path()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        registries = {str(url): Login(**login) for url, login in content["registries"].items()}
        return Logins(content["current"], registries)
    except FileNotFoundError:
        return Logins()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CredentialsUnreadable(f"cannot read {file} ({error}): remove it and sign in again") from None


@contextmanager
def changing() -> Iterator[Logins]:
    """Change the stored logins under a lock; they are written at the end."""
    file = path()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.with_name("credentials.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        logins = read()
        yield logins
        _write(file, logins)


def _write(file: Path, logins: Logins) -> None:
    draft = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as content:
            json.dump(asdict(logins), content, indent=2)
            content.flush()
            os.fsync(content.fileno())
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
