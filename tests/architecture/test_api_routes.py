"""Who may what over the API: every route, asked by everybody there is, held against a table written by hand.

A route that is not in the table fails the test: whoever adds one says here whom it answers.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from entrepot.access.permissions import Permission
from entrepot.http.api.application import PREFIX, ROUTES, build
from tests.functional.people import API, PASSWORD, People
from tests.functional.repository import Repository
from tests.peers.entrepot import Entrepot

TEAM, OTHER = "team", "other"
ASKING = (
    "anonymous",
    "wrong password",
    "no roles",
    "reader",
    "developer",
    "maintainer",
    "owner",
    "auditor",
    "registry auditor",
    "administrator",
    "robot",
)
"""The columns. Roles hold in the namespace `team`, but for the registry auditor's; the robot owns the namespace, and
its token is limited to it."""

Prepare = Callable[[People], dict[str, str]]
"""Makes what one request is about; answers what the path wants to know."""


@dataclass(frozen=True)
class Row:
    """Statuses in the order of ASKING, and the request that succeeds if who asks may."""

    statuses: tuple[int, ...]
    about: str = "its namespace"
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    prepare: Prepare = lambda people: {}

    def __post_init__(self) -> None:
        assert len(self.statuses) == len(ASKING)


def _grant(people: People) -> dict[str, str]:
    place = f"{TEAM}/{secrets.token_hex(4)}"
    return {"grant_id": str(people.grant("reader", {"kind": "signed-in"}, "repository", place)["id"])}


def _registry_grant(people: People) -> dict[str, str]:
    pattern = f"*/{secrets.token_hex(4)}"
    return {"grant_id": str(people.grant("reader", {"kind": "signed-in"}, "pattern", pattern)["id"])}


def _role(people: People) -> dict[str, str]:
    name = f"role-{secrets.token_hex(4)}"
    assert people.admin.put(f"{API}/roles/{name}", json={"permissions": ["repository:pull"]}).status_code < 300
    return {"name": name}


def _new_name(people: People) -> dict[str, str]:
    return {"name": f"role-{secrets.token_hex(4)}"}


def _new_path(people: People) -> dict[str, str]:
    return {"path": f"{TEAM}/{secrets.token_hex(4)}"}


def _setting(people: People) -> dict[str, str]:
    path = f"{TEAM}/{secrets.token_hex(4)}"
    assert people.admin.put(f"{API}/namespaces/{path}", json={"visibility": "private"}).status_code == 201
    return {"path": path}


def _held(people: People) -> dict[str, str]:
    return {"name": f"{TEAM}/app", "path": TEAM}


def _elsewhere(people: People) -> dict[str, str]:
    return {"name": f"{OTHER}/app", "path": OTHER}


def _root(people: People) -> dict[str, str]:
    return {"path": ""}


def _new_grant(kind: str, path: str) -> dict[str, Any]:
    return {"role": "reader", "subject": {"kind": "signed-in"}, "place": {"kind": kind, "path": path}}


def _signed_in(status: int = 200) -> tuple[int, ...]:
    return (401, 401, *[status] * 9)


#            anonymous wrong none reader dev. maint. owner audit. audit. admin robot
ADMINISTRATOR = (401, 401, 403, 403, 403, 403, 403, 403, 403, 200, 403)
PULL = (401, 401, 403, 200, 200, 200, 200, 403, 403, 200, 200)
PULL_ELSEWHERE = (401, 401, 403, 403, 403, 403, 403, 403, 403, 200, 403)
GRANT_READ = (401, 401, 403, 403, 403, 200, 200, 200, 200, 200, 200)
REGISTRY_AUDITOR = (401, 401, 403, 403, 403, 403, 403, 403, 200, 200, 403)
OWNER_201 = (401, 401, 403, 403, 403, 403, 201, 403, 403, 201, 201)
OWNER_204 = (401, 401, 403, 403, 403, 403, 204, 403, 403, 204, 204)
AUDIT = (401, 401, 403, 403, 403, 403, 403, 200, 200, 200, 403)
FILTERS = {"below": TEAM}


def _only_administrator(status: int) -> tuple[int, ...]:
    return tuple(status if one == 200 else one for one in ADMINISTRATOR)


ROLES = {
    ("GET", "/roles"): [Row(_signed_in())],
    ("GET", "/roles/{name}"): [Row(_signed_in(), prepare=_role)],
    ("PUT", "/roles/{name}"): [
        Row(_only_administrator(201), body={"permissions": ["repository:pull"]}, prepare=_new_name)
    ],
    ("DELETE", "/roles/{name}"): [Row(_only_administrator(204), prepare=_role)],
}

MANAGE_ACCESS = {
    ("GET", "/grants"): [
        Row(GRANT_READ, query=FILTERS),
        Row(GRANT_READ, "one place", query={"kind": "repository", "path": f"{TEAM}/app"}),
        Row(REGISTRY_AUDITOR, "the registry"),
        Row(REGISTRY_AUDITOR, "another namespace", query={"below": OTHER}),
    ],
    ("POST", "/grants"): [
        Row(OWNER_201, body=lambda: _new_grant("repository", f"{TEAM}/{secrets.token_hex(4)}")),
        Row(_only_administrator(201), "a pattern", body=lambda: _new_grant("pattern", f"*/{secrets.token_hex(4)}")),
        Row(_only_administrator(201), "elsewhere", body=lambda: _new_grant("namespace", secrets.token_hex(4))),
    ],
    ("GET", "/grants/{grant_id}"): [
        Row((401, 401, 404, 404, 404, 200, 200, 200, 200, 200, 200), prepare=_grant),
        Row((401, 401, 404, 404, 404, 404, 404, 404, 200, 200, 404), "a pattern", prepare=_registry_grant),
    ],
    ("DELETE", "/grants/{grant_id}"): [
        Row((401, 401, 404, 404, 404, 403, 204, 403, 403, 204, 204), prepare=_grant),
        Row((401, 401, 404, 404, 404, 404, 404, 404, 403, 204, 404), "a pattern", prepare=_registry_grant),
    ],
    ("GET", "/namespaces"): [Row(_signed_in())],
    ("GET", "/namespaces/{path:path}"): [
        Row((401, 401, 403, 200, 200, 200, 200, 200, 200, 200, 200), prepare=_held),
        Row(REGISTRY_AUDITOR, "another namespace", prepare=_elsewhere),
        Row(REGISTRY_AUDITOR, "the registry", prepare=_root),
    ],
    ("PUT", "/namespaces/{path:path}"): [
        Row(OWNER_201, body={"visibility": "private"}, prepare=_new_path),
        Row(ADMINISTRATOR, "another namespace", body={"visibility": "private"}, prepare=_elsewhere),
    ],
    ("DELETE", "/namespaces/{path:path}"): [Row(OWNER_204, prepare=_setting)],
    ("GET", "/repositories"): [Row(_signed_in())],
    ("GET", "/repositories/{name:path}"): [
        Row(PULL, prepare=_held),
        Row(PULL_ELSEWHERE, "another namespace", prepare=_elsewhere),
    ],
    ("GET", "/repositories/{name:path}/tags"): [
        Row(PULL, prepare=_held),
        Row(PULL_ELSEWHERE, "another namespace", prepare=_elsewhere),
    ],
    ("GET", "/access/explain"): [
        Row(_signed_in(), "oneself", query={"action": "pull", "resource": f"{TEAM}/app"}),
        Row(
            REGISTRY_AUDITOR,
            "somebody else",
            query={"action": "pull", "resource": f"{TEAM}/app", "user": "anonymous"},
        ),
    ],
    ("GET", "/audit"): [
        Row(AUDIT, query=FILTERS),
        Row(AUDIT, "a repository", query={"resource": f"repository:{TEAM}/app"}),
        Row(REGISTRY_AUDITOR, "the registry"),
        Row(REGISTRY_AUDITOR, "another namespace", query={"below": OTHER}),
    ],
    ("GET", "/audit/export"): [
        Row(AUDIT, query=FILTERS),
        Row(REGISTRY_AUDITOR, "the registry", query={"format": "cef"}),
    ],
    ("GET", "/audit/public-key"): [Row(_signed_in())],
    ("GET", "/openapi.json"): [Row(_signed_in())],
    ("GET", "/audit/status"): [Row(REGISTRY_AUDITOR)],
}

NO_TOKEN = "000000000000"


def _own(status: int) -> tuple[int, ...]:
    """The own account: not with a token that is limited."""
    return (401, 401, *[status] * 8, 403)


def _user(people: People) -> dict[str, str]:
    return {"provider": "local", "name": people.person().name}


def _new_user(people: People) -> dict[str, str]:
    return {"name": f"new-{secrets.token_hex(4)}"}


def _group(people: People) -> dict[str, str]:
    member = people.person()
    name = people.group_of(member).partition(":")[2]
    return {"provider": "local", "name": name}


def _new_group(people: People) -> dict[str, str]:
    return {"provider": "local", "name": f"new-{secrets.token_hex(4)}"}


def _member(people: People) -> dict[str, str]:
    member = people.person()
    return {"group": people.group_of(member).partition(":")[2], "provider": "local", "name": member.name}


def _robot(people: People) -> dict[str, str]:
    name = f"{TEAM}/robot-{secrets.token_hex(4)}"
    people.robot(name)
    return {"name": name, "token_id": NO_TOKEN, "rule_id": "1"}


def _new_robot(people: People) -> dict[str, str]:
    return {"name": f"{TEAM}/new-{secrets.token_hex(4)}"}


def _no_token(people: People) -> dict[str, str]:
    return {"token_id": NO_TOKEN}


def _token_of_user(people: People) -> dict[str, str]:
    return {**_user(people), "token_id": NO_TOKEN}


_RULE = {"provider": "none", "audience": "a", "claims": {"sub": "a"}}
_OWN_PASSWORD = {"current": PASSWORD, "new": PASSWORD}
OWNER_404 = tuple(404 if status == 204 else status for status in OWNER_204)
OWNER_WITHOUT_LIMITS = (*OWNER_201[:-1], 403)

MANAGE_IDENTITY = {
    ("GET", "/account"): [Row(_signed_in())],
    # Who may is told that the new password is the old one; the administrator's is another one than is said here.
    ("PUT", "/account/password"): [Row((*_own(400)[:-2], 403, 403), "the same again", body=_OWN_PASSWORD)],
    ("GET", "/account/tokens"): [Row(_own(200))],
    ("POST", "/account/tokens"): [Row(_own(201), body={"name": "a token"})],
    ("DELETE", "/account/tokens/{token_id}"): [Row(_own(404), "no token", prepare=_no_token)],
    ("POST", "/account/tokens/{token_id}/rotate"): [Row(_own(404), "no token", body={}, prepare=_no_token)],
    ("GET", "/users"): [Row(REGISTRY_AUDITOR)],
    ("POST", "/users/import-htpasswd"): [Row(ADMINISTRATOR, body={"text": ""})],
    ("PUT", "/users/local/{name}"): [Row(_only_administrator(201), body={}, prepare=_new_user)],
    ("GET", "/users/{provider}/{name:path}/tokens"): [Row(REGISTRY_AUDITOR, prepare=_user)],
    ("DELETE", "/users/{provider}/{name:path}/tokens/{token_id}"): [
        Row(_only_administrator(404), "no token", prepare=_token_of_user)
    ],
    ("GET", "/users/{provider}/{name:path}"): [Row(REGISTRY_AUDITOR, prepare=_user)],
    ("PATCH", "/users/{provider}/{name:path}"): [Row(ADMINISTRATOR, body={"disabled": True}, prepare=_user)],
    ("DELETE", "/users/{provider}/{name:path}"): [Row(_only_administrator(204), prepare=_user)],
    ("GET", "/groups"): [Row(REGISTRY_AUDITOR)],
    ("PUT", "/groups/local/{group}/members/{provider}/{name:path}"): [Row(_only_administrator(204), prepare=_member)],
    ("DELETE", "/groups/local/{group}/members/{provider}/{name:path}"): [
        Row(_only_administrator(204), prepare=_member)
    ],
    ("GET", "/groups/{provider}/{name:path}/members"): [Row(REGISTRY_AUDITOR, prepare=_group)],
    ("GET", "/groups/{provider}/{name:path}"): [Row(REGISTRY_AUDITOR, prepare=_group)],
    ("PUT", "/groups/{provider}/{name:path}"): [Row(_only_administrator(201), body={}, prepare=_new_group)],
    ("DELETE", "/groups/{provider}/{name:path}"): [Row(_only_administrator(204), prepare=_group)],
    ("GET", "/robots"): [Row(GRANT_READ, query=FILTERS), Row(REGISTRY_AUDITOR, "the registry")],
    ("GET", "/robots/{name:path}/tokens"): [Row(GRANT_READ, prepare=_robot)],
    ("POST", "/robots/{name:path}/tokens"): [Row(OWNER_WITHOUT_LIMITS, body={"name": "a token"}, prepare=_robot)],
    ("POST", "/robots/{name:path}/tokens/{token_id}/rotate"): [
        Row((*OWNER_404[:-1], 403), "no token", body={}, prepare=_robot)
    ],
    ("DELETE", "/robots/{name:path}/tokens/{token_id}"): [Row(OWNER_404, "no token", prepare=_robot)],
    ("GET", "/robots/{name:path}/trust-rules"): [Row(GRANT_READ, prepare=_robot)],
    ("POST", "/robots/{name:path}/trust-rules"): [
        Row(_only_administrator(404), "no provider", body=_RULE, prepare=_robot)
    ],
    ("DELETE", "/robots/{name:path}/trust-rules/{rule_id}"): [Row(_only_administrator(404), "no rule", prepare=_robot)],
    ("GET", "/robots/{name:path}"): [Row(GRANT_READ, prepare=_robot)],
    ("PUT", "/robots/{name:path}"): [Row(OWNER_201, body={}, prepare=_new_robot)],
    ("DELETE", "/robots/{name:path}"): [Row(OWNER_204, prepare=_robot)],
    ("GET", "/providers"): [Row(REGISTRY_AUDITOR)],
}

EXPECTED: dict[tuple[str, str], list[Row]] = {**ROLES, **MANAGE_ACCESS, **MANAGE_IDENTITY}
"""One dictionary for each part of the API."""

FOR_EVERYBODY: set[str] = set()
CASES = [(method, path, row) for (method, path), rows in EXPECTED.items() for row in rows]


def test_routes_of_the_api_are_in_the_table() -> None:
    assert sorted((route.method, route.path) for route in ROUTES) == sorted(EXPECTED)


def test_application_has_no_other_routes() -> None:
    documented = {
        (method.upper(), path) for path, operations in build().openapi()["paths"].items() for method in operations
    }
    assert documented == {(route.method, PREFIX + route.path.replace(":path}", "}")) for route in ROUTES}


def test_routes_for_everybody_are_those_named_here() -> None:
    assert {route.path for route in ROUTES if route.permission is Permission.PUBLIC} == FOR_EVERYBODY


@pytest.mark.parametrize(("method", "path", "row"), CASES, ids=[f"{m} {p} of {row.about}" for m, p, row in CASES])
def test_route_of_the_api_asked_by_everybody_answers_as_the_table_says(
    people: People, clients: dict[str, httpx.Client], method: str, path: str, row: Row
) -> None:
    answered = {}
    for asking in ASKING:
        filled = path.replace(":path}", "}").format(**row.prepare(people))
        body = row.body() if callable(row.body) else row.body
        answer = clients[asking].request(method, f"{API}{filled}", params=row.query, json=body)
        answered[asking] = answer.status_code
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"]

    assert answered == dict(zip(ASKING, row.statuses, strict=True))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    wrong_passwords = {"ENTREPOT_LOGIN_FAILURES_FREE": "100000"}
    with Entrepot(tmp_path_factory.mktemp("api-routes"), workers=1, environment=wrong_passwords) as server:
        made = People(server, None)
        for name in (f"{TEAM}/app", f"{OTHER}/app"):
            Repository(made.admin, name).push_image("v1")
        # So that changing it is no news.
        assert made.admin.put(f"{API}/namespaces/{OTHER}", json={"visibility": "private"}).status_code == 201
        yield made
        made.close()
    server.remove_data()


@pytest.fixture(scope="module")
def clients(people: People) -> dict[str, httpx.Client]:
    """Who asks, by the name of the column."""
    found = {role: people.with_role(role, "namespace", TEAM).client for role in ASKING[3:8]}
    found["anonymous"], found["wrong password"] = people.with_password(None), people.with_password("wrong")
    found["no roles"] = people.person().client
    found["registry auditor"] = people.with_role("auditor", "registry").client
    found["administrator"] = people.admin
    found["robot"] = people.robot(f"{TEAM}/ci", ("*", "namespace", TEAM))
    people.grant("owner", {"user": f"robot:{TEAM}/ci"}, "namespace", TEAM)
    return found
