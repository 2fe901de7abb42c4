"""Logins on a device, while its code is shown.

Anybody can begin one, and each makes the provider work: so one takes a place before the provider is asked, and an
address has few places. What a login is found by is a secret that only its device has; here is its SHA-256.
"""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, true, update

from entrepot.database import dialect
from entrepot.identity.errors import TooManyDeviceLogins
from entrepot.identity.lockout import network_of
from entrepot.identity.tables import device_logins

SECRET_BYTES = 32
STARTING_MS = 60_000
"""How long a place is taken by a login that the provider has not begun: because it was not reached, or refused."""
_LOCK = 0x6465_7669_6365


@dataclass(frozen=True, slots=True)
class DeviceLoginLimits:
    """How many logins may be under way."""

    per_address: int
    in_all: int


def new_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def check(connection: Connection, address: str, limits: DeviceLoginLimits, now_ms: int) -> None:
    """Whether there is a place. Raises TooManyDeviceLogins."""
    here = device_logins.c.network == network_of(address)
    wait = _wait_seconds(connection, here, limits.per_address, now_ms)
    if wait:
        raise TooManyDeviceLogins(
            f"{limits.per_address} device logins are in progress from your address: finish one, "
            f"or try again in {wait} seconds",
            wait,
        )
    wait = _wait_seconds(connection, true(), limits.in_all, now_ms)
    if wait:
        raise TooManyDeviceLogins(
            f"too many device logins are in progress: sign in with a browser, or try again in {wait} seconds", wait
        )


def reserve(
    connection: Connection, secret: str, provider: str, address: str, limits: DeviceLoginLimits, now_ms: int
) -> None:
    """Take a place for a login that the provider is asked for next. Raises TooManyDeviceLogins."""
    dialect.take_turns(connection, _LOCK)
    expire(connection, now_ms)
    check(connection, address, limits, now_ms)
    connection.execute(
        insert(device_logins),
        {
            "id_hash": _hash(secret),
            "provider": provider,
            "network": network_of(address),
            "device_code": "",
            "interval_seconds": 0,
            "next_at_ms": now_ms,
            "expires_at_ms": now_ms + STARTING_MS,
        },
    )


def begin(
    connection: Connection, secret: str, device_code: str, interval_seconds: int, now_ms: int, expires_at_ms: int
) -> bool:
    """Keep what the provider answered. False when it took so long that the place is not kept any more."""
    statement = update(device_logins).where(device_logins.c.id_hash == _hash(secret))
    values = {"device_code": device_code, "interval_seconds": interval_seconds, "next_at_ms": now_ms}
    return connection.execute(statement.values(**values, expires_at_ms=expires_at_ms)).rowcount > 0


def next_at_ms(connection: Connection, secret: str, provider: str, now_ms: int) -> int | None:
    """When the provider may be asked about a login that is under way; None when there is no such login."""
    statement = select(device_logins.c.next_at_ms).where(*_under_way(secret, provider, now_ms))
    found: int | None = connection.execute(statement).scalar_one_or_none()
    return found


def take_turn(connection: Connection, secret: str, provider: str, now_ms: int) -> str | None:
    """The provider's code for the device, to ask by once; None when it is too early, or the login is over."""
    columns = device_logins.c
    statement = update(device_logins).where(*_under_way(secret, provider, now_ms), columns.next_at_ms <= now_ms)
    statement = statement.values(next_at_ms=now_ms + columns.interval_seconds * 1000)
    found: str | None = connection.execute(statement.returning(columns.device_code)).scalar_one_or_none()
    return found


def slow_down(connection: Connection, secret: str, seconds: int) -> None:
    """Have so much more time between two questions."""
    columns = device_logins.c
    statement = update(device_logins).where(columns.id_hash == _hash(secret))
    connection.execute(
        statement.values(
            interval_seconds=columns.interval_seconds + seconds, next_at_ms=columns.next_at_ms + seconds * 1000
        )
    )


def end(connection: Connection, secret: str) -> bool:
    """Forget a login that succeeded or was refused; False when that was done before."""
    return connection.execute(delete(device_logins).where(device_logins.c.id_hash == _hash(secret))).rowcount > 0


def expire(connection: Connection, now_ms: int) -> int:
    """Forget logins that took too long; returns how many."""
    return connection.execute(delete(device_logins).where(device_logins.c.expires_at_ms <= now_ms)).rowcount


def _under_way(secret: str, provider: str, now_ms: int) -> tuple[ColumnElement[bool], ...]:
    columns = device_logins.c
    return columns.id_hash == _hash(secret), columns.provider == provider, columns.expires_at_ms > now_ms


def _wait_seconds(connection: Connection, where: ColumnElement[bool], limit: int, now_ms: int) -> int:
    """How long until there is a place among these at the latest; 0 when there is one."""
    expires_at_ms = device_logins.c.expires_at_ms
    statement = select(func.count(), func.min(expires_at_ms)).where(where, expires_at_ms > now_ms)
    count, first_ms = connection.execute(statement).one()
    return 0 if count < limit else -(-(first_ms - now_ms) // 1000)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
