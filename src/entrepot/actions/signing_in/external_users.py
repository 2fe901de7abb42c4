"""Users of providers: they get a row here at their first login, and are brought up to date by each."""

from sqlalchemy import Connection

from entrepot.actions import accounts, acts
from entrepot.actions.signing_in import usable
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import REFUSED, Act
from entrepot.errors import StorageFull
from entrepot.identity import groups, users
from entrepot.identity.errors import AccountDisabled
from entrepot.identity.external import ExternalUser
from entrepot.identity.users import User
from entrepot.principal import Caller, Credential, Origin, Principal


async def sign_in(
    app: App, provider: str, known: ExternalUser, origin: Origin, *, credential: Credential, action: Action
) -> Principal:
    """Who a provider's user is here: made or brought up to date, and recorded as signed in.

    Raises AccountDisabled.
    """
    user = await provision(app, provider, known)
    principal = accounts.principal(user, credential)
    # Names change, and are given to others: what the provider identifies the user by does not.
    detail = {"provider": provider, "subject": known.subject}
    try:
        usable.require(app, user)
    except AccountDisabled as error:
        refused = Act(action, f"user:{user.key}", outcome=REFUSED, reason=error.message, detail=detail)
        await acts.keep(app, Caller(principal, origin), refused)
        raise
    await acts.keep(app, Caller(principal, origin), Act(action, f"user:{user.key}", detail=detail))
    return principal


async def provision(app: App, provider: str, known: ExternalUser) -> User:
    try:
        return await app.database.write(_provision_row, provider, known, app.clock())
    except StorageFull:
        # Who was here before is let in as before.
        user = await app.database.read(users.find_subject, provider, known.subject)
        if user is None or user.gone:
            raise
        return await app.database.read(users.account, user)


def _provision_row(connection: Connection, provider: str, known: ExternalUser, now_ms: int) -> User:
    user = users.provision(connection, provider, known, now_ms)
    account = users.account(connection, user)
    # The groups are those of the login, whoever it is linked to.
    groups.set_of_user(connection, account, provider, known.groups, now_ms)
    return account if user.usable else user
