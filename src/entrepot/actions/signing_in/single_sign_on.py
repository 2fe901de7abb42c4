"""People who sign in by an OpenID provider: what is kept while they are away, and the session they come back to."""

import logging
from dataclasses import dataclass

from sqlalchemy import Connection

from entrepot.actions import accounts, acts
from entrepot.actions.signing_in import passwords as sign_in
from entrepot.app import App
from entrepot.audit.record import FAILED, Act
from entrepot.errors import Invalid
from entrepot.identity import browser_logins, device_logins, sessions, users
from entrepot.identity.assertions import LEEWAY_SECONDS
from entrepot.identity.browser_logins import BrowserLogin
from entrepot.identity.device_logins import Limits
from entrepot.identity.errors import (
    CredentialsInvalid,
    LoginUnknown,
    ProviderUnavailable,
    ProviderUnknown,
    TokenInvalid,
    UserUnknown,
)
from entrepot.identity.oidc import DEVICE_INTERVAL_SECONDS, DeviceStart, RelyingParty, SignedIn, Waiting
from entrepot.identity.sessions import NewSession, Session
from entrepot.principal import ANONYMOUS, Credential, Origin, Principal
from entrepot.settings import OIDCProvider

LOGIN_SECONDS = 600
"""How long somebody may take at the provider."""
REDIRECT_CHARACTERS_MAX = 500
"""So long an address of the registry may be, that the cookie of a login fits into the 4 KB that browsers keep."""
SESSION = Credential("session")
_SESSION_BYTES = 3000
"""What remembering one costs, roughly."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """Where the browser goes, the name of the login there, and what this browser keeps until it is back."""

    url: str
    state: str
    sealed: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the browser brings back from the provider: a code or an error, and whatever else it has."""

    state: str
    sealed: str
    code: str
    error: str
    issuer: str | None


@dataclass(frozen=True, slots=True)
class Finished:
    """A session for the browser or the device. `return_to` is empty for a device."""

    session: str
    seconds: int
    return_to: str
    principal: Principal


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """What a device shows, and the secret that it asks with."""

    secret: str
    shown: DeviceStart


async def start(app: App, provider: str, redirect_uri: str, return_to: str) -> Started:
    """Raises ProviderUnknown, ProviderUnavailable, Invalid."""
    party = _party(app, provider)
    if len(redirect_uri) > REDIRECT_CHARACTERS_MAX:
        raise Invalid("the registry's address is too long to come back to from a provider: use another one")
    state = browser_logins.new_state()
    started = await party.start(redirect_uri, state)
    expires_at_ms = app.clock() + LOGIN_SECONDS * 1000
    login = BrowserLogin(started.nonce, started.verifier, redirect_uri, return_to, expires_at_ms)
    return Started(started.url, state, browser_logins.seal(app.keys.upload, provider, state, login), LOGIN_SECONDS)


async def finish(app: App, provider: str, answer: Answer, origin: Origin) -> Finished:
    """Raises LoginUnknown, CredentialsInvalid, TokenInvalid, ProviderUnknown, ProviderUnavailable."""
    party = _party(app, provider)
    login = browser_logins.unseal(app.keys.upload, provider, answer.state, answer.sealed, app.clock())
    if login is None or await app.database.look_up(browser_logins.is_used, answer.state):
        raise _login_unknown()
    try:
        signed_in = await _exchange(party, login, answer)
    except (CredentialsInvalid, TokenInvalid) as error:
        await _note_failure(app, provider, origin, error.message)
        raise
    if not await app.database.write(browser_logins.use, answer.state, login):
        raise _login_unknown()
    return await _begin_session(app, provider, signed_in, origin, login.return_to)


async def _exchange(party: RelyingParty, login: BrowserLogin, answer: Answer) -> SignedIn:
    if answer.error or not answer.code:
        raise CredentialsInvalid(f"the provider refused the login ({answer.error or 'no code'}): sign in again")
    return await party.finish(login.redirect_uri, answer.code, login.verifier, login.nonce, answer.issuer)


def _login_unknown() -> LoginUnknown:
    return LoginUnknown(
        "this login was not started in this browser, is finished already, or took too long: sign in again"
    )


async def start_device(app: App, provider: str, origin: Origin) -> DeviceLogin:
    """Raises ProviderUnknown, TooManyDeviceLogins, ProviderUnavailable."""
    party, settings = _party(app, provider), app.settings.login
    limits = Limits(settings.device_logins_per_address_max, settings.device_logins_max)
    # Most who are too many learn it here, and wait for nobody.
    await app.database.read(device_logins.check, origin.address, limits, app.clock())
    secret = device_logins.new_secret()
    await app.database.write_soon(device_logins.reserve, secret, provider, origin.address, limits, app.clock())
    shown = await party.start_device()
    now_ms = app.clock()
    expires_at_ms = now_ms + shown.expires_in * 1000
    if not await app.database.write_soon(
        device_logins.begin, secret, shown.device_code, shown.interval, now_ms, expires_at_ms
    ):
        raise ProviderUnavailable("the provider took too long to start a login on a device: start it again")
    return DeviceLogin(secret, shown)


