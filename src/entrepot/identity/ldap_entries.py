"""What an entry of a directory tells: who it is, and whether the account may be used. No I/O."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from entrepot.identity.ldap_answers import DISABLED, EXPIRED, LOCKED, PASSWORD_EXPIRED, PASSWORD_MUST_CHANGE
from entrepot.identity.ldap_escape import escaped

OBJECT_GUID = "objectguid"

# [MS-ADTS] 2.2.16 and [MS-SAMR] 2.2.1.12: bits of userAccountControl and of what the server computes.
UAC_DISABLED = 0x2
UAC_LOCKED = 0x10
UAC_PASSWORD_NEVER_EXPIRES = 0x10000
UAC_PASSWORD_EXPIRED = 0x800000
FILETIME_NEVER = frozenset({0, 0x7FFFFFFFFFFFFFFF})
FILETIME_TICKS_PER_SECOND = 10_000_000
FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
SECONDS_PER_DAY = 24 * 3600

STATE_ATTRIBUTES = {
    "active-directory": (
        "userAccountControl",
        "msDS-User-Account-Control-Computed",
        "accountExpires",
        "pwdLastSet",
        "objectSid",
        "primaryGroupID",
    ),
    "ldap": ("pwdAccountLockedTime", "nsAccountLock", "shadowExpire"),
}
LOCKED_FOR_GOOD = "000001010000Z"
"""`pwdAccountLockedTime` of an account that an administrator locked; other times end by themselves."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Attribute names are in lower case."""

    dn: str
    attributes: Mapping[str, Sequence[bytes]]

    def text(self, attribute: str) -> str:
        """The value; of several the one that is in the entry's own name, else the first in order. "" without any."""
        values = sorted(value.decode("utf-8", "replace") for value in self.attributes.get(attribute.lower(), ()))
        if len(values) < 2:
            return values[0] if values else ""
        own = self.dn.casefold()
        start = f"{attribute}=".casefold()
        return next((value for value in values if own.startswith(f"{start}{value.casefold()},")), values[0])

    def number(self, attribute: str) -> int | None:
        try:
            return int(self.text(attribute))
        except ValueError:
            return None


def subject(entry: Entry, attribute: str) -> str:
    """What identifies the entry for good; "" when the entry does not show it, or not as text."""
    values = entry.attributes.get(attribute.lower(), ())
    if not values:
        return ""
    if attribute.lower() == OBJECT_GUID:
        return str(uuid.UUID(bytes_le=bytes(values[0]))) if len(values[0]) == 16 else ""
    try:
        return values[0].decode()
    except UnicodeDecodeError:
        return ""


def subject_value(text: str, attribute: str) -> str | None:
    """A subject as a filter's value; None when there can be no such entry."""
    if attribute.lower() == OBJECT_GUID:
        try:
            return escaped(uuid.UUID(text).bytes_le)
        except ValueError:
            return None
    return escaped(text) if text else None


def primary_group_sid(entry: Entry) -> bytes | None:
    """The SID of the group whose members Active Directory does not list: the account's, with the last part replaced."""
    sids, group = entry.attributes.get("objectsid", ()), entry.number("primaryGroupID")
    if not sids or len(sids[0]) < 12 or group is None or not 0 <= group < 2**32:
        return None
    return sids[0][:-4] + group.to_bytes(4, "little")


def account_problem(entry: Entry, now: datetime) -> str | None:
    """Why the account may not be used, as far as its entry says."""
    if (entry.number("userAccountControl") or 0) & UAC_DISABLED or entry.text("nsAccountLock").upper() == "TRUE":
        return DISABLED
    if entry.text("pwdAccountLockedTime") == LOCKED_FOR_GOOD:
        return LOCKED
    ticks = entry.number("accountExpires")
    if ticks is not None and ticks not in FILETIME_NEVER:
        seconds = ticks / FILETIME_TICKS_PER_SECOND
        if seconds <= (now - FILETIME_EPOCH).total_seconds():
            return EXPIRED
    days = entry.number("shadowExpire")
    if days is not None and days >= 0 and days * SECONDS_PER_DAY <= now.timestamp():
        return EXPIRED
    return None


def password_problem(entry: Entry) -> str | None:
    """Why the password is not taken now, as far as the entry says: it has to be changed first, or was guessed at.

    The latter ends by itself, and is no reason to take away what the user has already: anybody can guess.
    """
    if (entry.number("msDS-User-Account-Control-Computed") or 0) & UAC_LOCKED:
        return LOCKED
    if (entry.number("msDS-User-Account-Control-Computed") or 0) & UAC_PASSWORD_EXPIRED:
        never_set = entry.number("pwdLastSet") == 0
        return PASSWORD_MUST_CHANGE if never_set else PASSWORD_EXPIRED
    unlimited = (entry.number("userAccountControl") or 0) & UAC_PASSWORD_NEVER_EXPIRES
    if entry.number("pwdLastSet") == 0 and not unlimited:
        return PASSWORD_MUST_CHANGE
    return None
