"""People who sign in by an OpenID provider in a browser: what is kept while they are away, and their coming back."""

from dataclasses import dataclass

from entrepot.actions.signing_in import sessions
from entrepot.actions.signing_in.sessions import Finished
from entrepot.app import App
from entrepot.errors import Invalid
from entrepot.identity import browser_logins
from entrepot.identity.browser_logins import BrowserLogin
from entrepot.identity.errors import CredentialsInvalid, LoginUnknown, TokenInvalid
from entrepot.identity.oidc import RelyingParty, SignedIn
from entrepot.principal import Origin

LOGIN_SECONDS = 600
"""How long somebody may take at the provider."""
REDIRECT_CHARACTERS_MAX = 500
"""So long an address of the registry may be, that the cookie of a login fits into the 4 KB that browsers keep."""


@dataclass(frozen=True, slots=True)
class Started:
    """Where the browser goes, the name of the login there, and what this browser keeps until it is back."""

    url: str
    state: str
    sealed: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Callback:
    """What the browser brings back from the provider: a code or an error, and whatever else it has."""

    state: str
    sealed: str
    code: str
    error: str
    issuer: str | None


async def start(app: App, provider: str, redirect_uri: str, return_to: str) -> Started:
    """Raises ProviderUnknown, ProviderUnavailable, Invalid."""
    party = app.providers.relying_party(provider)
    if len(redirect_uri) > REDIRECT_CHARACTERS_MAX:
        raise Invalid("the registry's address is too long for a login through a provider: use a shorter one")
    state = browser_logins.new_state()
    started = await party.start(redirect_uri, state)
    expires_at_ms = app.clock() + LOGIN_SECONDS * 1000
    login = BrowserLogin(started.nonce, started.verifier, redirect_uri, return_to, expires_at_ms)
    return Started(started.url, state, browser_logins.seal(app.keys.upload, provider, state, login), LOGIN_SECONDS)


async def finish(app: App, provider: str, answer: Callback, origin: Origin) -> Finished:
    """Raises LoginUnknown, CredentialsInvalid, TokenInvalid, ProviderUnknown, ProviderUnavailable."""
    party = app.providers.relying_party(provider)
    login = browser_logins.unseal(app.keys.upload, provider, answer.state, answer.sealed, app.clock())
    if login is None or await app.database.look_up(browser_logins.is_used, answer.state):
        raise _login_unknown()
    try:
        signed_in = await _exchange(party, login, answer)
    except (CredentialsInvalid, TokenInvalid) as error:
        await sessions.note_failure(app, provider, origin, error.message)
        raise
    if not await app.database.write(browser_logins.use, answer.state, login):
        raise _login_unknown()
    return await sessions.begin_by_provider(app, provider, signed_in, origin, login.return_to)


async def _exchange(party: RelyingParty, login: BrowserLogin, answer: Callback) -> SignedIn:
    if answer.error or not answer.code:
        raise CredentialsInvalid(f"the provider refused the login ({answer.error or 'no code'}): sign in again")
    return await party.finish(login.redirect_uri, answer.code, login.verifier, login.nonce, answer.issuer)


def _login_unknown() -> LoginUnknown:
    return LoginUnknown(
        "this login was started in another browser, is already finished, or took too long: sign in again"
    )
