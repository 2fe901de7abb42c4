"""Wrong passwords, counted for each user from each address, for each address, and for each user.

After some, each further try has to wait, twice as long every time. A try is counted before it is checked, so that many
at once are as many as one after another, and given back when it was right. One that comes too early is refused
unchecked and not counted; the same wrong password again, as clients send it, is one try.

What others do never keeps somebody out who signed in from there lately; nor, wherever they are, an administrator, whom
only guesses from their address make wait. Nobody can tell these from others, or who exists at all: while the rest would
wait, their tries have a count of their own, and a wrong one is answered as if it had been refused unchecked.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from sqlalchemy import Connection, delete, or_, select, update

from entrepot.database import dialect
from entrepot.identity.tables import login_failures

ADDRESS_FACTOR = 10
"""How many more failures an address has free than a user: many people may share one."""
FORGOTTEN_AFTER_MS = 24 * 3600 * 1000
RIGHT_KEPT_MS = 30 * FORGOTTEN_AFTER_MS
"""How long it is known that somebody signed in from somewhere."""
SAME_TRY_MS = 10_000
"""How soon the same wrong password is the same try: clients ask twice, or for each layer."""


@dataclass(frozen=True, slots=True)
class Policy:
    failures_free: int
    delay_seconds_max: int


_INSERT = dialect.insert_or_ignore(login_failures, "key", returning=(login_failures.c.key,))


@dataclass(frozen=True, slots=True)
class Delay:
    """What stands before the next try."""

    wait: int
    """How many seconds it has to wait; 0 when it need not."""
    known: bool
    """Whether the user signed in from there lately."""
    excepted: bool
    """Whether only others are the reason to wait, and the right password is taken all the same."""


def keys(name: str, address: str) -> dict[str, int]:
    """What is counted for such a try: this user from there, the address, the user; each with how many more failures it
    has free than the first."""
    name, here = _one_spelling(name), network_of(address)
    return {f"from:{here} {name}": 1, f"address:{here}": ADDRESS_FACTOR, f"user:{name}": ADDRESS_FACTOR}


def delay(
    connection: Connection, counted: dict[str, int], policy: Policy, now_ms: int, *, administrator: bool
) -> Delay:
    here, address, _ = counted
    columns = (login_failures.c.key, login_failures.c["count"], login_failures.c.last_at_ms)
    wanted = [*counted, _right(here), _apart(here)]
    rows = {row.key: row for row in connection.execute(select(*columns).where(login_failures.c.key.in_(wanted)))}

    def wait(key: str) -> int:
        if key not in rows:
            return 0
        _, failures, last_at_ms = rows[key]
        over = failures - policy.failures_free * counted.get(key, 1)
        if over < 0 or last_at_ms <= now_ms - FORGOTTEN_AFTER_MS:
            return 0
        delay_ms = min(policy.delay_seconds_max, 2 ** min(over, 30)) * 1000
        left: int = -(-(last_at_ms + delay_ms - now_ms) // 1000)
        return max(0, left)

    longest = max(map(wait, counted))
    known = _right(here) in rows and rows[_right(here)].last_at_ms > now_ms - RIGHT_KEPT_MS
    spared = known or (administrator and not wait(address))
    return Delay(longest, known, bool(longest) and spared and not wait(here) and not wait(_apart(here)))


def has_failed(connection: Connection, counted: dict[str, int]) -> bool:
    """Whether there are failures of this user from here."""
    here = next(iter(counted))
    own = login_failures.c.key.in_((here, _apart(here))) & (login_failures.c["count"] > 0)
    return connection.execute(select(login_failures.c.key).where(own)).first() is not None


def reserve(
    connection: Connection, counted: dict[str, int], policy: Policy, now_ms: int, attempt: bytes, *, administrator: bool
) -> tuple[Delay, tuple[str, ...]]:
    """Count the try as a failure if it may be checked, unless it is the one before again.

    Returns what stands before it, and what was counted. `attempt` stands for name and password (a keyed hash).
    """
    for key in sorted(counted):
        # Always in this order: of tries at the same time each waits for the one before, whatever the database.
        dialect.execute(connection, _INSERT, {"key": key, "count": 0, "last_at_ms": 0}).first()
        connection.execute(select(login_failures.c.key).where(login_failures.c.key == key).with_for_update())
    found = delay(connection, counted, policy, now_ms, administrator=administrator)
    if found.wait and not found.excepted:
        return found, ()
    counting = (_apart(next(iter(counted))),) if found.excepted else tuple(counted)
    here = login_failures.c.key == counting[0]
    again = (login_failures.c.attempt == attempt) & (login_failures.c.last_at_ms > now_ms - SAME_TRY_MS)
    if connection.execute(select(login_failures.c.key).where(here, again)).first() is not None:
        return found, ()
    failed(connection, counting, now_ms)
    connection.execute(update(login_failures).where(here).values(attempt=attempt))
    return found, counting


def failed(connection: Connection, counted: Collection[str], now_ms: int) -> None:
    for key in counted:
        if dialect.execute(connection, _INSERT, {"key": key, "count": 1, "last_at_ms": now_ms}).first() is None:
            row = login_failures.c.key == key
            forgotten = login_failures.c.last_at_ms < now_ms - FORGOTTEN_AFTER_MS
            connection.execute(update(login_failures).where(row, forgotten).values(count=0))
            connection.execute(
                update(login_failures).where(row).values(count=login_failures.c["count"] + 1, last_at_ms=now_ms)
            )


def give_back(connection: Connection, reserved: Collection[str]) -> None:
    """A try that was neither right nor wrong: nobody could say."""
    if reserved:
        some = login_failures.c.key.in_(reserved) & (login_failures.c["count"] > 0)
        connection.execute(update(login_failures).where(some).values(count=login_failures.c["count"] - 1, attempt=None))


def succeeded(connection: Connection, counted: dict[str, int], now_ms: int, reserved: Collection[str] = ()) -> None:
    """Forget this user's failures from here, know that they were right here; give back what was reserved elsewhere."""
    here = next(iter(counted))
    give_back(connection, reserved)
    connection.execute(delete(login_failures).where(login_failures.c.key.in_((here, _apart(here)))))
    right = {"key": _right(here), "count": 0, "last_at_ms": now_ms}
    if dialect.execute(connection, _INSERT, right).first() is None:
        connection.execute(update(login_failures).where(login_failures.c.key == _right(here)).values(last_at_ms=now_ms))


