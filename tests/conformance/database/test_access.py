"""Rights from grants, as they are decided one by one, as a filter for lists, and as they are explained."""

import asyncio
from dataclasses import dataclass, replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from entrepot.access import conditions, grants, rights, roles, visible
from entrepot.access.conditions import Context
from entrepot.access.errors import GrantInvalid, GrantUnknown, RoleInUse, RoleInvalid, RoleUnknown
from entrepot.access.grants import EVERYONE, GROUP, SIGNED_IN, USER, Subject
from entrepot.access.permissions import PLACED, Permission
from entrepot.access.places import NAMESPACE, PATTERN, REGISTRY, REPOSITORY, Place
from entrepot.access.rights import Right, Rights
from entrepot.access.roles import BUILT_IN
from entrepot.content.tables import repositories
from entrepot.database import topics
from entrepot.database.database import Database
from entrepot.identity import groups, users
from entrepot.identity.groups import Group
from entrepot.identity.users import User
from entrepot.principal import Caller, Origin, Principal
from tests.budgets import budget
from tests.conformance.database.content import NOW_MS
from tests.conformance.database.remembering import Watched
from tests.conformance.database.waiting import until

pytestmark = pytest.mark.anyio

PULL, PUSH, GRANT = Permission.REPOSITORY_PULL, Permission.REPOSITORY_PUSH, Permission.GRANT_WRITE
EVERYWHERE = Place(REGISTRY, "")
TEAM = Place(NAMESPACE, "team")
CONTEXT = Context(Caller(Principal("local", "alice"), Origin("192.0.2.1", "docker", "r1")), NOW_MS)


@dataclass(frozen=True)
class People:
    alice: User
    bob: User
    developers: Group


@pytest.fixture
async def people(database: Database) -> People:
    def add(connection: Connection) -> People:
        alice = users.add(connection, "local", "alice", now_ms=NOW_MS)
        bob = users.add(connection, "local", "bob", now_ms=NOW_MS)
        developers = groups.add(connection, "ldap", "developers", "", NOW_MS)
        groups.add_member(connection, developers, alice)
        return People(alice, bob, developers)

    return await database.write(add)


async def grant(
    database: Database, role: str, subject: Subject, place: Place, condition: str | None = None, until_ms: int = 0
) -> int:
    made, _ = await database.write(
        partial(
            grants.add, condition=condition, expires_at_ms=until_ms or None, created_by="local:admin", now_ms=NOW_MS
        ),
        role,
        subject,
        place,
    )
    return made.id


async def rights_of(database: Database, user: User | None) -> Rights:
    def load(connection: Connection) -> Rights:
        return rights.load(connection, user and user.id, groups.of_user(connection, user.id) if user else {})

    return await database.read(load)


@pytest.mark.parametrize(
    ("kind", "alice", "bob", "anybody"),
    [
        (USER, True, False, False),
        (GROUP, True, False, False),
        (SIGNED_IN, True, True, False),
        (EVERYONE, True, True, True),
    ],
)
async def test_grant_is_for_its_subject_and_nobody_else(
    database: Database, people: People, kind: str, alice: bool, bob: bool, anybody: bool
) -> None:
    subjects = {USER: Subject(USER, people.alice.id), GROUP: Subject(GROUP, people.developers.id)}
    await grant(database, "reader", subjects.get(kind, Subject(kind)), TEAM)

    for user, expected in ((people.alice, alice), (people.bob, bob), (None, anybody)):
        found = await rights_of(database, user)
        assert found.allows(PULL, "team/app", CONTEXT) is expected
        assert found.allows(PULL, "team-a/app", CONTEXT) is False
        assert found.allows(PUSH, "team/app", CONTEXT) is False
    explained = (await rights_of(database, people.alice)).explain(PULL, "team/app", CONTEXT)
    assert [(one.right.through, one.right.group, one.missing) for one in explained] == [
        (kind, "ldap:developers" if kind == GROUP else "", "")
    ]


async def test_grants_of_two_subjects_add_up(database: Database, people: People) -> None:
    await grant(database, "reader", Subject(EVERYONE), TEAM)
    await grant(database, "developer", Subject(GROUP, people.developers.id), Place(REPOSITORY, "team/app"))

    alice = await rights_of(database, people.alice)
    assert alice.allows(PULL, "team/other", CONTEXT)
    assert alice.allows(PUSH, "team/app", CONTEXT)
    assert not alice.allows(PUSH, "team/app/below", CONTEXT)
    assert alice.roles_at("team/app", CONTEXT) == ["developer", "reader"]


