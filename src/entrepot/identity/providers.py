"""Opens the directories that the settings name, in their order."""

from collections.abc import Sequence

from entrepot.identity.external import PasswordProvider
from entrepot.settings import LDAPProvider, Provider


def open_directories(providers: Sequence[Provider]) -> tuple[PasswordProvider, ...]:
    directories: list[PasswordProvider] = []
    for provider in providers:
        if isinstance(provider, LDAPProvider):
            continue
    return tuple(directories)
