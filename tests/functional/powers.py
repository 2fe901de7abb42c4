"""What each principal can do everywhere, read from the database: before an act and after it, to see who gained.

A power is a permission at a path in a context: now, in other circumstances (another client, so that conditions do not
hold), or much later (when everything that ends has ended). A principal is whoever, or whatever, can be used to act: an
account, each login with the password it has, each token, each trust rule, each group (for who joins it), anybody who is
signed in, everyone.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, or_, select

from entrepot.access import credentials, rights
from entrepot.access.conditions import Context
from entrepot.access.permissions import GRANTABLE, PLACED, Permission
from entrepot.access.rights import Rights
from entrepot.clock import system_clock
from entrepot.database.database import Database
from entrepot.database.open import open_database
from entrepot.identity import groups, tokens, users
from entrepot.identity.tables import groups as groups_table
from entrepot.identity.tables import tokens as tokens_table
from entrepot.identity.tables import trust_rules
from entrepot.identity.tables import users as users_table
from entrepot.identity.users import User
from entrepot.namespaces import namespaces
from entrepot.oci.name import RepositoryName
from entrepot.principal import ANONYMOUS, Caller, Limit, Origin, Principal
from entrepot.settings import DatabaseSettings, load
from tests.functional.setups import SetUp

P = ParamSpec("P")
T = TypeVar("T")
CLIENT, OTHER_CLIENT = "stories/1.0", "another/1.0"
CONDITION = f"request.user_agent == '{CLIENT}'"
LATER_MS = 10 * 365 * 24 * 3600 * 1000
CONTEXTS = ("now", "with another client", "much later")

Power = tuple[str, str | None, str]
"""A permission, a path (None for the registry itself), a context."""
Powers = frozenset[Power]
NOTHING: Powers = frozenset()
NO_PATHS: frozenset[str | None] = frozenset()
REACH = "reach of "
"""Before a token: what its owner can do within the token's limits, however long the token lasts."""


@dataclass(frozen=True)
class Snapshot:
    """What each principal can do."""

    powers: dict[str, Powers]

    def of(self, principal: str) -> Powers:
        return self.powers.get(principal, NOTHING)

    def gained(self, before: "Snapshot") -> dict[str, Powers]:
        """Who can do what, that they could not do before."""
        gains = {who: powers - before.of(who) for who, powers in self.powers.items() if not who.startswith(REACH)}
        return {who: gain for who, gain in gains.items() if gain}


class Observer:
    """Looks into a set-up's database: at everybody whose name has a word in it, at some paths."""

    def __init__(self, set_up: SetUp, word: str, paths: tuple[str, ...]) -> None:
        self._settings = load(set_up.config, {}, {"data": set_up.server.data})
        self._runner = asyncio.Runner()
        self._database = self._runner.run(_open(self._settings.database, self._settings.data))
        self._word = word
        placed = {True: (None, *paths), False: (None,)}
        self._all: Powers = frozenset(
            (permission.value, path, name)
            for name in CONTEXTS
            for permission in GRANTABLE
            for path in placed[permission in PLACED]
        )
        self._paths: tuple[str | None, ...] = (None, *paths)

    def close(self) -> None:
        self._runner.run(self._database.close())
        self._runner.close()

    def look(self) -> Snapshot:
        return Snapshot(self.read(lambda connection: dict(self._everybody(connection))))

    def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Look up something else."""
        return self._runner.run(self._database.read(function, *args, **kwargs))

    def _everybody(self, connection: Connection) -> Iterator[tuple[str, Powers]]:
        anybody = rights.load(connection, None, {})
        public = frozenset(
            path for path in self._paths if path and namespaces.is_public(connection, RepositoryName(path))
        )
        yield "everyone", self._powers(anybody, None, public)
        nobody = rights.load(connection, 0, {})
        yield "anybody who is signed in", self._powers(nobody, None, public)
        for row in connection.execute(select(groups_table).where(groups_table.c.name.contains(self._word))).mappings():
            yield (
                f"group {row['id']} {row['name']}",
                self._powers(rights.of_group(connection, row["id"]), None, NO_PATHS),
            )
        for user in self._users(connection):
            account = users.account(connection, user)
            held = rights.load(connection, account.id, groups.of_user(connection, account.id))
            whole = self._powers(held, account, public) if user.usable else self._powers(anybody, None, public)
            yield f"user {user.id} {user.key}", whole
            if user.password_hash is not None:
                yield f"password {user.id} {user.password_hash[-12:]}", whole
            yield from self._credentials(connection, user, account, held, public, whole)

    def _credentials(
        self,
        connection: Connection,
        user: User,
        account: User,
        held: Rights,
        public: frozenset[str | None],
        whole: Powers,
    ) -> Iterator[tuple[str, Powers]]:
        chosen = select(tokens_table.c.id).where(tokens_table.c.user_id == user.id)
        for token_id in connection.execute(chosen).scalars():
            token = tokens.require(connection, user.id, token_id)
            powers = NOTHING
            if user.usable:
                powers = whole if token.limits is None else self._powers(held, account, public, token.limits)
            yield f"{REACH}token {token.id}", powers
            if token.expires_at_ms is not None:
                powers = frozenset(power for power in powers if power[2] != CONTEXTS[2])
            yield f"token {token.id}", powers
        for rule_id in connection.execute(select(trust_rules.c.id).where(trust_rules.c.robot_id == user.id)).scalars():
            yield f"trust rule {rule_id}", whole if user.usable else NOTHING

    def _users(self, connection: Connection) -> list[User]:
        named = or_(users_table.c.name.contains(self._word), users_table.c.display_name.contains(self._word))
        ids = connection.execute(select(users_table.c.id).where(named)).scalars().all()
        return [user for user in (users.get(connection, user_id) for user_id in ids) if user is not None]

    def _powers(
        self,
        held: Rights,
        account: User | None,
        public: frozenset[str | None],
        limits: tuple[Limit, ...] | None = None,
    ) -> Powers:
        if account is not None and not account.usable:
            return NOTHING
        if account is not None and account.administrator and limits is None:
            return self._all
        principal = ANONYMOUS if account is None else Principal(account.provider, account.name, limits=limits)
        return frozenset(
            (permission.value, path, name)
            for name, context in _contexts(principal)
            for permission in GRANTABLE
            for path in (self._paths if permission in PLACED else (None,))
            if credentials.within_limits(principal, permission, path)
            and (
                (account is not None and account.administrator)
                or held.allows(permission, path, context)
                or (permission is Permission.REPOSITORY_PULL and path in public)
            )
        )


def _contexts(principal: Principal) -> Iterator[tuple[str, Context]]:
    now = Context(Caller(principal, Origin("127.0.0.1", CLIENT, "0")), system_clock())
    yield CONTEXTS[0], now
    yield CONTEXTS[1], replace(now, caller=Caller(principal, now.caller.origin._replace(user_agent=OTHER_CLIENT)))
    yield CONTEXTS[2], replace(now, now_ms=now.now_ms + LATER_MS)


async def _open(settings: DatabaseSettings, data: Path) -> Database:
    return open_database(settings, data)


def described(gains: dict[str, Powers]) -> str:
    return json.dumps({who: sorted(map(str, gain))[:6] for who, gain in gains.items()}, indent=1)
