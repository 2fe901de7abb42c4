"""Records that somebody could not show who they are."""

from entrepot.actions import acts
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import FAILED, Act
from entrepot.errors import EntrepotError
from entrepot.identity import tokens, users
from entrepot.identity.errors import CredentialsInvalid, LoginDelayed
from entrepot.identity.tokens import Token
from entrepot.principal import Origin


async def record(
    app: App,
    name: str,
    origin: Origin,
    error: EntrepotError,
    action: Action = Action.LOGIN_PASSWORD,
    token: Token | None = None,
) -> EntrepotError:
    """Record the failure; what to raise, which is LoginDelayed where there were too many from there.

    Who has the right credentials never comes here, however many wrong ones came from the same address.
    """
    # Some give their token as the name: the log is read by many, and must not have it.
    name = tokens.redacted(name[: users.NAME_CHARACTERS_MAX])
    detail = {"token": token.id} if token is not None else None
    act = Act(action, f"user:{name}", outcome=FAILED, reason=error.message, detail=detail)
    wait = await acts.fail(app, origin, act)
    return LoginDelayed(f"too many wrong credentials: try again in {wait} seconds", wait) if wait else error


def wrong_password() -> CredentialsInvalid:
    """In the same words whatever was wrong, so that they do not tell who is."""
    return CredentialsInvalid("the user name or the password is wrong")
