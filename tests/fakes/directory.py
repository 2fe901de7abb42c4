"""A directory of users, in memory: what `tests/services` asks real ones for."""

from dataclasses import dataclass, field

from entrepot.identity.errors import AccountDisabled, AccountLocked, CredentialsInvalid, ProviderUnavailable
from entrepot.identity.external import ExternalUser


@dataclass
class FakeDirectory:
    """`asked` has the names that it was asked about. While `silent`, it does not answer."""

    name: str
    refresh_seconds: int = 300
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    disabled: set[str] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)
    _users: dict[str, tuple[str, ExternalUser]] = field(default_factory=dict)

    def put(self, user: ExternalUser, password: str) -> None:
        self._users[user.name] = (password, user)

    def remove(self, name: str) -> None:
        del self._users[name]

    async def authenticate(self, name: str, password: str) -> ExternalUser | None:
        self.asked.append(name)
        if self.silent:
            raise ProviderUnavailable(f"no server of {self.name} answers")
        if name not in self._users:
            return None
        expected, user = self._users[name]
        if name in self.locked:
            raise AccountLocked(f"{name} is locked in {self.name}")
        if password != expected:
            raise CredentialsInvalid(f"{self.name} says that it is wrong")
        if name in self.disabled:
            raise AccountDisabled(f"{name} is disabled in {self.name}")
        return user

    async def find(self, subject: str) -> ExternalUser | None:
        if self.silent:
            raise ProviderUnavailable(f"no server of {self.name} answers")
        known = [user for _, user in self._users.values() if user.subject == subject and user.name not in self.disabled]
        return known[0] if known else None

    async def close(self) -> None:
        pass
