"""Handing out: does somebody have all that they are about to give away, everywhere, as long, under the same conditions?

The one question behind every act that gives rights to somebody: granting, changing a role, making a token, setting a
password, linking logins, adding to a group, publishing. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from entrepot.access import credentials
from entrepot.access.conditions import Context
from entrepot.access.permissions import GRANTABLE, PLACED, Permission
from entrepot.access.places import REGISTRY, Place
from entrepot.access.rights import Rights
from entrepot.principal import Limit

_REGISTRY = Place(REGISTRY, "")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Permissions in a place that somebody is to have: under a condition, until a time (milliseconds since the epoch).

    `grant_id` is that of the grant by which a target has them already; who has the same grant hands out nothing new.
    """

    permissions: frozenset[Permission]
    place: Place
    condition: str | None = None
    expires_at_ms: int | None = None
    grant_id: int | None = None


EVERYTHING = (Wanted(GRANTABLE, _REGISTRY),)
"""The reach of an administrator."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who hands out: the rights of the account, and the request with its credentials."""

    rights: Rights
    administrator: bool
    context: Context


@dataclass(frozen=True, slots=True)
class Lack:
    """What a holder does not have of what is wanted. `limited` when the credentials are what lacks it."""

    permission: Permission
    place: Place
    why: str = ""
    limited: bool = False

    def __str__(self) -> str:
        return f"{self.permission.value} ({self.why})" if self.why else self.permission.value


def lacking(holder: Holder, wanted: Iterable[Wanted]) -> list[Lack]:
    """What the holder does not have, in the order in which it is wanted; empty when nothing is missing."""
    own = {right.grant_id for right in holder.rights} if not holder.administrator else set()
    found: dict[tuple[Permission, Place], Lack] = {}
    for one in wanted:
        if one.expires_at_ms is not None and one.expires_at_ms <= holder.context.now_ms:
            continue
        for permission in sorted(one.permissions, key=lambda permission: permission.value):
            lack = _lack(holder, permission, one, shared=one.grant_id in own)
            if lack is not None:
                found.setdefault((permission, lack.place), lack)
    return list(found.values())


def outlives(holder: Holder, permission: Permission, place: Place, expires_at_ms: int | None) -> int | None:
    """When the right by which the holder makes something in a place ends, if that is before it does; None if not."""
    if holder.administrator:
        return None
    ends = [right.expires_at_ms for right in holder.rights.throughout(permission, place, holder.context)]
    latest = max((end for end in ends if end is not None), default=None)
    if None in ends or latest is None or (expires_at_ms is not None and expires_at_ms <= latest):
        return None
    return latest


def wanted_of(rights: Rights, *, limits: tuple[Limit, ...] | None = None, until_ms: int | None = None) -> list[Wanted]:
    """What credentials of somebody with these rights can do, within limits and until a time."""
    found: list[Wanted] = []
    for right in rights:
        # What is only to be had for the whole registry is worth nothing elsewhere.
        permissions = right.role.permissions if right.place.kind == REGISTRY else right.role.permissions & PLACED
        end = _earlier(right.expires_at_ms, until_ms)
        one = Wanted(permissions, right.place, right.condition, end, right.grant_id)
        found += [one] if limits is None else _within(one, limits)
    return [one for one in found if one.permissions]


def everything(*, limits: tuple[Limit, ...] | None = None, until_ms: int | None = None) -> list[Wanted]:
    """What credentials of an administrator can do, within limits and until a time."""
    one = Wanted(GRANTABLE, _REGISTRY, expires_at_ms=until_ms)
    return [one] if limits is None else _within(one, limits)


def _lack(holder: Holder, permission: Permission, wanted: Wanted, *, shared: bool) -> Lack | None:
    place = wanted.place if permission in PLACED else _REGISTRY
    principal = holder.context.caller.principal
    if principal.scopes is not None or not credentials.within_limits_throughout(principal, permission, place):
        return Lack(permission, place, limited=True)
    if holder.administrator or shared:
        return None
    found = holder.rights.throughout(permission, place, holder.context)
    if not found:
        return Lack(permission, place)
    ends = [right.expires_at_ms for right in found if right.condition in {None, wanted.condition}]
    if not ends:
        return Lack(
            permission,
            place,
            f"you have it only under the condition {found[0].condition}, and can pass it on only with this condition",
        )
    latest = max((end for end in ends if end is not None), default=0)
    if None not in ends and (wanted.expires_at_ms is None or wanted.expires_at_ms > latest):
        return Lack(
            permission, place, f"you have it only until {time_text(latest)}, and can pass it on only until then"
        )
    return None


def _within(wanted: Wanted, limits: Iterable[Limit]) -> list[Wanted]:
    """What the limits leave of it: at least what they do, where two places overlap in a way that cannot be told."""
    found = []
    for limit in limits:
        named = {one for one in wanted.permissions if {"*", one.value} & limit.permissions}
        place = _overlap(wanted.place, Place(limit.kind, limit.path))
        if place is not None:
            permissions = frozenset(named if place.kind == REGISTRY else named & PLACED)
            found.append(Wanted(permissions, place, wanted.condition, wanted.expires_at_ms, wanted.grant_id))
    return found


def _overlap(one: Place, other: Place) -> Place | None:
    if one.includes(other):
        return other
    if other.includes(one):
        return one
    apart = one.anchor is not None and other.anchor is not None and not _related(one.anchor, other.anchor)
    return None if apart else one


def _related(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def time_text(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((end for end in (one, other) if end is not None), default=None)