async def poll_device(app: App, provider: str, secret: str, origin: Origin) -> Finished | Waiting:
    """Ask the provider, no more often than it said. Raises what `finish` raises."""
    party, now_ms = _party(app, provider), app.clock()
    next_at_ms = await app.database.look_up(device_logins.next_at_ms, secret, provider, now_ms)
    if next_at_ms is None:
        raise LoginUnknown("this login was not started here, is finished already, or took too long: start it again")
    if now_ms < next_at_ms:
        return Waiting.SLOW_DOWN
    device_code = await app.database.write_soon(device_logins.take_turn, secret, provider, now_ms)
    if device_code is None:
        return Waiting.SLOW_DOWN
    try:
        answer = await party.poll_device(device_code)
    except (CredentialsInvalid, TokenInvalid) as error:
        await app.database.write_soon(device_logins.end, secret)
        await _note_failure(app, provider, origin, error.message)
        raise
    if isinstance(answer, SignedIn):
        await app.database.write_soon(device_logins.end, secret)
        return await _begin_session(app, provider, answer, origin, "")
    if answer is Waiting.SLOW_DOWN:
        await app.database.write_soon(device_logins.slow_down, secret, DEVICE_INTERVAL_SECONDS)
    return answer


async def with_session(app: App, value: str, origin: Origin) -> Principal | None:
    """The user of a session's cookie; None when the session is over or its user may not sign in any more."""
    if not 0 < len(value) <= sessions.VALUE_CHARACTERS_MAX:
        return None
    key = sessions.hash_of(value)
    session: Session | None = app.cache.get(sessions.TOPIC, key)
    if session is None:
        stamp = app.cache.stamp()
        session = await app.database.look_up(sessions.find, value, app.clock())
        if session is not None:
            app.cache.put(stamp, sessions.TOPIC, key, session, _SESSION_BYTES)
    if session is None:
        acts.gather(app, ANONYMOUS, origin, Act("login:session", "user:", outcome=FAILED, reason="no such session"))
        return None
    if session.expires_at_ms <= app.clock():
        return None
    # By number: a name may have become another user's since the session began.
    user = await accounts.by_id(app, session.user_id)
    if user is None or not user.usable:
        return None
    return accounts.principal(user, SESSION)


async def log_out(app: App, value: str, origin: Origin, return_to: str) -> str | None:
    """End the session; answers where the provider's own session is ended, if there is such a place."""
    session = await app.database.read(sessions.find, value, app.clock())
    if session is None or not await app.database.write(sessions.end, value):
        return None
    principal = Principal(session.user_provider, session.user_name, credential=SESSION, user_id=session.user_id)
    await acts.keep(app, principal, origin, Act("logout:session", f"user:{principal.key}"))
    if not session.id_token:
        return None
    try:
        return await _party(app, session.provider).logout_url(session.id_token, return_to)
    except (ProviderUnknown, ProviderUnavailable) as error:
        log.warning("signed out here, but not there: %s", error.message)
        return None


async def log_out_by_provider(app: App, provider: str, token: str, origin: Origin) -> int:
    """End what the provider says is over; answers how many sessions. Raises TokenInvalid, ProviderUnavailable."""
    logout = await _party(app, provider).logout(token)
    before_ms = (logout.issued_at + 1 + LEEWAY_SECONDS) * 1000
    count = await app.database.write(sessions.end_of_provider, provider, logout.subject, logout.session, before_ms)
    detail: dict[str, object] = {"subject": logout.subject[: users.NAME_CHARACTERS_MAX], "sessions": count}
    await acts.keep(app, ANONYMOUS, origin, Act("logout:provider", f"provider:{provider}", detail=detail))
    return count


async def _begin_session(app: App, provider: str, signed_in: SignedIn, origin: Origin, return_to: str) -> Finished:
    principal = await sign_in.with_external_user(
        app, provider, signed_in.user, origin, credential=SESSION, action="login:oidc"
    )
    value, now_ms, seconds = sessions.new_value(), app.clock(), app.settings.login.session_seconds
    await app.database.write(
        _start_session, value, provider, signed_in, principal, origin.address, now_ms, now_ms + seconds * 1000
    )
    return Finished(value, seconds, return_to, principal)


def _start_session(
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


async def _note_failure(app: App, provider: str, origin: Origin, reason: str) -> None:
    await acts.fail(app, origin, Act("login:oidc", f"provider:{provider}", outcome=FAILED, reason=reason))


def _party(app: App, provider: str) -> RelyingParty:
    for settings in app.settings.providers:
        if settings.name == provider and isinstance(settings, OIDCProvider) and settings.client_id:
            return RelyingParty(settings, app.issuers.of(provider), app.outbound, app.clock)
    raise ProviderUnknown("there is no provider of this name that people sign in by")
