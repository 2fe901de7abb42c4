"""The front door: who somebody is by the credentials that a request has.

What a password may be: a token that an issuer has signed, a stored token of this registry, or a user's password.
"""

from entrepot.actions.signing_in import (
    bearer_tokens,
    certificates,
    passwords,
    refresh_tokens,
    sessions,
    stored_tokens,
    workloads,
)
from entrepot.app import App
from entrepot.identity import assertions, tokens
from entrepot.principal import Origin, Principal


async def verify_password(app: App, name: str, password: str, origin: Origin) -> Principal:
    """Raises Unauthenticated, AccountDisabled, TooManyLogins, LoginDelayed, ProviderUnavailable."""
    if assertions.looks_like_one(password):
        return await workloads.check(app, name, password, origin)
    if tokens.looks_like_token(password):
        return await stored_tokens.check(app, password, origin, name)
    return await passwords.check(app, name, password, origin)


async def verify_bearer(app: App, token: str, origin: Origin) -> Principal:
    """Raises TokenInvalid, AccountDisabled, LoginDelayed."""
    if tokens.looks_like_token(token):
        return await stored_tokens.check(app, token, origin)
    return await bearer_tokens.check(app, token, origin)


async def verify_refresh_token(app: App, text: str, origin: Origin) -> Principal:
    """Raises TokenInvalid, AccountDisabled, LoginDelayed."""
    return await refresh_tokens.check(app, text, origin)


async def verify_session(app: App, value: str, origin: Origin) -> Principal | None:
    """None when the session is over, or its user may not sign in any more."""
    return await sessions.check(app, value, origin)


async def verify_certificate(app: App, header: str, origin: Origin) -> Principal:
    """The certificate is as a trusted proxy has seen it (RFC 9440). Raises CredentialsInvalid, AccountDisabled."""
    return await certificates.check(app, header, origin)
