"""No act of a principal enlarges what that principal, or anybody they name, can do beyond what they can do themselves.

Attackers with the smallest right that opens a route, and with rights that end, that hold under a condition, or in one
place only, try everything that could give somebody more: to themselves, a friend, a machine, everybody. After each act
that succeeds, what every principal can do everywhere is computed from the database, and compared.
"""

import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from entrepot.access.permissions import GRANTABLE, UNGRANTED
from entrepot.access.roles import BUILT_IN
from entrepot.clock import system_clock
from entrepot.http.api.application import ROUTES
from entrepot.identity import tokens, users
from tests.functional.people import API, PASSWORD, PASSWORD_HASH, People, people_of
from tests.functional.powers import CLIENT, CONDITION, REACH, Observer, Snapshot, described
from tests.functional.setups import SetUp, alone

NEW_PASSWORD = "another password for stories"
ROUNDS, STEPS = 3, 60
CHANGING = [route for route in ROUTES if route.method != "GET"]
OWNER = frozenset(permission.value for permission in BUILT_IN["owner"].permissions)
MANAGING = ["user:write", "group:write", "role:write", "trust:write", "user:read"]


@dataclass(frozen=True)
class Attempt:
    """A request that might give somebody more."""

    route: tuple[str, str]
    path: str
    body: Any = None

    def send(self, client: httpx.Client) -> httpx.Response:
        return client.request(self.route[0], f"{API}{self.path}", json=self.body)


@dataclass(frozen=True)
class Actor:
    """Who attempts: `principal` and `reach` are names in a snapshot."""

    title: str
    client: httpx.Client
    principal: str
    reach: str
    user_id: int
    permissions: frozenset[str]
    """Those of the role they have somewhere."""


@dataclass
class World:
    """Two teams, of which the attackers have something in one; people, machines and groups with more than they have."""

    people: People
    observer: Observer
    word: str
    admin: httpx.Client
    resources: ExitStack = field(default_factory=ExitStack)

    @property
    def mine(self) -> str:
        return f"{self.word}-mine"

    @property
    def theirs(self) -> str:
        return f"{self.word}-theirs"

    def name(self, what: str) -> str:
        return f"{self.word}-{what}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.admin.request(method, f"{API}{path}", json=body)
        assert answer.status_code < 300, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else None

    def client(self, name: str, secret: str) -> httpx.Client:
        client = self.people.anybody()
        client.auth = httpx.BasicAuth(name, secret)
        client.headers["user-agent"] = CLIENT
        self.resources.callback(client.close)
        return client


def place(kind: str, path: str = "") -> dict[str, str]:
    return {"kind": kind, "path": path}


def build(world: World) -> None:
    """As an administrator might have set it up."""
    w = world
    admin_people = {"boss": ("administrator", place("registry")), "lead": ("owner", place("namespace", w.theirs))}
    for person in ("friend", "boss", "lead", "login", "stranger", "member"):
        _add_user(w, w.name(person))
    for person, (role, where) in admin_people.items():
        _grant(w, role, {"user": f"local:{w.name(person)}"}, where)
    w.ask("PATCH", f"/users/local/{w.name('login')}", {"linked_to": f"local:{w.name('boss')}"})
    for group, role, where in (
        ("strong", "owner", place("namespace", w.theirs)),
        ("team", "developer", place("namespace", w.mine)),
    ):
        w.ask("PUT", f"/groups/local/{w.name(group)}", {})
        _grant(w, role, {"group": f"local:{w.name(group)}"}, where)
    w.ask("PUT", f"/groups/local/{w.name('empty')}", {})
    w.ask("PUT", f"/groups/local/{w.name('strong')}/members/local/{w.name('stranger')}")
    robots = {
        f"{w.mine}/root": ("administrator", place("registry")),
        f"{w.mine}/ci": ("developer", place("namespace", w.mine)),
        f"{w.mine}/off": ("owner", place("namespace", w.mine)),
        f"{w.mine}/app/deploy": ("developer", place("namespace", w.theirs)),
        f"{w.theirs}/ci": ("developer", place("namespace", w.theirs)),
    }
    for robot, (role, where) in robots.items():
        w.ask("PUT", f"/robots/{robot}", {})
        _grant(w, role, {"user": f"robot:{robot}"}, where)
        w.ask("POST", f"/robots/{robot}/tokens", {"name": f"of {robot}"})
    w.ask("PUT", f"/robots/{w.mine}/off", {"disabled": True})
    w.ask("PUT", f"/roles/{w.name('open')}", {"permissions": ["repository:pull"]})
    _grant(w, w.name("open"), {"kind": "everyone"}, place("repository", f"{w.mine}/open"))
    _grant(w, w.name("open"), {"kind": "signed-in"}, place("namespace", w.mine))
    w.ask("PUT", f"/namespaces/{w.mine}", {"visibility": "private"})
    w.ask("PUT", f"/namespaces/{w.mine}/public", {"visibility": "public"})
    w.ask("PUT", f"/namespaces/{w.mine}/public/closed", {"visibility": "private"})


