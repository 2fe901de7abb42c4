"""Opens the providers that the settings name, in their order."""

from collections.abc import Sequence

from entrepot.identity.external import CertificateVerifier, PasswordProvider
from entrepot.settings import CertificateProvider, LDAPProvider, Provider


def open_directories(providers: Sequence[Provider]) -> tuple[PasswordProvider, ...]:
    directories: list[PasswordProvider] = []
    for provider in providers:
        if isinstance(provider, LDAPProvider):
            # Imported here because it takes 0.1 s, and most registries have no directory.
            from entrepot.identity.ldap import LDAPDirectory

            directories.append(LDAPDirectory(provider))
    return tuple(directories)


def load_authorities(providers: Sequence[Provider]) -> tuple[CertificateVerifier, ...]:
    """Raises Invalid for a file that cannot be read."""
    authorities: list[CertificateVerifier] = []
    for provider in providers:
        if isinstance(provider, CertificateProvider):
            # Likewise.
            from entrepot.identity.certificates import CertificateAuthority

            authorities.append(CertificateAuthority(provider.name, provider.ca_file, provider.name_from))
    return tuple(authorities)
