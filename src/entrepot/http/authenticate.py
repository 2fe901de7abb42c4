"""From a request's Authorization header, a browser's session or a client certificate to a principal."""

import base64
import binascii

from entrepot.actions.signing_in import credentials
from entrepot.errors import Denied, EntrepotError
from entrepot.http import cookies, limits
from entrepot.http.messages import Request
from entrepot.http.same_site import is_from_elsewhere
from entrepot.identity.errors import CredentialsInvalid
from entrepot.principal import ANONYMOUS, Caller, Principal

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CREDENTIALS = frozenset({b"authorization", b"cookie", b"client-cert"})
CREDENTIALS_CHARACTERS_MAX = 32 * 1024
"""Tokens of others may be long, and are given as a password, too; this registry's have less than 8 KiB."""


async def authenticate(request: Request) -> None:
    """Set the request's caller, nobody without any of them. Raises what signing in raises, and TooManyRequests."""
    if not request.has_any(_CREDENTIALS):
        await limits.admit_address(request)
        return
    try:
        principal = await _principal(request)
    except EntrepotError:
        # Right credentials are taken however many wrong ones come from there.
        await limits.admit_address(request)
        raise
    request.caller = Caller(principal, request.origin)
    if principal.is_anonymous:
        # A bearer token that was issued to nobody in particular.
        await limits.admit_address(request)
    elif wait := limits.wait_of_user(request, principal):
        await limits.refuse(request, wait, principal)


async def _principal(request: Request) -> Principal:
    header = request.header(b"authorization")
    if header is None:
        return await _by_session(request) or await _by_certificate(request)
    scheme, _, text = header.partition(" ")
    if len(text) <= CREDENTIALS_CHARACTERS_MAX:
        if scheme.lower() == "bearer":
            return await credentials.verify_bearer(request.app, text.strip(), request.origin)
        if scheme.lower() == "basic":
            name, password = decode_basic(text)
            return await credentials.verify_password(request.app, name, password, request.origin)
    raise CredentialsInvalid("the Authorization header is not valid: use Basic or Bearer")


async def _by_session(request: Request) -> Principal | None:
    """A browser that is signed in. Raises Denied for what another site's page makes it do."""
    if request.header(b"cookie") is None:
        return None
    value = cookies.read(request).get(cookies.SESSION, "")
    principal = await credentials.verify_session(request.app, value, request.origin)
    if principal is None:
        return None
    # Browsers that say neither keep the cookie from other sites' forms all the same.
    if request.method not in _SAFE_METHODS and is_from_elsewhere(request):
        raise Denied("the request comes from another site's page, which may not act in your name")
    return principal


async def _by_certificate(request: Request) -> Principal:
    """By the client certificate that a trusted proxy has seen, if there is one."""
    certificate = request.header(b"client-cert")
    if certificate is None or not request.app.providers.authorities or not request.from_trusted_proxy:
        return ANONYMOUS
    return await credentials.verify_certificate(request.app, certificate, request.origin)


def decode_basic(text: str) -> tuple[str, str]:
    """User name and password (RFC 7617). Raises CredentialsInvalid."""
    try:
        name, colon, password = base64.b64decode(text, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        raise CredentialsInvalid(
            "the Basic credentials are not valid: send user:password in UTF-8, encoded as base64"
        ) from None
    if not colon or not name:
        raise CredentialsInvalid("the Basic credentials are not valid: send user:password in UTF-8, encoded as base64")
    return name, password
