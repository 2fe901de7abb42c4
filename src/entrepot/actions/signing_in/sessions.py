"""Sessions of browsers and of devices: how they begin, whose they are, and the ways in which they end."""

import logging
from dataclasses import dataclass

from sqlalchemy import Connection

from entrepot.actions import accounts, acts
from entrepot.actions.signing_in import external_users, passwords
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import FAILED, Act
from entrepot.database import topics
from entrepot.identity import sessions, users
from entrepot.identity.assertions import LEEWAY_SECONDS
from entrepot.identity.errors import CredentialsInvalid, ProviderUnavailable, ProviderUnknown, UserUnknown
from entrepot.identity.oidc import SignedIn
from entrepot.identity.sessions import NewSession
from entrepot.identity.tokens import looks_like_token
from entrepot.principal import ANONYMOUS, Caller, Credential, Origin, Principal

SESSION = Credential("session")
_SESSION_BYTES = 3000
"""What remembering one costs, roughly."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finished:
    """A session for the browser or the device. `return_to` is empty for a device."""

    session: str
    seconds: int
    return_to: str
    principal: Principal


async def check(app: App, value: str, origin: Origin) -> Principal | None:
    """The user of a session's cookie; None when the session is over or its user may not sign in any more."""
    if not 0 < len(value) <= sessions.VALUE_CHARACTERS_MAX:
        return None
    session = await app.caches.accounts.remember(
        topics.SESSIONS,
        sessions.hash_of(value),
        lambda: app.database.look_up(sessions.find, value, app.clock()),
        _SESSION_BYTES,
    )
    if session is None:
        acts.gather(
            app,
            Caller(ANONYMOUS, origin),
            Act(
                Action.LOGIN_SESSION,
                "user:",
                outcome=FAILED,
                reason="the session does not exist or has ended: sign in again",
            ),
        )
        return None
    if session.expires_at_ms <= app.clock():
        return None
    # By number: a name may have become another user's since the session began.
    user = await accounts.by_id(app, session.user_id)
    if user is None or not user.usable:
        return None
    return accounts.principal(user, SESSION)


async def begin_by_password(app: App, name: str, password: str, origin: Origin) -> tuple[str, int]:
    """The cookie's value of the new session, and its seconds. Raises what `passwords.check` raises."""
    if looks_like_token(password):
        # What is limited must not become a session, which is not.
        raise CredentialsInvalid("sign in with your password: a token cannot be used in a browser")
    principal = await passwords.check(app, name, password, origin)
    user = await accounts.find(app, principal)
    if user is None:
        raise CredentialsInvalid("the user was removed in the meantime: try again")
    value, now_ms, seconds = sessions.new_value(), app.clock(), app.settings.login.session_seconds
    started = NewSession(user.id, user.provider, origin.address)

    def run(connection: Connection) -> None:
        sessions.start(connection, value, started, now_ms, now_ms + seconds * 1000)

    await app.database.write(run)
    return value, seconds


async def begin_by_provider(app: App, provider: str, signed_in: SignedIn, origin: Origin, return_to: str) -> Finished:
    principal = await external_users.sign_in(
        app, provider, signed_in.user, origin, credential=SESSION, action=Action.LOGIN_OIDC
    )
    value, now_ms, seconds = sessions.new_value(), app.clock(), app.settings.login.session_seconds
    await app.database.write(
        _start, value, provider, signed_in, principal, origin.address, now_ms, now_ms + seconds * 1000
    )
    return Finished(value, seconds, return_to, principal)


def _start(
    connection: Connection,
    value: str,
    provider: str,
    signed_in: SignedIn,
    principal: Principal,
    address: str,
    now_ms: int,
    expires_at_ms: int,
) -> None:
    user = users.get(connection, principal.user_id or 0)
    if user is None:
        raise UserUnknown("the user was removed just now: sign in again")
    sessions.expire(connection, now_ms)
    started = NewSession(user.id, provider, address, signed_in.session, signed_in.user.subject, signed_in.id_token)
    sessions.start(connection, value, started, now_ms, expires_at_ms)


async def end(app: App, value: str, origin: Origin, return_to: str) -> str | None:
    """End the session; answers where the provider's own session is ended, if there is such a place."""
    session = await app.database.read(sessions.find, value, app.clock())
    if session is None or not await app.database.write(sessions.end, value):
        return None
    principal = Principal(session.user_provider, session.user_name, credential=SESSION, user_id=session.user_id)
    await acts.keep(app, Caller(principal, origin), Act(Action.LOGOUT_SESSION, f"user:{principal.key}"))
    if not session.id_token:
        return None
    try:
        return await app.providers.relying_party(session.provider).logout_url(session.id_token, return_to)
    except (ProviderUnknown, ProviderUnavailable) as error:
        log.warning("signed out here, but not at the provider: %s", error.message)
        return None


async def end_by_provider(app: App, provider: str, token: str, origin: Origin) -> int:
    """End what the provider says is over; answers how many sessions. Raises TokenInvalid, ProviderUnavailable."""
    logout = await app.providers.relying_party(provider).logout(token)
    before_ms = (logout.issued_at + 1 + LEEWAY_SECONDS) * 1000
    count = await app.database.write(sessions.end_of_provider, provider, logout.subject, logout.session, before_ms)
    detail: dict[str, object] = {"subject": logout.subject[: users.NAME_CHARACTERS_MAX], "sessions": count}
    await acts.keep(app, Caller(ANONYMOUS, origin), Act(Action.LOGOUT_PROVIDER, f"provider:{provider}", detail=detail))
    return count


async def note_failure(app: App, provider: str, origin: Origin, reason: str) -> None:
    await acts.fail(app, origin, Act(Action.LOGIN_OIDC, f"provider:{provider}", outcome=FAILED, reason=reason))
