"""People and machines of a story: users, robots, what they are granted, and what the audit log says of them."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

import httpx
from sqlalchemy import Connection, select

from entrepot import settings
from entrepot.access import grants
from entrepot.access.grants import Subject
from entrepot.access.places import Place
from entrepot.audit.tables import audit_pending, audit_records
from entrepot.cli import direct
from entrepot.identity import groups, users
from entrepot.identity.external import ExternalUser
from tests.functional.setups import SetUp

API = "/api/v1"
NOW_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Person:
    """A user, by its name and its password or token."""

    name: str
    secret: str

    def client(self, set_up: SetUp) -> httpx.Client:
        client = set_up.server.client(anonymous=True)
        client.auth = (self.name, self.secret)
        client.follow_redirects = True
        return client


def new_name(prefix: str = "user") -> str:
    return f"{prefix}-{secrets.token_hex(5)}"


def new_user(admin: httpx.Client, **fields: object) -> Person:
    """A local user that nobody has granted anything."""
    person = Person(new_name(), secrets.token_urlsafe(18))
    answer = admin.put(f"{API}/users/local/{person.name}", json={"password": person.secret, **fields})
    assert answer.status_code == 201, answer.text
    return person


def bearer(set_up: SetUp, token: str) -> httpx.Client:
    client = set_up.server.client(anonymous=True)
    client.headers["authorization"] = f"Bearer {token}"
    client.follow_redirects = True
    return client


def grant(set_up: SetUp, role: str, key: str, kind: str = "registry", path: str = "") -> None:
    """A role for a user (`provider:name`), somewhere."""

    def run(connection: Connection) -> None:
        provider, _, name = key.partition(":")
        subject = Subject(grants.USER, users.require(connection, provider, name).id)
        grants.add(connection, role, subject, Place.parse(kind, path), created_by="a story", now_ms=NOW_MS)

    _write(set_up, run)


def grant_to_group(set_up: SetUp, role: str, name: str, kind: str = "registry", path: str = "") -> None:
    """A role for one of the registry's own groups."""

    def run(connection: Connection) -> None:
        subject = Subject(grants.GROUP, groups.require(connection, "local", name).id)
        grants.add(connection, role, subject, Place.parse(kind, path), created_by="a story", now_ms=NOW_MS)

    _write(set_up, run)


def new_role(admin: httpx.Client, *permissions: str) -> str:
    name = new_name("role")
    answer = admin.put(f"{API}/roles/{name}", json={"permissions": list(permissions)})
    assert answer.status_code == 201, answer.text
    return name


def sign_in_externally(set_up: SetUp, provider: str, name: str, *group_names: str) -> None:
    """A user of a provider is here, as after a login."""

    def run(connection: Connection) -> None:
        user = users.provision(connection, provider, ExternalUser(f"subject of {name}", name), NOW_MS)
        groups.set_of_user(connection, users.account(connection, user), provider, group_names, NOW_MS)

    _write(set_up, run)


def audited(set_up: SetUp, resource: str) -> list[dict[str, Any]]:
    """Records about a resource, in no particular order."""

    def run(connection: Connection) -> list[str]:
        return [
            *connection.execute(select(audit_pending.c.record)).scalars(),
            *connection.execute(select(audit_records.c.record).where(audit_records.c.resource == resource)).scalars(),
        ]

    found = [json.loads(record) for record in _write(set_up, run)]
    return [record for record in found if record["resource"] == resource]


def actions(set_up: SetUp, resource: str) -> list[str]:
    return sorted(record["action"] for record in audited(set_up, resource))


def _write(set_up: SetUp, run: Any) -> Any:
    loaded = settings.load(set_up.config, {}, {"data": set_up.server.data})
    return direct.write(loaded, run)
