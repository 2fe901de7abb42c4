"""What a list shows is what a pull is allowed for: the rules in SQL and the rules in Python are the same ones."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from entrepot.access import grants as access_grants
from entrepot.access.errors import GrantInvalid
from entrepot.access.grants import EVERYONE, GROUP, SIGNED_IN, USER, Subject
from entrepot.access.permissions import Permission
from entrepot.access.places import KINDS, PATTERN, REGISTRY, Place
from entrepot.access.tables import grants as grants_table
from entrepot.actions import authorize
from entrepot.actions.manage import namespaces as manage
from entrepot.app import App, open_app
from entrepot.content import repositories
from entrepot.database.caches import Caches
from entrepot.identity import groups, users
from entrepot.namespaces import namespaces
from entrepot.oci.name import RepositoryName
from entrepot.principal import ANONYMOUS, Caller, Limit, Origin, Principal
from entrepot.settings import Settings
from entrepot.telemetry.metrics import Metrics
from tests.budgets import budget

pytestmark = pytest.mark.anyio

NAMES = ("a", "a-b", "a.b/c", "a/b", "a/b-c", "a/b/c", "a/b/c/d", "a/bc", "a0/b", "a_b", "ab", "ab/c", "b", "b/a/b")
PATHS = (*NAMES, "a/b/c/d/e", "a.b", "b/a", "c")
NOW_MS = 1_750_000_000_000
ORIGIN = Origin("192.0.2.1", "a test", "1")


@dataclass(frozen=True)
class Given:
    """A grant as it is drawn: of the user, a group of the user's, somebody else…"""

    role: str
    whom: str
    place: Place
    condition: str | None
    expires_at_ms: int | None


def _parses(pattern: str) -> bool:
    try:
        Place.parse(PATTERN, pattern)
    except GrantInvalid:
        return False
    return True


_patterns = st.lists(
    st.sampled_from(["a", "b", "c", "/", "*", "**", "-", ".", "_", "b/", "a/"]), min_size=1, max_size=6
)
_pattern_places = _patterns.map("".join).filter(_parses).map(lambda pattern: Place.parse(PATTERN, pattern))
_path_places = st.builds(
    Place, st.sampled_from([kind for kind in KINDS if kind not in {REGISTRY, PATTERN}]), st.sampled_from(PATHS)
)
_places = st.one_of(_path_places, _path_places, _pattern_places, st.just(Place(REGISTRY, "")))
_grants = st.builds(
    Given,
    st.sampled_from(["reader", "reader", "developer", "owner", "auditor", "administrator"]),
    st.sampled_from([USER, GROUP, SIGNED_IN, EVERYONE, "somebody else", "another group"]),
    _places,
    st.sampled_from([None, None, "request.address == '192.0.2.1'", "request.address == '192.0.2.2'"]),
    st.sampled_from([None, None, NOW_MS - 1, NOW_MS, NOW_MS + 1]),
)
_limits = st.none() | st.lists(
    st.builds(
        lambda permissions, place: Limit(frozenset(permissions), place.kind, place.path),
        st.sampled_from([("*",), ("repository:pull",), ("repository:push",), ("namespace:read", "repository:pull")]),
        _places,
    ),
    max_size=3,
).map(tuple)
_settings = st.dictionaries(st.sampled_from(["", *PATHS]), st.booleans(), max_size=5)
_principals = st.sampled_from([Principal("local", "user"), Principal("local", "user"), ANONYMOUS])


class Untrusted:
    """A feed with which nothing is remembered, so that each example is read from the database."""

    trusted = False

    def poll(self) -> tuple[str, ...]:
        return ()


@pytest.fixture
async def app(url: str, tmp_path: Path) -> AsyncIterator[App]:
    settings = Settings.model_validate({"data": tmp_path, "database": {"url": url}})
    async with open_app(settings, Metrics(), lambda: NOW_MS) as opened:
        await opened.database.write(_make_people)
        caches = Caches(Untrusted(), content_bytes_max=0, accounts_bytes_max=0, passwords_bytes_max=0)
        yield replace(opened, caches=caches)