async def test_grant_ends_in_the_millisecond_that_it_names(database: Database, people: People) -> None:
    await grant(database, "reader", Subject(USER, people.alice.id), TEAM, until_ms=NOW_MS)
    found = await rights_of(database, people.alice)

    assert not found.allows(PULL, "team/app", CONTEXT)
    assert found.explain(PULL, "team/app", CONTEXT)[0].missing == "it has expired"
    assert found.allows(PULL, "team/app", Context(CONTEXT.caller, NOW_MS - 1))


async def test_grant_holds_under_its_condition_only(database: Database, people: People) -> None:
    await grant(
        database, "reader", Subject(EVERYONE), EVERYWHERE, condition='in_network(request.address, "10.0.0.0/8")'
    )
    found = await rights_of(database, people.alice)

    inside = Context(Caller(CONTEXT.caller.principal, Origin("10.0.0.1", "", "")), NOW_MS)
    assert found.allows(PULL, "team/app", inside)
    assert found.visible(PULL, inside).everything
    assert not found.allows(PULL, "team/app", CONTEXT)
    assert found.visible(PULL, CONTEXT) == rights.Visible(everything=False)
    assert "its condition is not met" in found.explain(PULL, "team/app", CONTEXT)[0].missing


async def test_permissions_of_the_registry_are_had_for_the_registry_only(database: Database, people: People) -> None:
    await grant(database, "administrator", Subject(USER, people.alice.id), Place(PATTERN, "**"))
    await grant(database, "administrator", Subject(USER, people.bob.id), EVERYWHERE)
    alice, bob = await rights_of(database, people.alice), await rights_of(database, people.bob)

    for permission in BUILT_IN["administrator"].permissions:
        assert alice.allows(permission, "team", CONTEXT) is (permission in PLACED)
        assert not alice.allows(permission, None, CONTEXT)
        assert bob.allows(permission, "team", CONTEXT)
        assert bob.allows(permission, None, CONTEXT)


async def test_role_that_is_changed_or_gone_counts_as_it_is(database: Database, people: People) -> None:
    await database.write(roles.put, roles.parse("deployer", "Deploys", ["repository:pull", "repository:push"]), NOW_MS)
    await grant(database, "deployer", Subject(USER, people.alice.id), TEAM)
    assert (await rights_of(database, people.alice)).allows(PUSH, "team/app", CONTEXT)

    await database.write(roles.put, roles.parse("deployer", "", ["repository:pull"]), NOW_MS)
    changed = await rights_of(database, people.alice)
    assert (changed.allows(PULL, "team/app", CONTEXT), changed.allows(PUSH, "team/app", CONTEXT)) == (True, False)
    with pytest.raises(RoleInUse):
        await database.write(roles.remove, "deployer")


async def test_role_or_permission_that_this_version_does_not_know_gives_nothing(
    database: Database, people: People
) -> None:
    """As a newer version may have written it."""

    def write(connection: Connection) -> None:
        values = {"description": "", "permissions": '["repository:pull", "moon:land"]', "created_at_ms": NOW_MS}
        connection.execute(insert(roles.roles).values(name="newer", **values))
        connection.execute(insert(roles.roles).values(name="reader", **{**values, "permissions": '["user:write"]'}))

    await database.write(write)
    for role in ("newer", "nobody-knows", "reader"):
        await grant(database, role, Subject(USER, people.alice.id), EVERYWHERE)
    found = await rights_of(database, people.alice)

    assert found.allows(PULL, "team/app", CONTEXT)
    # Nobody changes what a built-in role is.
    assert not found.allows(Permission.USER_WRITE, None, CONTEXT)


@pytest.mark.parametrize("name", ["reader", "administrator", "", "Deployer", "a b", "a" * 65, "a\n", "1a"])
async def test_role_of_a_built_in_or_impossible_name_cannot_be_made(name: str) -> None:
    with pytest.raises(RoleInvalid):
        roles.parse(name, "", ["repository:pull"])


@pytest.mark.parametrize("permissions", [[], ["repository:*"], ["*"], ["public"], ["registry:ping"], ["account:own"]])
async def test_role_of_what_is_not_granted_cannot_be_made(permissions: list[str]) -> None:
    with pytest.raises(RoleInvalid):
        roles.parse("deployer", "", permissions)


@pytest.mark.parametrize("description", ["a" * 256, "a\x00b", "a\nb"])
async def test_description_that_cannot_be_kept_is_refused(description: str) -> None:
    with pytest.raises(RoleInvalid):
        roles.parse("deployer", description, ["repository:pull"])


async def test_roles_are_removed_only_if_they_are_there_and_not_built_in(database: Database) -> None:
    with pytest.raises(RoleInvalid):
        await database.write(roles.remove, "reader")
    with pytest.raises(RoleUnknown):
        await database.write(roles.remove, "deployer")


