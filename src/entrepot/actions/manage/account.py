"""What somebody who is signed in learns and changes about the own account."""

from dataclasses import dataclass

from sqlalchemy import Connection

from entrepot.access.conditions import Context
from entrepot.actions import accounts, acts
from entrepot.actions.signing_in.passwords import confirm as confirm_password
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.errors import Conflict
from entrepot.identity import groups, handed_out, passwords, users
from entrepot.identity.errors import PasswordTooWeak, ProviderDecides, TokenInvalid
from entrepot.identity.users import LOCAL, User
from entrepot.principal import Caller, Principal


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """`roles` are those for the whole registry, now."""

    user: User
    owner: str | None
    groups: list[str]
    roles: list[str]


async def read(app: App, caller: Caller) -> OwnAccount:
    """Raises TokenInvalid when the user was removed just now."""
    user = await _user(app, caller.principal)
    rights = await accounts.rights_of(app, user)
    of_user = await app.database.read(groups.of_user, user.id)
    owner = await accounts.owner_key(app, caller.principal)
    roles = rights.roles_at(None, Context(caller, app.clock()))
    return OwnAccount(user, owner, sorted(of_user.values()), roles)


async def change_password(app: App, caller: Caller, current: str, new: str) -> None:
    """Ends all sessions and refresh tokens; personal tokens are revoked by themselves.

    Raises PasswordWrong, PasswordTooWeak, LoginDelayed, ProviderDecides.
    """
    user = await _user(app, caller.principal)
    if user.provider != LOCAL or user.password_hash is None:
        raise ProviderDecides(f"this registry has no password of {user.key}: change it at the provider")
    await confirm_password(app, user, current, caller.origin)
    passwords.check_rules(user.name, new, app.settings.login.password_characters_min)
    if new == current:
        raise PasswordTooWeak("the new password is the same as the current one: choose another")
    password_hash = await app.passwords.hash(new, user.key)

    def run(connection: Connection) -> None:
        now = users.get(connection, user.id)
        if now is None or not (now.password_hash == user.password_hash or passwords.outdated(user.password_hash or "")):
            raise Conflict("the password was changed in the meantime: sign in again")
        handed_out.end(connection, users.change(connection, now, password_hash=password_hash))

    act = Act(Action.PASSWORD_CHANGE, f"user:{user.key}", detail={"by": "the user"})
    await acts.change(app, caller, act, run)


async def _user(app: App, principal: Principal) -> User:
    user = await accounts.find(app, principal)
    if user is None:
        raise TokenInvalid("the user no longer exists")
    return user