def _make_people(connection: Connection) -> None:
    for name in ("user", "other"):
        users.add(connection, users.LOCAL, name, now_ms=NOW_MS)
    for name in ("group", "another"):
        groups.add(connection, users.LOCAL, name, "", NOW_MS)
    groups.add_member(
        connection, groups.require(connection, users.LOCAL, "group"), users.require(connection, users.LOCAL, "user")
    )
    for name in NAMES:
        repositories.ensure(connection, RepositoryName(name), NOW_MS)


def _settle(connection: Connection, drawn: list[Given], public: dict[str, bool]) -> None:
    connection.execute(grants_table.delete())
    for known in namespaces.listing(connection):
        namespaces.inherit(connection, known.path)
    subjects = {
        USER: Subject(USER, users.require(connection, users.LOCAL, "user").id),
        "somebody else": Subject(USER, users.require(connection, users.LOCAL, "other").id),
        GROUP: Subject(GROUP, groups.require(connection, users.LOCAL, "group").id),
        "another group": Subject(GROUP, groups.require(connection, users.LOCAL, "another").id),
        SIGNED_IN: Subject(SIGNED_IN),
        EVERYONE: Subject(EVERYONE),
    }
    for grant in drawn:
        access_grants.add(
            connection,
            grant.role,
            subjects[grant.whom],
            grant.place,
            condition=grant.condition,
            expires_at_ms=grant.expires_at_ms,
            created_by="a test",
            now_ms=NOW_MS,
        )
    for path, is_public in public.items():
        namespaces.set_public(connection, path, is_public, NOW_MS)


@given(drawn=st.lists(_grants, max_size=6), public=_settings, principal=_principals, limits=_limits)
@budget(120)
async def test_repository_is_listed_exactly_if_it_can_be_pulled(
    app: App, drawn: list[Given], public: dict[str, bool], principal: Principal, limits: tuple[Limit, ...] | None
) -> None:
    await app.database.write(_settle, drawn, public)
    asking = principal if principal.is_anonymous else replace(principal, limits=limits)

    reader = await authorize.reader(app, Caller(asking, ORIGIN))
    listed = await app.database.read(repositories.names, reader, "", 100)
    described = await app.database.read(repositories.page, reader, after="", limit=100)

    pull = Permission.REPOSITORY_PULL
    assert listed == [name for name in NAMES if await authorize.may(app, Caller(asking, ORIGIN), pull, name)]
    assert [entry.name for entry in described] == listed
    for entry in described:
        assert entry.public == await app.database.read(namespaces.is_public, RepositoryName(entry.name))


@given(drawn=st.lists(_grants, max_size=6), public=_settings, limits=_limits)
@budget(60)
async def test_namespace_is_listed_exactly_if_it_can_be_read(
    app: App, drawn: list[Given], public: dict[str, bool], limits: tuple[Limit, ...] | None
) -> None:
    await app.database.write(_settle, drawn, public)
    asking = Principal("local", "user", limits=limits)
    read = Permission.NAMESPACE_READ

    reader = await authorize.reader(app, Caller(asking, ORIGIN), read)
    listed = await app.database.read(manage.page, reader, after="", limit=100)

    assert [entry.path for entry in listed] == [
        path for path in sorted(public) if await authorize.may(app, Caller(asking, ORIGIN), read, path or None)
    ]


@given(drawn=st.lists(_grants, max_size=6), wide=_places, narrow=st.sampled_from(NAMES))
@budget(100)
async def test_who_may_in_all_of_a_place_may_at_each_path_in_it(
    app: App, drawn: list[Given], wide: Place, narrow: str
) -> None:
    await app.database.write(_settle, drawn, {})
    asking = Principal("local", "user")
    for permission in (Permission.REPOSITORY_PULL, Permission.GRANT_WRITE, Permission.AUDIT_READ):
        if wide.covers(narrow) and await authorize.may(app, Caller(asking, ORIGIN), permission, wide):
            assert await authorize.may(app, Caller(asking, ORIGIN), permission, narrow)
