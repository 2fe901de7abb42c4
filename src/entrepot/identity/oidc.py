"""The relying party of an OpenID provider, for people: code flow with PKCE, device flow, and both ways of logging out.

What a login needs to be finished is in `LoginStart` and kept by the caller; nothing is remembered here.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from entrepot.clock import Clock
from entrepot.identity import assertions
from entrepot.identity.assertions import PLAIN_TYPES, Assertion
from entrepot.identity.errors import CredentialsInvalid, ProviderUnavailable, TokenInvalid
from entrepot.identity.external import ExternalUser
from entrepot.identity.issuers import Issuer, Metadata
from entrepot.outbound.client import Outbound, PeerUnavailable
from entrepot.settings import OIDCProvider

RANDOM_BYTES = 32
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TYPES = PLAIN_TYPES | {"logout+jwt"}
LOGOUT_AGE_SECONDS_MAX = 600
"""How old a logout token may be: a provider sends it at once."""
NAME_CHARACTERS_MAX = 255
GROUPS_MAX = 2000
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DEVICE_SECONDS_MAX = 1800
DEVICE_INTERVAL_SECONDS = 5
DEVICE_INTERVAL_SECONDS_MAX = 60

_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


@dataclass(frozen=True, slots=True)
class LoginStart:
    """Where to send the browser, and what has to be remembered until it comes back."""

    url: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in. `session` is the provider's name for the login, empty when it has none."""

    user: ExternalUser
    session: str
    id_token: str


@dataclass(frozen=True, slots=True)
class DeviceStart:
    """A login on another device (RFC 8628, section 3.2)."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class Waiting(Enum):
    """Why there is no answer to a device's question yet (RFC 8628, section 3.5)."""

    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"


@dataclass(frozen=True, slots=True)
class Logout:
    """Whose sessions the provider has ended: all of the subject, or one session; one of both may be empty."""

    subject: str
    session: str
    issued_at: int


