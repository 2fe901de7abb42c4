"""Who asks, and from where, as the rest of the program sees it once authentication is over."""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

SCOPES_MAX = 1000
"""How many scopes one bearer token may be asked for."""
FINGERPRINT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Scope:
    """What a bearer token was issued for (distribution token specification, `access` claim)."""

    type: str
    name: str
    actions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Repositories that a bearer token was issued for: more than it could name in a header (decision 0024).

    Whoever does not know the key cannot tell which other name has the fingerprint of one of them.
    """

    actions: frozenset[str]
    known: frozenset[bytes]
    key: bytes = field(repr=False)

    def __contains__(self, repository: str) -> bool:
        return fingerprint(self.key, repository) in self.known


def fingerprint(key: bytes, repository: str) -> bytes:
    return blake2b(repository.encode(), digest_size=FINGERPRINT_BYTES, key=key).digest()


@dataclass(frozen=True, slots=True)
class Limit:
    """What a personal token or a robot's token is limited to: permissions by value, `*` for all, in one place.

    `kind` is `registry`, `namespace`, `repository` or `pattern`, `path` the path or pattern.
    """

    permissions: frozenset[str]
    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Credential:
    """How the principal showed who it is.

    `kind` is `none`, `password`, `token` (personal), `robot`, `workload`, `session`, `certificate`, or `console` for
    who works on the data directory itself; `id` names a token, and is never the secret itself.
    """

    kind: str
    id: str = ""


NO_CREDENTIAL = Credential("none")
CONSOLE = Credential("console")


@dataclass(frozen=True, slots=True)
class Principal:
    """A user of one identity provider, or nobody in particular.

    `name` is empty for anonymous. `user_id` is the number of the user's row, which is never another user's, and None
    for nobody and for who works on the data directory; `epoch` is the user's when these credentials were checked:
    bearer tokens of an earlier one are over. `scopes` are those of a bearer token and `limits` those of the stored
    token that was used for it; None when the credentials carry no restriction of that kind. Both limit what this
    request may do, whatever the user may do.
    """

    provider: str
    name: str
    scopes: tuple[Scope | Fingerprints, ...] | None = None
    credential: Credential = NO_CREDENTIAL
    limits: tuple[Limit, ...] | None = None
    user_id: int | None = None
    epoch: int = 0

    @property
    def is_anonymous(self) -> bool:
        return not self.name

    @property
    def key(self) -> str:
        """Identifies the user across requests, for caches, limits and logs."""
        return f"{self.provider}:{self.name}" if self.name else "anonymous"


ANONYMOUS = Principal(provider="", name="")


class Origin(NamedTuple):
    """Where a request comes from. `address` is the client's, or what a trusted proxy says it is.

    `request_id` is this registry's, `client_request_id` what the client calls the request, if it does.
    """

    address: str
    user_agent: str
    request_id: str
    client_request_id: str = ""


NOWHERE = Origin("", "", "")
"""For acts that no request asks for."""


class Caller(NamedTuple):
    """Who asks, and from where: by whom an act is done."""

    principal: Principal
    origin: Origin
