"""Signing in with a client certificate that a trusted proxy has seen."""

import base64
import binascii
import hashlib
import re

from entrepot.actions.signing_in import external_users
from entrepot.app import App
from entrepot.identity import users
from entrepot.identity.errors import CredentialsInvalid
from entrepot.principal import Credential, Origin, Principal

CERTIFICATE_BYTES_MAX = 16 * 1024
_FIELD = re.compile(r":([A-Za-z0-9+/=]+):", re.ASCII)
CERTIFICATE_TRUSTED_MS = 10 * 60_000
"""How long a certificate is remembered before it is checked again."""


async def check(app: App, header: str, origin: Origin) -> Principal:
    """Raises CredentialsInvalid, AccountDisabled."""
    der = _parse(header)
    fingerprint = hashlib.sha256(der).hexdigest()
    known: tuple[Principal, int] | None = app.cache.get(users.TOPIC, ("certificate", fingerprint))
    now_ms = app.clock()
    if known is not None and known[1] > now_ms:
        return known[0]
    stamp = app.cache.stamp()
    for authority in app.providers.authorities:
        found = authority.verify(der, now_ms)
        if found is None:
            continue
        principal = await external_users.sign_in(
            app,
            authority.name,
            found.user,
            origin,
            credential=Credential("certificate", fingerprint[:16]),
            action="login:certificate",
        )
        until_ms = min(found.not_after_ms, now_ms + CERTIFICATE_TRUSTED_MS)
        app.cache.put(stamp, users.TOPIC, ("certificate", fingerprint), (principal, until_ms), 700)
        return principal
    raise CredentialsInvalid("the client certificate is not valid, or from no authority that this registry knows")


def _parse(text: str) -> bytes:
    """The DER bytes in a Client-Cert header. Raises CredentialsInvalid."""
    match = _FIELD.fullmatch(text.strip()) if len(text) <= CERTIFICATE_BYTES_MAX * 2 else None
    try:
        if match is not None:
            return base64.b64decode(match.group(1), validate=True)
    except binascii.Error:
        pass
    raise CredentialsInvalid("the Client-Cert header is not :base64: of a certificate (RFC 9440)")
