"""What the issuers of tokens publish: discovery documents and keys, fetched when they are needed and remembered.

Any client can send a token that names an issuer and a key, and the issuer is asked for what is not known here. So each
worker asks at most once in a while, whatever arrives, and all who wait share one answer.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from jwt import PyJWK

from entrepot.clock import Clock
from entrepot.identity import key_sets
from entrepot.identity.errors import ProviderUnavailable
from entrepot.identity.key_sets import KeySet, KeySetInvalid
from entrepot.outbound.client import Outbound, PeerUnavailable

FRESH_MS = 10 * 60 * 1000
"""How long an answer is used without asking again: as long as a key that the issuer withdrew may still count."""
STALE_MS_MAX = 6 * 3600 * 1000
"""How old an answer may get while the issuer does not answer any more."""
REFETCH_MS_MIN = 30 * 1000
"""The least time between two fetches, successful or not: for an unknown key, or an issuer that does not answer."""
DISCOVERY_PATH = "/.well-known/openid-configuration"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Metadata:
    """A discovery document (OpenID Connect Discovery 1.0, section 3). An endpoint that is not there is empty."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    userinfo_endpoint: str = ""
    device_authorization_endpoint: str = ""
    end_session_endpoint: str = ""
    token_authentication: tuple[str, ...] = ("client_secret_basic",)
    names_itself: bool = False
    """Whether it puts `iss` into every answer of its authorization endpoint (RFC 9207)."""


class Issuer:
    """One issuer, as the settings describe it. Belongs to one event loop."""

    def __init__(
        self,
        outbound: Outbound,
        clock: Clock,
        url: str,
        *,
        ca_file: Path | None = None,
        jwks_url: str = "",
        jwks_file: Path | None = None,
        token_file: Path | None = None,
    ) -> None:
        self.url = url
        self._outbound = outbound
        self._ca_file = ca_file
        self._jwks_url = jwks_url
        self._jwks_file = jwks_file
        self._token_file = token_file
        self._metadata = _Remembered(self._fetch_metadata, clock)
        self._keys = _Remembered(self._fetch_keys, clock)

    async def metadata(self) -> Metadata:
        """Raises ProviderUnavailable."""
        return await self._metadata.get()

    async def key(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        """The key for a token with this head; None when the issuer has none. Raises ProviderUnavailable."""
        found = (await self._keys.get()).find(key_id, algorithm)
        if found is None:
            found = (await self._keys.get_newer()).find(key_id, algorithm)
        return found

    async def _fetch_metadata(self) -> Metadata:
        return parse_metadata(await self._fetch(self.url.rstrip("/") + DISCOVERY_PATH), self.url)

    async def _fetch_keys(self) -> KeySet:
        if self._jwks_file is not None:
            text: bytes = await asyncio.to_thread(_read, self._jwks_file)
        else:
            text = await self._fetch(self._jwks_url or (await self.metadata()).jwks_uri)
        try:
            return key_sets.parse(text)
        except KeySetInvalid as error:
            raise ProviderUnavailable(f"the keys of {self.url} cannot be read: {error.message}") from None

    async def _fetch(self, url: str) -> bytes:
        headers = {"accept": "application/json"}
        if self._token_file is not None:
            token = (await asyncio.to_thread(_read, self._token_file)).decode("ascii", "replace").strip()
            headers["authorization"] = f"Bearer {token}"
        try:
            response = await self._outbound.request("GET", url, ca_file=self._ca_file, headers=headers)
        except PeerUnavailable as error:
            raise ProviderUnavailable(f"cannot reach {self.url}: {error.message}") from error
        if response.status_code != 200:
            raise ProviderUnavailable(f"{self.url} responded with status {response.status_code} instead of a document")
        return response.content


def parse_metadata(text: str | bytes, issuer: str) -> Metadata:
    """Raises ProviderUnavailable for a document that is none, or that is another issuer's.

    An issuer reached over TLS does not get to name an endpoint that is reached without.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ProviderUnavailable(f"the discovery document of {issuer} is not a JSON object")
    if document.get("issuer") != issuer:
        raise ProviderUnavailable(f"the discovery document of {issuer} names another issuer: check the setting")

    def endpoint(name: str) -> str:
        value = document.get(name, "")
        schemes = ("https://",) if issuer.startswith("https://") else ("https://", "http://")
        if value and not (isinstance(value, str) and value.startswith(schemes)):
            raise ProviderUnavailable(f"the discovery document of {issuer} has a {name} that cannot be used")
        return value or ""

    methods: Any = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    jwks_uri = endpoint("jwks_uri")
    if not jwks_uri:
        raise ProviderUnavailable(f"the discovery document of {issuer} does not say where its keys are")
    return Metadata(
        issuer=issuer,
        jwks_uri=jwks_uri,
        authorization_endpoint=endpoint("authorization_endpoint"),
        token_endpoint=endpoint("token_endpoint"),
        userinfo_endpoint=endpoint("userinfo_endpoint"),
        device_authorization_endpoint=endpoint("device_authorization_endpoint"),
        end_session_endpoint=endpoint("end_session_endpoint"),
        token_authentication=tuple(map(str, methods)) if isinstance(methods, list) else (),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


class _Remembered(Generic[T]):
    """The last answer to one question: fetched once for all who wait, and kept for a while when asking fails."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._answer: T | None = None
        self._answered_at_ms = 0
        self._asked_at_ms: int | None = None
        self._problem = ProviderUnavailable("the identity provider has not been contacted yet")

    async def get(self) -> T:
        """The answer, which may be as old as FRESH_MS. Raises ProviderUnavailable."""
        return await self._get(FRESH_MS)

    async def get_newer(self) -> T:
        """The answer as it is now, as far as asking for it is allowed already. Raises ProviderUnavailable."""
        return await self._get(0)

    async def _get(self, age_ms_max: int) -> T:
        if not self._may_be_used(age_ms_max) and self._may_ask() and not self._somebody_asks_for(age_ms_max):
            async with self._lock:
                # Whoever held the lock before may have got the answer.
                if not self._may_be_used(age_ms_max) and self._may_ask():
                    await self._ask()
        if self._answer is None or not self._may_be_used(STALE_MS_MAX):
            raise ProviderUnavailable(self._problem.message) from self._problem
        return self._answer

    async def _ask(self) -> None:
        asked_at_ms = self._clock()
        try:
            self._answer = await self._fetch()
            self._answered_at_ms = self._clock()
        except ProviderUnavailable as error:
            # Without the frames it went through: it is kept.
            self._problem = ProviderUnavailable(error.message)
        self._asked_at_ms = asked_at_ms

    def _somebody_asks_for(self, age_ms_max: int) -> bool:
        """Whether an old answer does while another request waits for the new one."""
        return age_ms_max > 0 and self._lock.locked() and self._may_be_used(STALE_MS_MAX)

    def _may_be_used(self, age_ms_max: int) -> bool:
        return self._answer is not None and self._clock() - self._answered_at_ms <= age_ms_max

    def _may_ask(self) -> bool:
        return self._asked_at_ms is None or self._clock() - self._asked_at_ms >= REFETCH_MS_MIN


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProviderUnavailable(f"cannot read {path}: {error.strerror}") from error