def _add_user(world: World, name: str) -> int:
    now_ms = system_clock()
    return world.people.in_database(
        lambda c: users.add(c, users.LOCAL, name, password_hash=PASSWORD_HASH, now_ms=now_ms).id
    )


def _grant(world: World, role: str, subject: dict[str, str], where: dict[str, str], **terms: object) -> None:
    world.ask("POST", "/grants", {"role": role, "subject": subject, "place": where, **terms})


def in_an_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def actor(world: World, title: str, permissions: list[str] | str, where: dict[str, str], **terms: object) -> Actor:
    """A new local user with these permissions, or the role owner, there."""
    name = world.name(f"actor-{secrets.token_hex(3)}")
    user_id = _add_user(world, name)
    role = permissions if isinstance(permissions, str) else world.name(f"role-{secrets.token_hex(3)}")
    if not isinstance(permissions, str):
        world.ask("PUT", f"/roles/{role}", {"permissions": permissions})
    _grant(world, role, {"user": f"local:{name}"}, where, **terms)
    principal = f"user {user_id} local:{name}"
    held = OWNER if isinstance(permissions, str) else frozenset(permissions)
    return Actor(title, world.client(name, PASSWORD), principal, principal, user_id, held)


def robot_actor(world: World, title: str, *, expires: bool) -> Actor:
    """A robot of the attackers' namespace that manages it, with a token."""
    name = f"{world.mine}/actor-{secrets.token_hex(3)}"
    world.ask("PUT", f"/robots/{name}", {})
    _grant(world, "owner", {"user": f"robot:{name}"}, place("namespace", world.mine))
    body = {"name": name, **({"expires_in_seconds": 3600} if expires else {})}
    made = world.ask("POST", f"/robots/{name}/tokens", body)
    user_id = world.people.in_database(lambda c: users.require(c, users.ROBOT, name).id)
    principal = f"token {made['token']['id']}"
    return Actor(title, world.client(f"robot+{name}", made["secret"]), principal, f"{REACH}{principal}", user_id, OWNER)


