"""What an identity provider tells of a user, in one form for all kinds of providers."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ExternalUser:
    """A user as the provider knows it, at the time it was asked.

    `subject` is what never changes for this user (an objectGUID, a `sub`), `name` what the user signs in with, `groups`
    the names of all groups the user is in, nested ones included.
    """

    subject: str
    name: str
    display_name: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that was found valid. `not_after_ms` is in milliseconds since the epoch."""

    user: ExternalUser
    not_after_ms: int


class PasswordProvider(Protocol):
    """A directory that can be asked whether a password is right."""

    @property
    def name(self) -> str: ...

    @property
    def refresh_seconds(self) -> int:
        """How old what is known of a user may get before `find` is asked again."""
        ...

    @property
    def can_find(self) -> bool:
        """Whether users can be asked about while they do not sign in."""
        ...

    async def authenticate(self, name: str, password: str) -> ExternalUser | None:
        """The user with this name and password; None when the provider knows no such name.

        Raises CredentialsInvalid for a wrong password, AccountDisabled for an account that is disabled, locked or
        expired there, ProviderUnavailable when no server answers.
        """
        ...

    async def find(self, subject: str) -> ExternalUser | None:
        """The user as the provider knows it now; None when it is gone, disabled or expired.

        Raises ProviderUnavailable.
        """
        ...

    async def close(self) -> None: ...


class CertificateVerifier(Protocol):
    """The authorities of one provider."""

    @property
    def name(self) -> str: ...

    def verify(self, der: bytes, now_ms: int) -> ClientCertificate | None:
        """Who the certificate is for; None when none of these authorities made it.

        Raises CredentialsInvalid for one that names nobody.
        """
        ...
