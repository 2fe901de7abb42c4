"""Signing in with a client certificate that a trusted proxy has seen."""

import base64
import binascii
import hashlib
import re

from entrepot.actions.signing_in import external_users
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.database import topics
from entrepot.identity.errors import CredentialsInvalid
from entrepot.principal import Credential, Origin, Principal

CERTIFICATE_BYTES_MAX = 16 * 1024
_FIELD = re.compile(r":([A-Za-z0-9+/=]+):", re.ASCII)
CERTIFICATE_TRUSTED_MS = 10 * 60_000
"""How long a certificate is remembered before it is checked again."""
_CERTIFICATE_BYTES = 700
"""What remembering one costs, roughly."""


async def check(app: App, header: str, origin: Origin) -> Principal:
    """Raises CredentialsInvalid, AccountDisabled."""
    der = _parse(header)
    fingerprint = hashlib.sha256(der).hexdigest()
    now_ms = app.clock()
    principal, _ = await app.caches.accounts.remember(
        topics.USERS,
        ("certificate", fingerprint),
        lambda: _verify(app, der, fingerprint, origin),
        _CERTIFICATE_BYTES,
        lambda known: known[1] > now_ms,
    )
    return principal


async def _verify(app: App, der: bytes, fingerprint: str, origin: Origin) -> tuple[Principal, int]:
    """Whose certificate it is, and until when that is believed. Raises CredentialsInvalid, AccountDisabled."""
    now_ms = app.clock()
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
            action=Action.LOGIN_CERTIFICATE,
        )
        return principal, min(found.not_after_ms, now_ms + CERTIFICATE_TRUSTED_MS)
    raise CredentialsInvalid("the client certificate is not valid, or its authority is not known to this registry")


def _parse(text: str) -> bytes:
    """The DER bytes in a Client-Cert header. Raises CredentialsInvalid."""
    match = _FIELD.fullmatch(text.strip()) if len(text) <= CERTIFICATE_BYTES_MAX * 2 else None
    try:
        if match is not None:
            return base64.b64decode(match.group(1), validate=True)
    except binascii.Error:
        pass
    raise CredentialsInvalid("the Client-Cert header is not a certificate in the form :base64: (RFC 9440)")