def limited_actor(world: World, title: str) -> Actor:
    """An owner of the registry, using a personal token that is limited to the namespace, and ends."""
    whole = actor(world, title, "owner", place("registry"))
    limit = {"permissions": ["*"], "kind": "namespace", "path": world.mine}
    body = {"name": title, "limits": [limit], "expires_in_seconds": 3600}
    answer = whole.client.post(f"{API}/account/tokens", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    principal = f"token {made['token']['id']}"
    client = world.client(made["username"], made["secret"])
    return Actor(title, client, principal, f"{REACH}{principal}", whole.user_id, OWNER)


def attempts(world: World, who: Actor) -> list[Attempt]:
    """Everything that could give somebody more, with what destroys at the end."""
    return [attempt for kind in KINDS for attempt in kind(world, who)]


def _grants(w: World, who: Actor) -> Iterator[Attempt]:
    me = who.principal.partition("local:")[2] or w.name("friend")
    own = {"user": f"local:{me}"}
    terms: tuple[dict[str, str], ...] = ({}, {"condition": CONDITION}, {"expires_at": in_an_hour()})
    asked = [
        *((role, own, where, some) for role in ("owner", "administrator") for where in _places(w) for some in terms),
        *(("reader", subject, place("namespace", w.mine), {}) for subject in _subjects(w)),
        *((w.name("open"), subject, where, {}) for subject in _subjects(w) for where in _places(w)[-2:]),
    ]
    for role, subject, where, some in asked:
        body = {"role": role, "subject": subject, "place": where, **some}
        yield Attempt(("POST", "/grants"), "/grants", body)


def _subjects(w: World) -> list[dict[str, str]]:
    return [
        {"user": f"robot:{w.mine}/ci"},
        {"group": f"local:{w.name('empty')}"},
        {"kind": "signed-in"},
        {"kind": "everyone"},
    ]


def _places(w: World) -> list[dict[str, str]]:
    return [
        place("registry"),
        place("namespace", w.mine),
        place("repository", f"{w.mine}/app"),
        place("pattern", f"{w.mine}/*"),
        place("pattern", "**"),
        place("namespace", w.theirs),
    ]


def _roles(w: World, _: Actor) -> Iterator[Attempt]:
    route = ("PUT", "/roles/{name}")
    everything = sorted(permission.value for permission in GRANTABLE)
    held = [role["name"] for role in w.ask("GET", "/roles")["items"] if w.word in role["name"]]
    for name in [*held, w.name("new-role")]:
        for permissions in (everything, ["repository:pull", "repository:push"], ["role:write", "user:read"]):
            yield Attempt(route, f"/roles/{name}", {"permissions": permissions})


def _namespaces(w: World, _: Actor) -> Iterator[Attempt]:
    for path in (w.mine, f"{w.mine}/app", f"{w.mine}/public/closed", w.theirs, ""):
        yield Attempt(("PUT", "/namespaces/{path:path}"), f"/namespaces/{path}", {"visibility": "public"})
        yield Attempt(("DELETE", "/namespaces/{path:path}"), f"/namespaces/{path}")


def _robots(w: World, _: Actor) -> Iterator[Attempt]:
    robots = [robot["name"] for robot in w.ask("GET", "/robots")["items"] if w.word in robot["name"]]
    for name in [*robots, f"{w.mine}/new", f"{w.theirs}/new"]:
        for body in ({}, {"disabled": False}, {"owner": f"local:{w.name('boss')}"}, {"description": w.word}):
            yield Attempt(("PUT", "/robots/{name:path}"), f"/robots/{name}", body)
        for body in ({"name": "a"}, {"name": "b", "expires_in_seconds": 60}, {"name": "c", "limits": [_LIMIT]}):
            yield Attempt(("POST", "/robots/{name:path}/tokens"), f"/robots/{name}/tokens", body)
        rule = {"provider": "none", "audience": "a", "claims": {"sub": "a"}}
        yield Attempt(("POST", "/robots/{name:path}/trust-rules"), f"/robots/{name}/trust-rules", rule)
    for name in robots:
        for token_id in _tokens_of(w, w.observer.read(users.require, users.ROBOT, name).id)[:2]:
            path = f"/robots/{name}/tokens/{token_id}/rotate"
            yield Attempt(("POST", "/robots/{name:path}/tokens/{token_id}/rotate"), path, {})


_LIMIT = {"permissions": ["*"], "kind": "registry", "path": ""}


def _accounts(w: World, who: Actor) -> Iterator[Attempt]:
    patch, put = ("PATCH", "/users/{provider}/{name:path}"), ("PUT", "/users/local/{name}")
    me = who.principal.partition("local:")[2]
    everybody = [w.name(one) for one in ("friend", "boss", "lead", "login", "stranger", "member", "new-user")]
    for name in everybody:
        for body in ({"password": NEW_PASSWORD}, {"administrator": True}, {"disabled": True}, {"disabled": False}):
            yield Attempt(put, f"/users/local/{name}", body)
        for body in (
            {"administrator": True},
            {"disabled": False},
            {"linked_to": f"local:{w.name('boss')}"},
            {"linked_to": f"local:{me}" if me else f"local:{w.name('friend')}"},
            {"linked_to": None},
        ):
            yield Attempt(patch, f"/users/local/{name}", body)
    lines = "\n".join(f"{name}:{PASSWORD_LINE}" for name in everybody)
    for replace in (True, False):
        yield Attempt(("POST", "/users/import-htpasswd"), "/users/import-htpasswd", {"text": lines, "replace": replace})
    member = "/groups/local/{group}/members/{provider}/{name:path}"
    for group in ("strong", "team", "empty"):
        yield Attempt(("PUT", "/groups/{provider}/{name:path}"), f"/groups/local/{w.name(group)}", {"description": "d"})
        for name in (me or w.name("friend"), w.name("friend")):
            path = f"/groups/local/{w.name(group)}/members/local/{name}"
            yield Attempt(("PUT", member), path)
        yield Attempt(("PUT", member), f"/groups/local/{w.name(group)}/members/robot/{w.mine}/ci")
    for body in ({"name": "mine"}, {"name": "all", "limits": [_LIMIT]}, {"name": "soon", "expires_in_seconds": 60}):
        yield Attempt(("POST", "/account/tokens"), "/account/tokens", body)
    for token_id in _tokens_of(w, who.user_id)[:2]:
        path = f"/account/tokens/{token_id}/rotate"
        yield Attempt(("POST", "/account/tokens/{token_id}/rotate"), path, {})
    body = {"current": PASSWORD, "new": PASSWORD}
    yield Attempt(("PUT", "/account/password"), "/account/password", body)


def _destroying(w: World, _: Actor) -> Iterator[Attempt]:
    """What takes something away gives nobody more, either."""
    for grant in w.ask("GET", f"/grants?below={w.mine}")["items"][:3]:
        yield Attempt(("DELETE", "/grants/{grant_id}"), f"/grants/{grant['id']}")
    member = "/groups/local/{group}/members/{provider}/{name:path}"
    yield Attempt(("DELETE", member), f"/groups/local/{w.name('strong')}/members/local/{w.name('stranger')}")
    for robot in (f"{w.mine}/ci", f"{w.theirs}/ci"):
        known = w.observer.read(users.find, users.ROBOT, robot)
        for token_id in _tokens_of(w, known.id)[:1] if known is not None else []:
            path = f"/robots/{robot}/tokens/{token_id}"
            yield Attempt(("DELETE", "/robots/{name:path}/tokens/{token_id}"), path)
        yield Attempt(("DELETE", "/robots/{name:path}/trust-rules/{rule_id}"), f"/robots/{robot}/trust-rules/1")
        yield Attempt(("DELETE", "/robots/{name:path}"), f"/robots/{robot}")
    user = "/users/{provider}/{name:path}"
    token_of_user = ("DELETE", f"{user}/tokens/{{token_id}}")
    yield Attempt(token_of_user, f"/users/local/{w.name('member')}/tokens/000000000000")
    yield Attempt(("DELETE", "/account/tokens/{token_id}"), "/account/tokens/000000000000")
    for name in ("member", "login", "boss"):
        yield Attempt(("DELETE", user), f"/users/local/{w.name(name)}")
    yield Attempt(("DELETE", "/groups/{provider}/{name:path}"), f"/groups/local/{w.name('strong')}")
    yield Attempt(("DELETE", "/roles/{name}"), f"/roles/{w.name('open')}")


KINDS = (_grants, _roles, _namespaces, _robots, _accounts, _destroying)
PASSWORD_LINE = "$2y$05$" + "abcdefghijklmnopqrstuu" + "abcdefghijklmnopqrstuvwxyzabcde"
"""A bcrypt hash of nothing that anybody knows: importing it is setting a password all the same."""


@pytest.fixture
def world(set_up: SetUp) -> Iterator[World]:
    with world_of(set_up) as made:
        yield made


@pytest.fixture
def small_world(tmp_path: Path) -> Iterator[World]:
    """On a server of its own, with the simplest set-up: what is asked here is asked often."""
    with alone(tmp_path) as set_up, world_of(set_up) as made:
        yield made


@contextmanager
def world_of(set_up: SetUp) -> Iterator[World]:
    with people_of(set_up) as people:
        word = f"w{secrets.token_hex(4)}"
        mine, theirs = f"{word}-mine", f"{word}-theirs"
        paths = (mine, f"{mine}/app", f"{mine}/public/closed", f"{theirs}/app")
        observer = Observer(set_up, word, paths)
        made = World(people, observer, word, people.admin)
        try:
            build(made)
            yield made
        finally:
            made.resources.close()
            observer.close()


def judge(world: World, who: Actor, attempt: Attempt, before: Snapshot) -> Snapshot:
    """Make the attempt; fails if anybody can do more than before, and more than who made it. Answers what holds now."""
    answer = attempt.send(who.client)
    assert answer.status_code < 500, f"{attempt}: {answer.text}"
    if answer.status_code >= 300:
        return before
    after = world.observer.look()
    own = {f"token {token_id}" for token_id in _tokens_of(world, who.user_id)}
    excess = {
        principal: gain - before.of(who.principal if principal in own else who.reach)
        for principal, gain in after.gained(before).items()
    }
    excess = {principal: gain for principal, gain in excess.items() if gain}
    assert not excess, f"{who.title} sent {attempt}, and now can do more: {described(excess)}"
    return after


def _tokens_of(world: World, user_id: int) -> list[str]:
    return [token.id for token in world.observer.read(tokens.page, user_id, after="", limit=1000)]


def test_routes_that_change_something_are_all_attempted(world: World) -> None:
    someone = actor(world, "somebody", ["repository:pull"], place("namespace", world.mine))
    assert someone.client.post(f"{API}/account/tokens", json={"name": "a"}).status_code == 201
    attempted = {attempt.route for attempt in attempts(world, someone)}
    assert attempted == {(route.method, route.path) for route in CHANGING}


def smallest_rights() -> list[Callable[[World], Actor]]:
    """Each permission that opens a route that changes something, alone, where it can be had."""
    opening = sorted(permission.value for permission in {route.permission for route in CHANGING} & GRANTABLE)
    return [partial(actor, title=f"who has {one} alone", permissions=[one], where=place("registry")) for one in opening]


def narrow_rights() -> list[Callable[[World], Actor]]:
    """Rights in one place only, or under a condition, or that end; credentials that are limited."""
    return [
        lambda w: actor(w, "an owner of the namespace", "owner", place("namespace", w.mine)),
        lambda w: actor(w, "an owner of the repository", "owner", place("repository", f"{w.mine}/app")),
        lambda w: actor(w, "an owner of the pattern", "owner", place("pattern", f"{w.mine}/*")),
        lambda w: actor(w, "an owner under a condition", "owner", place("namespace", w.mine), condition=CONDITION),
        lambda w: actor(w, "an owner for an hour", "owner", place("namespace", w.mine), expires_at=in_an_hour()),
        lambda w: robot_actor(w, "a robot that owns the namespace", expires=False),
        lambda w: robot_actor(w, "a robot that owns the namespace, with a token that ends", expires=True),
        lambda w: limited_actor(w, "an owner with a limited token"),
        lambda w: actor(w, "who manages users, groups, roles and trust", MANAGING, place("registry")),
        lambda w: actor(w, "the same for an hour", MANAGING, place("registry"), expires_at=in_an_hour()),
    ]


@pytest.mark.parametrize("actors", [smallest_rights, narrow_rights])
def test_nobody_gains_by_any_route(small_world: World, actors: Callable[[], list[Callable[[World], Actor]]]) -> None:
    for make in actors():
        who = make(small_world)
        before = small_world.observer.look()
        for attempt in attempts(small_world, who):
            if may_open(who, attempt):
                before = judge(small_world, who, attempt, before)


def may_open(who: Actor, attempt: Attempt) -> bool:
    """Whether more is to be tried than whether the route's permission is asked for, which other tests do."""
    needed = next(route.permission for route in CHANGING if (route.method, route.path) == attempt.route)
    return needed.value in who.permissions or needed in UNGRANTED


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_nobody_gains_by_any_sequence_of_acts(world: World, seed: int) -> None:
    chance = random.Random(seed)
    everybody = [make(world) for make in chance.sample([*smallest_rights(), *narrow_rights()], 6)]
    before = world.observer.look()
    for _ in range(STEPS):
        who, kind = chance.choice(everybody), chance.choice(KINDS)
        possible = list(kind(world, who))
        if possible:
            before = judge(world, who, chance.choice(possible), before)
