"""Who asks, as the rest of the program sees it once authentication is over."""

from dataclasses import dataclass

REPOSITORY_ACTIONS_MAX = 64
"""How many scopes one bearer token may carry."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a bearer token was issued for (distribution token specification, `access` claim)."""

    type: str
    name: str
    actions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Principal:
    """A user of one identity provider, or nobody in particular.

    `name` is empty for anonymous. `scopes` is None when the credentials carry no restriction of their own (Basic), and
    otherwise limits what this request may do whatever the user may do.
    """

    provider: str
    name: str
    scopes: tuple[Scope, ...] | None = None

    @property
    def is_anonymous(self) -> bool:
        return not self.name

    @property
    def key(self) -> str:
        """Identifies the user across requests, for caches, limits and logs."""
        return f"{self.provider}:{self.name}" if self.name else "anonymous"


ANONYMOUS = Principal(provider="", name="")