class RelyingParty:
    """This registry as a client of one provider."""

    def __init__(self, provider: OIDCProvider, issuer: Issuer, outbound: Outbound, clock: Clock) -> None:
        self._provider = provider
        self._issuer = issuer
        self._outbound = outbound
        self._clock = clock

    @property
    def origin(self) -> str:
        """The provider's scheme and host."""
        return "{0.scheme}://{0.netloc}".format(urlsplit(self._issuer.url))

    async def start(self, redirect_uri: str, state: str) -> LoginStart:
        """A login in the browser (OpenID Connect Core 1.0, section 3.1; RFC 7636). Raises ProviderUnavailable."""
        metadata = await self._issuer.metadata()
        nonce, verifier = secrets.token_urlsafe(RANDOM_BYTES), secrets.token_urlsafe(RANDOM_BYTES)
        query = {
            "response_type": "code",
            "client_id": self._provider.client_id,
            "redirect_uri": redirect_uri,
            "scope": self._scope(),
            "state": state,
            "nonce": nonce,
            "code_challenge": _base64url(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        return LoginStart(_with_query(self._needed(metadata.authorization_endpoint), query), nonce, verifier)

    async def finish(
        self, redirect_uri: str, code: str, verifier: str, nonce: str, named_issuer: str | None = None
    ) -> SignedIn:
        """Exchange the code that the browser brought back, with the issuer that it named (RFC 9207).

        Raises CredentialsInvalid when the provider does not take the code, TokenInvalid when its answer proves nothing,
        and ProviderUnavailable.
        """
        metadata = await self._issuer.metadata()
        if named_issuer != metadata.issuer and (named_issuer is not None or metadata.names_itself):
            raise CredentialsInvalid("the answer comes from another provider than the one where the login started")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        status, answer = await self._ask(metadata, metadata.token_endpoint, form)
        if status != 200:
            raise CredentialsInvalid(f"the provider did not accept the login ({_error(answer)}): sign in again")
        return await self._signed_in(metadata, answer, nonce)

    async def start_device(self) -> DeviceStart:
        """Raises ProviderUnavailable, also for a provider that has no such flow."""
        metadata = await self._issuer.metadata()
        status, answer = await self._ask(metadata, metadata.device_authorization_endpoint, {"scope": self._scope()})
        start = DeviceStart(
            device_code=_text(answer, "device_code"),
            user_code=_text(answer, "user_code"),
            verification_uri=_text(answer, "verification_uri"),
            verification_uri_complete=_text(answer, "verification_uri_complete"),
            expires_in=min(_seconds(answer, "expires_in", DEVICE_SECONDS_MAX), DEVICE_SECONDS_MAX),
            interval=min(_seconds(answer, "interval", DEVICE_INTERVAL_SECONDS), DEVICE_INTERVAL_SECONDS_MAX),
        )
        if status != 200 or not (start.device_code and start.user_code and start.verification_uri):
            raise ProviderUnavailable(f"{self._issuer.url} did not start a device login ({_error(answer)})")
        return start

    async def poll_device(self, device_code: str) -> SignedIn | Waiting:
        """Raises CredentialsInvalid when the login was refused or took too long, TokenInvalid, ProviderUnavailable."""
        metadata = await self._issuer.metadata()
        form = {"grant_type": DEVICE_GRANT, "device_code": device_code}
        status, answer = await self._ask(metadata, metadata.token_endpoint, form)
        if status == 200:
            return await self._signed_in(metadata, answer, None)
        error = _error(answer)
        for waiting in Waiting:
            if error == waiting.value:
                return waiting
        if error == "expired_token":
            raise CredentialsInvalid("the device login took too long: start it again")
        raise CredentialsInvalid(f"the provider did not accept the device login ({error}): start it again")

    async def logout_url(self, id_token: str, return_to: str) -> str | None:
        """Where the browser ends the provider's session too (OpenID Connect RP-Initiated Logout 1.0).

        None for a provider that has no such place. Raises ProviderUnavailable.
        """
        metadata = await self._issuer.metadata()
        if not metadata.end_session_endpoint:
            return None
        query = {"client_id": self._provider.client_id, "post_logout_redirect_uri": return_to}
        if id_token:
            query["id_token_hint"] = id_token
        return _with_query(metadata.end_session_endpoint, query)

    async def logout(self, token: str) -> Logout:
        """What a back-channel logout token ends (OpenID Connect Back-Channel Logout 1.0, section 2.6).

        A token that is sent again is not told from the first: end only sessions that are older than it.
        Raises TokenInvalid, ProviderUnavailable.
        """
        now = self._clock() // 1000
        assertion = await assertions.verify(self._issuer, token, [self._provider.client_id], now, LOGOUT_TYPES)
        claims = assertion.claims
        events, session = claims.get("events"), claims.get("sid", "")
        if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict) or "nonce" in claims:
            raise TokenInvalid("the token is not for logging out")
        if not isinstance(claims.get("jti"), str) or assertion.issued_at is None:
            raise TokenInvalid("the logout token lacks iat or jti")
        if assertion.issued_at + LOGOUT_AGE_SECONDS_MAX < now:
            raise TokenInvalid("the logout token is too old")
        if not isinstance(session, str) or not (session or assertion.subject):
            raise TokenInvalid("the logout token names neither a session nor a subject")
        return Logout(assertion.subject, session, assertion.issued_at)

    async def _signed_in(self, metadata: Metadata, answer: Mapping[str, Any], nonce: str | None) -> SignedIn:
        id_token, access_token = _text(answer, "id_token"), _text(answer, "access_token")
        if not id_token:
            raise TokenInvalid("the provider's answer has no ID token: add openid to scopes")
        now = self._clock() // 1000
        assertion = await assertions.verify(self._issuer, id_token, [self._provider.client_id], now)
        check_id_token(assertion, self._provider.client_id, nonce)
        check_access_token(id_token, assertion, access_token)
        claims = dict(assertion.claims)
        if access_token and metadata.userinfo_endpoint and self._lacks(claims):
            about = await self._userinfo(metadata, access_token)
            if about.get("sub") != assertion.subject:
                raise TokenInvalid("the provider's userinfo belongs to another user")
            # What is signed counts for more.
            claims = {**about, **claims}
        session = claims.get("sid", "")
        user = external_user(claims, self._provider.name_claim, self._provider.groups_claim)
        return SignedIn(user, session if isinstance(session, str) else "", id_token)

    def _lacks(self, claims: Mapping[str, Any]) -> bool:
        return self._provider.name_claim not in claims or self._provider.groups_claim not in claims

    async def _userinfo(self, metadata: Metadata, access_token: str) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {access_token}", "accept": "application/json"}
        try:
            response = await self._outbound.request(
                "GET", metadata.userinfo_endpoint, ca_file=self._provider.ca_file, headers=headers
            )
        except PeerUnavailable as error:
            raise ProviderUnavailable(f"cannot reach {self._issuer.url}: {error.message}") from error
        if response.status_code != 200:
            raise ProviderUnavailable(
                f"{self._issuer.url} responded with status {response.status_code} to the request for userinfo"
            )
        return _parse(response.content)

    async def _ask(self, metadata: Metadata, endpoint: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Status and JSON of an answer to this client. Raises ProviderUnavailable."""
        headers, form = self._authenticated(metadata, form)
        try:
            response = await self._outbound.request(
                "POST", self._needed(endpoint), ca_file=self._provider.ca_file, headers=headers, form=form
            )
        except PeerUnavailable as error:
            raise ProviderUnavailable(f"cannot reach {self._issuer.url}: {error.message}") from error
        answer = _parse(response.content)
        if response.status_code >= 500 or _error(answer) in {"invalid_client", "unauthorized_client"}:
            raise ProviderUnavailable(
                f"{self._issuer.url} responded with {response.status_code} ({_error(answer)}): "
                "check the client's settings"
            )
        return response.status_code, answer

    def _authenticated(self, metadata: Metadata, form: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """Headers and form with this client's secret, where the provider wants it (RFC 6749, section 2.3.1)."""
        headers, client_id, secret = {"accept": "application/json"}, self._provider.client_id, self._secret()
        if not secret:
            return headers, {**form, "client_id": client_id}
        methods = metadata.token_authentication
        if "client_secret_basic" not in methods and "client_secret_post" in methods:
            return headers, {**form, "client_id": client_id, "client_secret": secret}
        credentials = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
        headers["authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        return headers, form

    def _secret(self) -> str:
        path = self._provider.client_secret_file
        if path is None:
            return self._provider.client_secret.get_secret_value()
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise ProviderUnavailable(f"cannot read the client's secret in {path}") from error

    def _scope(self) -> str:
        return " ".join(dict.fromkeys(("openid", *self._provider.scopes)))

    def _needed(self, endpoint: str) -> str:
        if not endpoint:
            raise ProviderUnavailable(f"{self._issuer.url} has no endpoint for this kind of login")
        return endpoint


def check_id_token(assertion: Assertion, client_id: str, nonce: str | None) -> None:
    """What an ID token says beside what any token says (Core 1.0, section 3.1.3.7). Raises TokenInvalid.

    `nonce` is None for a flow that has none.
    """
    claims = assertion.claims
    if not assertion.subject:
        raise TokenInvalid("the ID token has no subject")
    if assertion.issued_at is None:
        raise TokenInvalid("the ID token does not say when it was issued")
    if len(assertion.audiences) > 1 and "azp" not in claims:
        raise TokenInvalid("the ID token is for several clients and does not say which")
    if claims.get("azp", client_id) != client_id:
        raise TokenInvalid("the ID token was issued to another client")
    given = claims.get("nonce")
    if nonce is not None and not (isinstance(given, str) and hmac.compare_digest(given.encode(), nonce.encode())):
        raise TokenInvalid("the ID token belongs to another login: sign in again")


def check_access_token(id_token: str, assertion: Assertion, access_token: str) -> None:
    """That the access token came with this ID token, where it says so (Core 1.0, section 3.1.3.6).

    Raises TokenInvalid.
    """
    expected = assertion.claims.get("at_hash")
    if expected is None or not access_token:
        return
    # EdDSA names no hash; providers take the one inside of Ed25519.
    hashed = _HASHES.get(assertions.read_head(id_token).algorithm[-3:], hashlib.sha512)(access_token.encode()).digest()
    if not isinstance(expected, str) or not hmac.compare_digest(
        expected.encode("utf-8", "replace"), _base64url(hashed[: len(hashed) // 2]).encode()
    ):
        raise TokenInvalid("the access token does not belong to the ID token")


def external_user(claims: Mapping[str, Any], name_claim: str, groups_claim: str) -> ExternalUser:
    """The user that claims speak of. Raises TokenInvalid when they have no usable subject or name."""
    subject, name = _name(claims.get("sub")), _name(claims.get(name_claim) or claims.get("sub"))
    if not subject or not name or ":" in name or " " in name:
        raise TokenInvalid(
            f"the provider's sub or {name_claim} cannot be a user's name: "
            f"1 to {NAME_CHARACTERS_MAX} characters, without spaces and colons"
        )
    return ExternalUser(
        subject=subject,
        name=name,
        display_name=_short_text(claims, "name"),
        email=_short_text(claims, "email"),
        groups=_groups(claims.get(groups_claim)),
    )


def _groups(value: object) -> tuple[str, ...]:
    """Names of groups; what is none is left out, and so are names that are too long to be granted anything."""
    items = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(filter(None, map(_name, items[:GROUPS_MAX]))))


def _name(value: object) -> str:
    """Empty for what is no name."""
    usable = isinstance(value, str) and len(value) <= NAME_CHARACTERS_MAX and value.isprintable()
    return str(value) if usable else ""


def _short_text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return "".join(filter(str.isprintable, value))[:NAME_CHARACTERS_MAX] if isinstance(value, str) else ""


def _parse(content: bytes) -> dict[str, Any]:
    """An object; an empty one for what is none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    return value if isinstance(value, str) else ""


def _seconds(answer: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = answer.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 1 else otherwise


def _error(answer: Mapping[str, Any]) -> str:
    """An error code of OAuth, and nothing else that a provider may have put there (RFC 6749, section 5.2)."""
    code = _text(answer, "error")
    return code if code.replace("_", "").isalnum() and code.isascii() and len(code) <= 50 else "no reason given"


def _with_query(url: str, query: Mapping[str, str]) -> str:
    """The URL with more in its query, which it may have one of already."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(query))))))


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
