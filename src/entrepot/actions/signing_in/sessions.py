"""Signing in to a browser session with a password: the registry's own users, and those of directories."""

from sqlalchemy import Connection

from entrepot.actions import accounts
from entrepot.actions.signing_in import passwords as sign_in
from entrepot.app import App
from entrepot.identity import sessions
from entrepot.identity.errors import CredentialsInvalid
from entrepot.identity.sessions import NewSession
from entrepot.identity.tokens import looks_like_token
from entrepot.principal import Origin


async def start(app: App, name: str, password: str, origin: Origin) -> tuple[str, int]:
    """The cookie's value of the new session, and its seconds. Raises what `sign_in.with_password` raises."""
    if looks_like_token(password):
        # What is limited must not become a session, which is not.
        raise CredentialsInvalid("a browser signs in with a password, not with a token")
    principal = await sign_in.with_password(app, name, password, origin)
    user = await accounts.find(app, principal)
    if user is None:
        raise CredentialsInvalid("the user was removed meanwhile: try again")
    value, now_ms, seconds = sessions.new_value(), app.clock(), app.settings.login.session_seconds
    started = NewSession(user.id, user.provider, origin.address)

    def run(connection: Connection) -> None:
        sessions.start(connection, value, started, now_ms, now_ms + seconds * 1000)

    await app.database.write(run)
    return value, seconds
