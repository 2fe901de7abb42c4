"""Making, revoking and rotating the tokens of users and robots."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from entrepot.access.permissions import Permission
from entrepot.actions import accounts, acts
from entrepot.actions.manage import robots, standing
from entrepot.actions.manage.standing import Standing
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.errors import Denied
from entrepot.identity import tokens, users
from entrepot.identity.errors import TokenInvalid, UserUnknown
from entrepot.identity.tokens import PERSONAL, REFRESH, ROBOT, Token
from entrepot.identity.users import User
from entrepot.principal import Caller, Limit, Principal


@dataclass(frozen=True, slots=True)
class TokenTerms:
    """A token that is to be made. `limits` is None for one that reaches as far as its owner."""

    name: str
    limits: tuple[Limit, ...] | None
    expires_in_seconds: int | None


async def own_account(app: App, principal: Principal) -> User:
    """The account whose tokens the caller may make. Raises Denied for robots and workloads.

    What a machine is let in with is revoked, and ends; with tokens that it makes itself it would come back.
    """
    user = await accounts.find(app, principal)
    if user is None or user.is_robot or principal.credential.kind == "workload":
        raise Denied("robots and workloads cannot create tokens for themselves: ask whoever manages the robot")
    return user


async def create(app: App, caller: Caller, user: User, wanted: TokenTerms) -> tuple[Token, str]:
    """A new token of the user's and its text. Raises UserUnknown, Invalid, TokenInvalid.

    Made with a token of the same user's, it ends with that at the latest, and is revoked with it: somebody who got hold
    of one does not stay for longer than it. Raises Denied for a robot's that reaches further, or lives longer, than
    what the caller has.
    """
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> tuple[tuple[Token, str], list[Act]]:
        owner = _current(connection, user)
        now_ms = app.clock()
        made_with = _made_with(connection, caller.principal, owner, now_ms)
        expires_at_ms = _expiry(wanted.expires_in_seconds, made_with, now_ms)
        _require_may_hand_out(connection, standing.of(connection, asked), owner, wanted.limits, expires_at_ms)
        token, text = tokens.add(
            connection,
            ROBOT if owner.is_robot else PERSONAL,
            owner,
            wanted.name,
            limits=wanted.limits,
            expires_at_ms=expires_at_ms,
            now_ms=now_ms,
            parent_id=None if made_with is None else made_with.id,
        )
        return (token, text), [_act(Action.TOKEN_CREATE, owner, token)]

    doing = acts.change_as(app, caller, run)
    return await acts.or_refuse(app, caller, Action.TOKEN_CREATE, f"user:{user.key}", doing)


async def revoke(app: App, caller: Caller, user: User, token_id: str) -> None:
    """Raises TokenUnknown."""

    def run(connection: Connection) -> tuple[None, list[Act]]:
        token = tokens.require(connection, user.id, token_id)
        tokens.remove(connection, token)
        return None, [_act(Action.TOKEN_REVOKE, user, token)]

    await acts.change_as(app, caller, run)


async def rotate(app: App, caller: Caller, user: User, token_id: str, overlap_seconds: int) -> tuple[Token, str]:
    """A token in the place of this one, for as long as that was. Raises TokenUnknown, UserUnknown, Denied, Invalid."""
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> tuple[tuple[Token, str], list[Act]]:
        owner = _current(connection, user)
        now_ms = app.clock()
        old = tokens.require(connection, owner.id, token_id)
        if old.kind == REFRESH:
            raise Denied("a refresh token cannot be rotated: revoke it and sign in again")
        made_with = _made_with(connection, caller.principal, owner, now_ms)
        if made_with is not None and made_with.id != old.id:
            raise Denied("a token can only rotate itself: sign in with the password to rotate another one")
        lifetime = None if old.expires_at_ms is None else (old.expires_at_ms - old.created_at_ms) // 1000
        source = made_with
        if source is None and old.parent_id is not None:
            source = tokens.find(connection, old.parent_id)
        expires_at_ms = _expiry(lifetime, source, now_ms)
        _require_may_hand_out(connection, standing.of(connection, asked), owner, old.limits, expires_at_ms)
        token, text = tokens.rotate(
            connection,
            owner,
            old,
            overlap_ms=overlap_seconds * 1000,
            expires_at_ms=expires_at_ms,
            now_ms=now_ms,
        )
        act = _act(Action.TOKEN_ROTATE, owner, token, replaces=old.id, overlap_seconds=overlap_seconds)
        return (token, text), [act]

    doing = acts.change_as(app, caller, run)
    return await acts.or_refuse(app, caller, Action.TOKEN_ROTATE, f"user:{user.key}", doing)


def plain(limit: Limit) -> dict[str, object]:
    """A limit as the API and the audit log write it."""
    return {"permissions": sorted(limit.permissions), "kind": limit.kind, "path": limit.path}


def _current(connection: Connection, user: User) -> User:
    current = users.get(connection, user.id)
    if current is None:
        raise UserUnknown(f"the user {user.key} no longer exists")
    return current


def _made_with(connection: Connection, principal: Principal, owner: User, now_ms: int) -> Token | None:
    """The token that somebody uses to make another one of their own; None for other credentials, and other owners.

    Raises TokenInvalid when it was just revoked, and Denied for a job, whose proof ends and leaves nothing behind.
    """
    if principal.user_id != owner.id:
        return None
    if principal.credential.kind == "workload":
        raise Denied("a workload cannot create tokens for its robot: ask whoever manages the robot")
    if principal.credential.kind not in {"token", "robot"}:
        return None
    token = tokens.find(connection, principal.credential.id)
    if token is None or token.expired(now_ms):
        raise TokenInvalid("the token was revoked or has expired: create a new one")
    return token


def _require_may_hand_out(
    connection: Connection, acting: Standing, owner: User, limits: tuple[Limit, ...] | None, expires_at_ms: int | None
) -> None:
    """Raises Denied for a robot's token that can do more, or for longer, than who makes it."""
    if not owner.is_robot:
        return
    what = f"creating a token of {owner.key}"
    wanted = standing.rights_of(connection, owner, limits=limits, until_ms=expires_at_ms)
    standing.require(acting, wanted, what)
    if acting.user.id != owner.id:
        place = robots.namespace_of(owner.name)
        standing.require_no_longer(acting, Permission.ROBOT_WRITE, place, expires_at_ms, what)


def _expiry(lifetime_seconds: int | None, source: Token | None, now_ms: int) -> int | None:
    ends = [now_ms + lifetime_seconds * 1000] if lifetime_seconds is not None else []
    if source is not None and source.expires_at_ms is not None:
        ends.append(source.expires_at_ms)
    return min(ends) if ends else None


def _act(action: Action, user: User, token: Token, **detail: object) -> Act:
    limits = None if token.limits is None else [plain(limit) for limit in token.limits]
    known = {
        "id": token.id,
        "name": token.name,
        "kind": token.kind,
        "limits": limits,
        "expires_at": None if token.expires_at_ms is None else datetime.fromtimestamp(token.expires_at_ms // 1000, UTC),
    }
    return Act(action, f"user:{user.key}", detail={**known, **detail})
