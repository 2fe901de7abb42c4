"""People of a set-up, put where the registry keeps them, and what they may: stories begin when all that is settled."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from sqlalchemy import Connection

from entrepot.clock import system_clock
from entrepot.database.open import open_database
from entrepot.identity import groups, passwords, tokens, users
from entrepot.principal import Limit
from entrepot.settings import load
from tests.functional.setups import SetUp
from tests.peers.entrepot import Entrepot

API = "/api/v1"
Soon = Callable[[Callable[[], bool]], bool]
T = TypeVar("T")
PASSWORD = "a password for stories"
PASSWORD_HASH = passwords.hash_password(PASSWORD)


@dataclass(frozen=True)
class Person:
    """Somebody with a password, as the registry knows them."""

    name: str
    client: httpx.Client

    @property
    def key(self) -> str:
        return f"local:{self.name}"


class People:
    """Makes people for one story, with a name that nobody else has, and grants them roles as the administrator."""

    def __init__(self, server: Entrepot, config: Path | None, soon: Soon = lambda holds: holds()) -> None:
        self._server = server
        self.soon = soon
        """As `SetUp.soon`."""
        self._config = config
        self._clients: list[httpx.Client] = []
        self.admin = self._with(server.username, server.password)

    @property
    def url(self) -> str:
        """Where the registry is."""
        return str(self.admin.base_url).rstrip("/")

    @property
    def credentials(self) -> tuple[str, str]:
        """The administrator's."""
        return self._server.username, self._server.password

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def in_database(self, function: Callable[[Connection], T]) -> T:
        """Do something beside the server, as its operator might."""

        async def run() -> T:
            settings = load(self._config, overrides={"data": self._server.data})
            database = open_database(settings.database, settings.data)
            try:
                return await database.write(function)
            finally:
                await database.close()

        return asyncio.run(run())

    def person(self, prefix: str = "person") -> Person:
        """A local user without any role."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        now_ms = system_clock()
        self.in_database(lambda c: users.add(c, users.LOCAL, name, password_hash=PASSWORD_HASH, now_ms=now_ms))
        return Person(name, self._with(name, PASSWORD))

    def with_role(self, role: str, kind: str, path: str = "", **terms: object) -> Person:
        """A local user with this role there."""
        person = self.person(role)
        self.grant(role, {"user": person.key}, kind, path, **terms)
        return person

    def grant(self, role: str, subject: dict[str, str], kind: str, path: str = "", **terms: object) -> dict[str, Any]:
        """Grant as the administrator; answers the grant."""
        answer = self.ask_to_grant(self.admin, role, subject, kind, path, **terms)
        assert answer.status_code in {200, 201}, answer.text
        found: dict[str, Any] = answer.json()
        return found

    @staticmethod
    def ask_to_grant(
        client: httpx.Client, role: str, subject: dict[str, str], kind: str, path: str = "", **terms: object
    ) -> httpx.Response:
        body = {"role": role, "subject": subject, "place": {"kind": kind, "path": path}, **terms}
        return client.post(f"{API}/grants", json=body)

    def group_of(self, *members: Person) -> str:
        """A local group, as `local:name`."""
        name = f"group-{secrets.token_hex(4)}"

        def make(connection: Connection) -> None:
            group = groups.add(connection, users.LOCAL, name, "", system_clock())
            for member in members:
                groups.add_member(connection, group, users.require(connection, users.LOCAL, member.name))

        self.in_database(make)
        return f"local:{name}"

    def limited(self, person: Person, *limits: tuple[str, str, str]) -> httpx.Client:
        """The same person with a token: (permissions separated by spaces, kind, path) for each limit."""
        made = tuple(Limit(frozenset(permissions.split()), kind, path) for permissions, kind, path in limits)

        def make(connection: Connection) -> str:
            user = users.require(connection, users.LOCAL, person.name)
            return tokens.add(
                connection, tokens.PERSONAL, user, "story", limits=made, expires_at_ms=None, now_ms=system_clock()
            )[1]

        return self._with(person.name, self.in_database(make))

    def robot(self, name: str, *limits: tuple[str, str, str]) -> httpx.Client:
        """A new robot with a token that has these limits."""
        made = tuple(Limit(frozenset(permissions.split()), kind, path) for permissions, kind, path in limits)

        def make(connection: Connection) -> str:
            user = users.add(connection, users.ROBOT, name, now_ms=system_clock())
            return tokens.add(
                connection, tokens.ROBOT, user, "story", limits=made or None, expires_at_ms=None, now_ms=system_clock()
            )[1]

        return self._with(f"robot+{name}", self.in_database(make))

    def anybody(self) -> httpx.Client:
        """A client without credentials, which the caller closes."""
        return self._server.client(anonymous=True)

    def with_password(self, password: str | None) -> httpx.Client:
        """Somebody with the administrator's name and this password, or without any credentials."""
        client = self._with(self._server.username, password or "")
        if password is None:
            client.auth = None
        return client

    def _with(self, name: str, password: str) -> httpx.Client:
        client = self._server.client(anonymous=True)
        client.auth = httpx.BasicAuth(name, password)
        self._clients.append(client)
        return client


@contextmanager
def people_of(set_up: SetUp) -> Iterator[People]:
    """For one story, or a module of them."""
    people = People(set_up.server, set_up.config, set_up.soon)
    try:
        yield people
    finally:
        people.close()


def items(client: httpx.Client, resource_path: str, /, **query: str | int) -> list[dict[str, Any]]:
    """All that a list of the API has, page by page."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        answer = client.get(f"{API}{resource_path}", params={**query, "after": after})
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        after = answer.json()["next"]
        if after is None:
            return found


def new_namespace() -> str:
    return f"team-{secrets.token_hex(4)}"
