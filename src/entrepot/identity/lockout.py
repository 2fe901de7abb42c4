"""Wrong passwords, counted for each user from each address, for each address, and for each user.

After some, each further try has to wait, twice as long every time. A try that comes too early is refused unchecked and
not counted. What others do elsewhere never keeps an administrator out: for administrators, the last count is left out.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from sqlalchemy import Connection, delete, or_, select, update

from entrepot.database import dialect
from entrepot.identity.tables import login_failures

ADDRESS_FACTOR = 10
"""How many more failures an address has free than a user: many people may share one."""
FORGOTTEN_AFTER_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Policy:
    failures_free: int
    delay_seconds_max: int


_INSERT = dialect.insert_or_ignore(login_failures, "key", returning=(login_failures.c.key,))


def keys(name: str, address: str, *, administrator: bool) -> dict[str, int]:
    """What is counted for such a try, and how many more failures each has free than a user."""
    name, network = _one_spelling(name), _network(address)
    counted = {f"from:{network} {name}": 1, f"address:{network}": ADDRESS_FACTOR}
    if not administrator:
        counted[f"user:{name}"] = ADDRESS_FACTOR
    return counted


def wait_seconds(connection: Connection, counted: dict[str, int], policy: Policy, now_ms: int) -> int:
    """How long the next try has to wait; 0 when it need not."""
    columns = (login_failures.c.key, login_failures.c["count"], login_failures.c.last_at_ms)
    rows = connection.execute(select(*columns).where(login_failures.c.key.in_(list(counted))))
    waits = [0]
    for key, failures, last_at_ms in rows:
        over = failures - policy.failures_free * counted[key]
        if over >= 0 and last_at_ms > now_ms - FORGOTTEN_AFTER_MS:
            delay_ms = min(policy.delay_seconds_max, 2 ** min(over, 30)) * 1000
            waits.append(-(-(last_at_ms + delay_ms - now_ms) // 1000))
    return max(waits)


def failed(connection: Connection, counted: dict[str, int], now_ms: int) -> None:
    for key in counted:
        if dialect.execute(connection, _INSERT, {"key": key, "count": 1, "last_at_ms": now_ms}).first() is None:
            row = login_failures.c.key == key
            forgotten = login_failures.c.last_at_ms < now_ms - FORGOTTEN_AFTER_MS
            connection.execute(update(login_failures).where(row, forgotten).values(count=0))
            connection.execute(
                update(login_failures).where(row).values(count=login_failures.c["count"] + 1, last_at_ms=now_ms)
            )


def succeeded(connection: Connection, name: str, address: str) -> None:
    """Forget this user's failures from here; the address's own count stays."""
    key = f"from:{_network(address)} {_one_spelling(name)}"
    connection.execute(delete(login_failures).where(login_failures.c.key == key))


def forget(connection: Connection, name: str) -> None:
    """Forget this user's failures from everywhere, and those of all addresses: any may be where the user comes from."""
    key, name = login_failures.c.key, name[:255]
    of_user = key.startswith(f"user:{name}@", autoescape=True)
    connection.execute(
        delete(login_failures).where(or_(key == f"user:{name}", of_user, key.startswith("address:", autoescape=True)))
    )


def expire(connection: Connection, now_ms: int) -> int:
    old = login_failures.c.last_at_ms < now_ms - FORGOTTEN_AFTER_MS
    return connection.execute(delete(login_failures).where(old)).rowcount


def _one_spelling(name: str) -> str:
    """Directories take a name in many spellings, which must not be as many tries: `ALICE`, `alice@x`."""
    return " ".join(name.rpartition("\\")[2].partition("@")[0].casefold().split())[:255]


def _network(address: str) -> str:
    """An IPv6 address counts with its /64: every client has one, and all the addresses in it (RFC 6177)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