async def test_grant_of_equal_terms_is_made_once(database: Database, other: Database, people: People) -> None:
    subject = Subject(USER, people.alice.id)
    made = await asyncio.gather(
        *(
            worker.write(partial(grants.add, created_by=f"local:{number}", now_ms=NOW_MS), "reader", subject, TEAM)
            for number, worker in enumerate((database, other) * 4)
        )
    )

    assert len({one.id for one, _ in made}) == 1
    assert [is_new for _, is_new in made].count(True) == 1
    await database.write(grants.remove, made[0][0].id)
    assert not (await rights_of(database, people.alice)).allows(PULL, "team/app", CONTEXT)
    with pytest.raises(GrantUnknown):
        await database.write(grants.remove, made[0][0].id)


@pytest.mark.parametrize(
    "subject", [Subject(USER), Subject(GROUP), Subject(EVERYONE, 1), Subject(SIGNED_IN, 1), Subject("robot", 1)]
)
async def test_grant_to_no_subject_is_refused(database: Database, subject: Subject) -> None:
    with pytest.raises(GrantInvalid):
        await grant(database, "reader", subject, TEAM)


async def test_namespace_has_room_for_so_many_grants_that_all_others_wait_for(
    database: Database, people: People
) -> None:
    for subject in (Subject(EVERYONE), Subject(SIGNED_IN), Subject(USER, people.alice.id)):
        for number in range(grants.CONDITIONS_MAX // (1 if subject.kind == USER else 2)):
            place = Place(REPOSITORY, f"crowd/{subject.kind}-{number}")
            await grant(database, "reader", subject, place, condition=f"request.user_agent == 'a{number}'")
    for subject in (Subject(EVERYONE), Subject(SIGNED_IN), Subject(USER, people.alice.id)):
        with pytest.raises(GrantInvalid, match="conditions"):
            await grant(database, "reader", subject, Place(PATTERN, "crowd/*"), condition="true || true")
    for number in range(grants.FOR_ANYBODY_MAX - grants.CONDITIONS_MAX):
        await grant(database, "reader", Subject(EVERYONE), Place(PATTERN, f"crowd/{number}-*"))
    for place in (Place(PATTERN, "crowd/x-*"), Place(NAMESPACE, "crowd"), Place(REPOSITORY, "crowd/x/y")):
        with pytest.raises(GrantInvalid, match="everyone"):
            await grant(database, "reader", Subject(EVERYONE), place)
    # Others have their own room, and who answers for the registry is not counted.
    await grant(database, "reader", Subject(EVERYONE), Place(PATTERN, "crowds/*"))
    await grant(database, "reader", Subject(EVERYONE), EVERYWHERE)
    await grant(database, "reader", Subject(USER, people.alice.id), Place(NAMESPACE, "crowd"))


async def test_grants_go_with_their_user_and_their_group(database: Database, people: People) -> None:
    await grant(database, "reader", Subject(USER, people.alice.id), TEAM)
    await grant(database, "reader", Subject(GROUP, people.developers.id), TEAM)
    await database.write(groups.remove, people.developers)
    assert [one.through for one in (await rights_of(database, people.alice)).by_place[NAMESPACE, "team"]] == [USER]
    await database.write(users.remove, people.alice)

    assert await database.read(lambda connection: grants.page(connection, after=0, limit=10)) == []


async def test_what_is_remembered_of_somebody_goes_with_the_user(database: Database, other: Database) -> None:
    """Numbers may be given again: the next user must not have what the former one had."""
    alice = await database.write(lambda connection: users.add(connection, "local", "alice", now_ms=NOW_MS))
    watched = Watched(other)
    await watched.remember(*topics.OF_A_USER)
    await database.write(users.remove, alice)

    for topic in topics.OF_A_USER:
        await until(lambda topic=topic: not watched.knows(topic))


NAMES = (
    *("a", "a-b", "a.b", "a/a", "a/a/a", "a/b", "a/b/a", "a0", "aa", "aa/a", "ab", "ab/a", "b", "b/a", "b/a/b/a/b/a"),
    "a" * 255,
    "/".join(["aa"] * 85),
)
PATHS = st.sampled_from(["a", "b", "a/a", "a-b", "aa", "a/b", "ab", "c"])
PATTERNS = st.lists(st.sampled_from(["a", "b", "/", "*", "**", "-"]), min_size=1, max_size=8).map("".join)
PLACES = st.one_of(
    st.builds(Place, st.just(NAMESPACE), PATHS),
    st.builds(Place, st.just(REPOSITORY), PATHS),
    st.builds(Place, st.just(PATTERN), PATTERNS | st.just("**a**a**a**a**a**a**a**b")),
)
RIGHTS = st.lists(
    st.builds(
        Right,
        grant_id=st.integers(1, 100),
        role=st.sampled_from([BUILT_IN[name] for name in ("reader", "developer", "auditor", "owner")]),
        place=PLACES | st.sampled_from([EVERYWHERE, TEAM, TEAM, TEAM]),
        condition=st.sampled_from([None, None, "true", "false", 'user.name == "alice"', "1 / 0 == 1"]),
        expires_at_ms=st.sampled_from([None, None, NOW_MS - 1, NOW_MS, NOW_MS + 1]),
        through=st.just(USER),
    ),
    max_size=5,
).map(Rights.of)


@given(RIGHTS, st.sampled_from([PULL, PUSH, GRANT, Permission.USER_READ]), st.sampled_from([*NAMES, None]))
@budget(500)
def test_what_is_allowed_is_what_is_explained(found: Rights, permission: Permission, path: str | None) -> None:
    explained = [one for one in found.explain(permission, path, CONTEXT) if not one.missing]

    assert found.allows(permission, path, CONTEXT) is bool(explained)


def test_patterns_of_other_namespaces_are_not_looked_at() -> None:
    """However many namespaces there are, and however many patterns their owners grant to everybody."""
    looked_at: list[Place] = []

    class Watched(Place):
        def covers(self, path: str | None) -> bool:
            looked_at.append(self)
            return super().covers(path)

    def right(pattern: str) -> Right:
        return Right(1, BUILT_IN["reader"], Watched(PATTERN, pattern), None, None, EVERYONE)

    found = Rights.of([right(f"other-{number}/app-*") for number in range(1000)] + [right("team/*"), right("*/app")])

    assert found.allows(PULL, "team/x", CONTEXT)
    assert not found.allows(PULL, "team-x/y", CONTEXT)
    assert {place.path for place in looked_at} <= {"team/*", "*/app"}


async def test_list_takes_any_number_of_patterns(named: Database, backend: str) -> None:
    shown = rights.Visible(False, patterns=(*(f"other-{number}/**-{number}" for number in range(5000)), "b/*", "*"))
    name = repositories.c.name
    statement = select(name).where(visible.within(name, shown, dialect_name=backend)).order_by(name)

    listed = await named.read(lambda connection: list(connection.execute(statement).scalars()))

    assert listed == [one for one in sorted(NAMES) if "/" not in one or one in {"b/a"}]


async def test_own_conditions_come_before_those_of_others(database: Database, people: People) -> None:
    """Of very many conditions not all are evaluated, and nobody fills the room with theirs for everybody."""
    for number in range(conditions.EVALUATED_MAX):
        place = Place(REPOSITORY, f"crowd-{number // 10}/app-{number}")
        await grant(database, "reader", Subject(SIGNED_IN), place, condition=f"'{number}' == user.name")
    await grant(database, "reader", Subject(USER, people.alice.id), TEAM, condition="user.name == 'alice'")

    shown = (await rights_of(database, people.alice)).visible(PULL, replace(CONTEXT, known={}))

    assert shown.namespaces == ("team",)


@pytest.fixture
async def named(database: Database) -> Database:
    def add(connection: Connection) -> None:
        connection.execute(insert(repositories), [{"name": name, "created_at_ms": NOW_MS} for name in NAMES])

    await database.write(add)
    return database


async def test_list_has_what_is_allowed(named: Database, backend: str) -> None:
    cases: list[Rights] = []

    @given(RIGHTS)
    @budget(150)
    def gather(found: Rights) -> None:
        cases.append(found)

    gather()
    name = repositories.c.name
    for found in cases:
        shown = found.visible(PULL, CONTEXT)
        statement = select(name).where(visible.within(name, shown, dialect_name=backend)).order_by(name)
        listed = await named.read(lambda connection, s=statement: list(connection.execute(s).scalars()))
        assert listed == [one for one in sorted(NAMES) if found.allows(PULL, one, CONTEXT)], found


async def test_list_takes_any_number_of_places(named: Database, backend: str) -> None:
    many = [f"team-{number}" for number in range(5000)]
    shown = rights.Visible(False, tuple(many), (*many, "aa"), tuple(f"{name}/**" for name in [*many, "b"]))
    name = repositories.c.name
    statement = select(name).where(visible.within(name, shown, dialect_name=backend)).order_by(name)

    listed = await named.read(lambda connection: list(connection.execute(statement).scalars()))

    assert listed == ["aa", "b/a", "b/a/b/a/b/a"]
