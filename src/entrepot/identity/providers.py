"""The kinds of providers there are, and what one can do once it is opened.

A new kind is a module beside this one, its settings in `settings.py`, and a row in `KINDS`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from entrepot.clock import Clock
from entrepot.identity import kubernetes_accounts
from entrepot.identity.assertions import Assertion
from entrepot.identity.errors import ProviderUnknown
from entrepot.identity.external import CertificateVerifier, ExternalUser, PasswordProvider
from entrepot.identity.issuers import Issuer
from entrepot.identity.oidc import RelyingParty
from entrepot.outbound.client import Outbound
from entrepot.settings import (
    CertificateProvider,
    KubernetesProvider,
    LDAPProvider,
    OIDCProvider,
    ProviderSettings,
)


@dataclass(frozen=True, slots=True)
class TokenUsers:
    """Who has a token that was made for this audience is the user whom it speaks of."""

    audience: str
    user_in: Callable[[Assertion], ExternalUser]


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider of the settings. What it cannot do is None."""

    name: str
    type: str
    directory: PasswordProvider | None = None
    """Checks passwords, and is asked again about its users."""
    authority: CertificateVerifier | None = None
    """Verifies the certificates of clients."""
    relying_party: RelyingParty | None = None
    """Has people sign in by OpenID, in a browser and on a device."""
    issuer: Issuer | None = None
    """Signs tokens that workloads show as their password."""
    token_users: TokenUsers | None = None
    """Whom such tokens are of, where they are users of the provider, and not robots' that trust them by rules."""
    sign_in_again_days: int = 0
    """Days after which somebody has to sign in by it again, since it is never asked about them; 0: never."""

    @property
    def trusted_by_rules(self) -> bool:
        """Whether robots may trust workloads by its tokens."""
        return self.issuer is not None and self.token_users is None


@dataclass(frozen=True, slots=True)
class Providers:
    """All of the settings, by their names, in the order in which they are asked."""

    by_name: Mapping[str, Provider]

    def __iter__(self) -> Iterator[Provider]:
        return iter(self.by_name.values())

    @property
    def directories(self) -> Iterator[PasswordProvider]:
        return (provider.directory for provider in self if provider.directory is not None)

    @property
    def authorities(self) -> tuple[CertificateVerifier, ...]:
        return tuple(provider.authority for provider in self if provider.authority is not None)

    def relying_party(self, name: str) -> RelyingParty:
        """Raises ProviderUnknown."""
        provider = self.by_name.get(name)
        if provider is None or provider.relying_party is None:
            raise ProviderUnknown("there is no provider of this name that people can sign in with")
        return provider.relying_party

    def sign_in_again_days(self, name: str) -> int:
        provider = self.by_name.get(name)
        return provider.sign_in_again_days if provider is not None else 0

    async def close(self) -> None:
        for directory in self.directories:
            await directory.close()


def open_providers(settings: Iterable[ProviderSettings], outbound: Outbound, clock: Clock) -> Providers:
    """Asks nobody yet. Raises Invalid for settings that can never work: a malformed filter, a file that is not there.

    Belongs to the event loop that it is used in.
    """
    return Providers({one.name: open_provider(one, outbound, clock) for one in settings})


def open_provider(settings: ProviderSettings, outbound: Outbound, clock: Clock) -> Provider:
    """As `open_providers`, for one."""
    return KINDS[type(settings)](settings, outbound, clock)


def _directory(settings: LDAPProvider, outbound: Outbound, clock: Clock) -> Provider:
    # Imported here because it takes 0.1 s, and most registries have no directory.
    from entrepot.identity.ldap import LDAPDirectory

    return Provider(settings.name, settings.type, directory=LDAPDirectory(settings))


def _openid(settings: OIDCProvider, outbound: Outbound, clock: Clock) -> Provider:
    issuer = Issuer(outbound, clock, settings.issuer, ca_file=settings.ca_file)
    return Provider(
        settings.name,
        settings.type,
        relying_party=RelyingParty(settings, issuer, outbound, clock) if settings.client_id else None,
        issuer=issuer,
        sign_in_again_days=settings.sign_in_again_days,
    )


def _cluster(settings: KubernetesProvider, outbound: Outbound, clock: Clock) -> Provider:
    issuer = Issuer(
        outbound,
        clock,
        settings.issuer,
        ca_file=settings.ca_file,
        jwks_url=settings.jwks_url,
        jwks_file=settings.jwks_file,
        token_file=settings.token_file,
    )
    users = TokenUsers(settings.audience, kubernetes_accounts.external_user)
    return Provider(settings.name, settings.type, issuer=issuer, token_users=users)


def _authorities(settings: CertificateProvider, outbound: Outbound, clock: Clock) -> Provider:
    # Likewise.
    from entrepot.identity.certificates import CertificateAuthority

    authority = CertificateAuthority(settings.name, settings.ca_file, settings.name_from)
    days = settings.sign_in_again_days
    return Provider(settings.name, settings.type, authority=authority, sign_in_again_days=days)


KINDS: Mapping[type[ProviderSettings], Callable[[Any, Outbound, Clock], Provider]] = {
    LDAPProvider: _directory,
    OIDCProvider: _openid,
    KubernetesProvider: _cluster,
    CertificateProvider: _authorities,
}
"""How a provider is opened, by the class of its settings."""