def forget(connection: Connection, name: str) -> None:
    """Forget this user's failures from everywhere, and those of all addresses: any may be where the user comes from."""
    key, name = login_failures.c.key, _one_spelling(name)
    own = or_(key.startswith("from:"), key.startswith("apart:"))
    of_user = own & key.endswith(f" {name}", autoescape=True)
    connection.execute(delete(login_failures).where(or_(key == f"user:{name}", of_user, key.startswith("address:"))))


def expire(connection: Connection, now_ms: int) -> int:
    key, last = login_failures.c.key, login_failures.c.last_at_ms
    right = key.startswith("right:")
    old = (last < now_ms - RIGHT_KEPT_MS) | (~right & (last < now_ms - FORGOTTEN_AFTER_MS))
    return connection.execute(delete(login_failures).where(old)).rowcount


def _right(here: str) -> str:
    """The key of having been right, beside that of having failed from there."""
    return "right:" + here.removeprefix("from:")


def _apart(here: str) -> str:
    """The key of failures that are counted apart, while others' failures make the rest wait."""
    return "apart:" + here.removeprefix("from:")


def _one_spelling(name: str) -> str:
    """Directories take a name in many spellings, which must not be as many tries: `ALICE`, `alice@x`."""
    return " ".join(name.rpartition("\\")[2].partition("@")[0].casefold().split())[:255]


@lru_cache(maxsize=10_000)
def network_of(address: str) -> str:
    """An IPv6 address counts with its /64: every client has one, and all the addresses in it (RFC 6177)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
