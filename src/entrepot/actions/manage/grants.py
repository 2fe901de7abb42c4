"""Granting and revoking. Nobody grants what they do not have: not more, not elsewhere, not for longer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from entrepot.access import conditions, grants, reach, roles
from entrepot.access.errors import GrantInvalid
from entrepot.access.grants import EVERYONE, GROUP, USER, Grant, Subject
from entrepot.access.permissions import FOR_EVERYONE, Permission
from entrepot.access.places import Place
from entrepot.access.reach import Wanted
from entrepot.access.roles import Role
from entrepot.actions import acts
from entrepot.actions.authorize import place_resource
from entrepot.actions.manage import standing
from entrepot.actions.manage.standing import Standing
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.hashing import time_text
from entrepot.audit.record import Act
from entrepot.errors import Denied
from entrepot.identity import groups, users
from entrepot.identity.errors import GroupUnknown, UserUnknown
from entrepot.identity.users import User
from entrepot.principal import Caller

OWN_GROUPS = users.LOCAL
"""The provider of the groups that are kept here; all others may be granted something before they are known."""


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """A grant to be made. `subject` is `provider:name` of a user or a group, empty for the other kinds."""

    role: str
    subject_kind: str
    subject: str
    place: Place
    condition: str | None
    expires_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A grant, and whom it is for."""

    grant: Grant
    subject: str


Expect = Callable[[Shown], None]


def shown(connection: Connection, found: Iterable[Grant]) -> list[Shown]:
    """Grants with the names of those whom they are for."""
    listed = list(found)
    names = {
        USER: users.keys(connection, [g.subject.id or 0 for g in listed if g.subject.kind == USER]),
        GROUP: groups.keys(connection, [g.subject.id or 0 for g in listed if g.subject.kind == GROUP]),
    }
    return [Shown(g, names.get(g.subject.kind, {}).get(g.subject.id or 0, "")) for g in listed]


def page(
    connection: Connection, *, after: int, limit: int, place: Place | None, below: str, subject_kind: str, subject: str
) -> list[Shown]:
    """A page of grants; none for somebody who is not there."""
    wanted = None
    if subject_kind:
        provider, _, name = subject.partition(":")
        known = (users if subject_kind == USER else groups).find(connection, provider, name)
        if known is None:
            return []
        wanted = Subject(subject_kind, known.id)
    found = grants.page(connection, after=after, limit=limit, place=place, below=below or None, subject=wanted)
    return shown(connection, found)


def require(connection: Connection, grant_id: int) -> Shown:
    """Raises GrantUnknown."""
    return shown(connection, [grants.require(connection, grant_id)])[0]


async def add(app: App, caller: Caller, terms: GrantTerms) -> tuple[Shown, bool]:
    """Make the grant, and say whether it is new. Raises Denied, RoleUnknown, GrantInvalid, UserUnknown, GroupUnknown.

    What the granter may is read in the transaction: who loses a right cannot pass it on meanwhile.
    """
    detail: dict[str, object] = {"role": terms.role, "subject": terms.subject or terms.subject_kind}
    if terms.condition is not None:
        detail["condition"] = terms.condition
    if terms.expires_at_ms is not None:
        detail["expires_at"] = time_text(terms.expires_at_ms)
    act = Act(Action.GRANT_CREATE, place_resource(terms.place), detail=detail)
    if terms.condition is not None:
        conditions.check(terms.condition)
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> tuple[tuple[Shown, bool], list[Act]]:
        now_ms = app.clock()
        roles.lock(connection, terms.role, to_change=False)
        role = roles.require(connection, terms.role)
        _require_reach(standing.of(connection, asked), role, terms)
        if terms.expires_at_ms is not None and terms.expires_at_ms <= now_ms:
            raise GrantInvalid("the grant's expiry is in the past: choose a later time")
        if terms.subject_kind == EVERYONE and not role.permissions <= FOR_EVERYONE:
            raise GrantInvalid("everyone, signed in or not, can only get reading permissions: grant the role reader")
        grant, new = grants.add(
            connection,
            role.name,
            _subject(connection, app, terms, now_ms),
            terms.place,
            condition=terms.condition,
            expires_at_ms=terms.expires_at_ms,
            created_by=caller.principal.key,
            now_ms=now_ms,
        )
        return (Shown(grant, terms.subject), new), [act] if new else []

    return await acts.or_refuse(app, caller, act.action, act.resource, acts.change_as(app, caller, run))


async def remove(app: App, caller: Caller, known: Shown, expect: Expect) -> None:
    """Revoke a grant. Raises GrantUnknown."""

    def run(connection: Connection) -> None:
        expect(require(connection, known.grant.id))
        grants.remove(connection, known.grant.id)

    grant = known.grant
    detail = {"id": grant.id, "role": grant.role, "subject": known.subject or grant.subject.kind}
    act = Act(Action.GRANT_DELETE, place_resource(grant.place), detail=detail)
    await acts.change(app, caller, act, run)


def _subject(connection: Connection, app: App, terms: GrantTerms, now_ms: int) -> Subject:
    provider, _, name = terms.subject.partition(":")
    if terms.subject_kind == USER:
        return Subject(USER, _user(connection, app, provider, name).id)
    if terms.subject_kind != GROUP:
        return Subject(terms.subject_kind)
    if provider == OWN_GROUPS:
        return Subject(GROUP, groups.require(connection, provider, name).id)
    if provider not in _providers(app):
        raise GroupUnknown(
            f"there is no provider {provider[:64]}: groups are of {', '.join([OWN_GROUPS, *_providers(app)])}"
        )
    return Subject(GROUP, groups.ensure(connection, provider, name, now_ms).id)


def _user(connection: Connection, app: App, provider: str, name: str) -> User:
    try:
        user = users.require(connection, provider, name)
    except UserUnknown:
        if provider in _providers(app):
            raise UserUnknown(
                f"{name[:255]} of {provider} has never signed in: grant the role to a group instead"
            ) from None
        raise
    if user.linked_to is not None:
        account = users.account(connection, user)
        raise GrantInvalid(f"{user.key} is linked to {account.key}: grant the role to that user")
    return user


def _providers(app: App) -> list[str]:
    return [provider.name for provider in app.settings.providers]


def _require_reach(standing: Standing, role: Role, terms: GrantTerms) -> None:
    """Raises Denied, which says what the granter lacks."""
    permissions = role.permissions | {Permission.GRANT_WRITE}
    wanted = Wanted(permissions, terms.place, terms.condition, terms.expires_at_ms)
    found = reach.lacking(standing.holder, [wanted])
    limited = [str(lack) for lack in found if lack.limited]
    if limited:
        raise Denied(
            f"your token is limited and does not allow {', '.join(limited)} in {terms.place}",
            {"lacking": limited},
        )
    if found:
        lacks = [str(lack) for lack in found]
        raise Denied(
            f"you can grant only permissions that you have: for the role {role.name} in {terms.place} you lack "
            f"{', '.join(lacks)}. Ask an administrator",
            {"lacking": lacks},
        )
