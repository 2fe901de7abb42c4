"""Attacks on who may what: reaching for more, looking into what is others', and texts made to break something."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.functional.people import API, People, Person, items
from tests.functional.repository import Manifest, Repository
from tests.peers.entrepot import Entrepot

MINE, THEIRS = "mine", "theirs"


@dataclass(frozen=True)
class Tenants:
    """Two teams on one registry: `owner` and `auditor` have their roles in `mine`, nobody here has one in `theirs`."""

    people: People
    server: Entrepot
    owner: Person
    auditor: Person
    image: Manifest
    """In `theirs/secret`."""
    grant_id: int
    """Of a grant in `theirs`."""


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    with Entrepot(tmp_path_factory.mktemp("access"), workers=1) as server:
        people = People(server, None)
        Repository(people.admin, f"{MINE}/app").push_image("v1")
        image = Repository(people.admin, f"{THEIRS}/secret").push_image("planted")
        people.admin.put(f"{API}/namespaces/{THEIRS}", json={"visibility": "private"})
        them = people.person("them")
        grant = people.grant("owner", {"user": them.key}, "namespace", THEIRS)
        owner, auditor = people.with_role("owner", "namespace", MINE), people.with_role("auditor", "namespace", MINE)
        yield Tenants(people, server, owner, auditor, image, grant["id"])
        people.close()
    server.remove_data()


@pytest.fixture(autouse=True)
def no_defect_here(tenants: Tenants) -> Iterator[None]:
    yield
    log = tenants.server.log_path.read_text()
    assert "unexpected error" not in log
    assert "Traceback" not in log


ESCALATIONS = [
    ("administrator", "namespace", MINE),
    ("administrator", "registry", ""),
    ("auditor", "namespace", MINE),
    ("owner", "registry", ""),
    ("owner", "namespace", THEIRS),
    ("owner", "namespace", f"{MINE}s"),
    ("owner", "namespace", MINE[:-1]),
    ("owner", "repository", f"{THEIRS}/secret"),
    ("owner", "pattern", "**"),
    ("owner", "pattern", "*/**"),
    ("owner", "pattern", f"{MINE}**"),
    ("owner", "pattern", f"{MINE}*/**"),
    ("owner", "pattern", f"*{MINE}/**"),
    ("owner", "pattern", f"{MINE}/../**"),
    ("owner", "pattern", f"{MINE}//**/../{THEIRS}/**"),
    ("owner", "pattern", f"{THEIRS}/**"),
    ("owner", "pattern", f"{MINE}/./**"),
]


@pytest.mark.parametrize(("role", "kind", "path"), ESCALATIONS)
def test_owner_of_a_namespace_grants_themselves_nothing_more(tenants: Tenants, role: str, kind: str, path: str) -> None:
    owner = tenants.owner
    before = tenants.people.admin.get(f"{API}/grants", params={"user": owner.key}).json()

    answer = tenants.people.ask_to_grant(owner.client, role, {"user": owner.key}, kind, path)

    assert answer.status_code in {400, 403}, answer.text
    assert tenants.people.admin.get(f"{API}/grants", params={"user": owner.key}).json() == before
    assert owner.client.get(f"/v2/{THEIRS}/secret/manifests/planted").status_code == 403


def test_role_that_an_owner_has_cannot_be_made_to_mean_more(tenants: Tenants) -> None:
    owner, admin = tenants.owner.client, tenants.people.admin
    body = {"permissions": ["repository:pull", "user:write", "role:write", "audit:read"]}
    for name in ("everything", "owner"):
        assert owner.put(f"{API}/roles/{name}", json=body).status_code == 403
    # Not even the administrator gives built-in roles another meaning.
    assert admin.put(f"{API}/roles/owner", json=body).status_code == 400
    assert admin.delete(f"{API}/roles/owner").status_code == 400
    # Somebody else made a role with more than an owner has: an owner cannot grant it.
    assert admin.put(f"{API}/roles/strong", json=body).status_code == 201
    answer = tenants.people.ask_to_grant(owner, "strong", {"user": tenants.owner.key}, "namespace", MINE)
    assert answer.status_code == 403
    assert answer.json()["context"]["lacking"] == ["audit:read", "role:write", "user:write"]


def test_grants_above_and_beside_are_not_revoked(tenants: Tenants) -> None:
    above = tenants.people.grant("reader", {"kind": "signed-in"}, "pattern", f"{MINE}*/{secrets.token_hex(4)}")
    for grant_id in (above["id"], tenants.grant_id):
        assert tenants.owner.client.delete(f"{API}/grants/{grant_id}").status_code == 404
        assert tenants.people.admin.get(f"{API}/grants/{grant_id}").status_code == 200
    assert tenants.people.admin.delete(f"{API}/grants/{above['id']}").status_code == 204


def test_owner_publishes_nothing_but_their_own(tenants: Tenants) -> None:
    for path in ("", THEIRS, f"{THEIRS}/secret", f"{MINE}s", "min", f"{MINE}/../{THEIRS}", f"{MINE}%2F..%2F{THEIRS}"):
        for ask in (
            lambda p: tenants.owner.client.put(f"{API}/namespaces/{p}", json={"visibility": "public"}),
            lambda p: tenants.owner.client.delete(f"{API}/namespaces/{p}"),
        ):
            assert ask(path).status_code in {400, 403}, path
    with tenants.server.client(anonymous=True) as anybody:
        assert anybody.get(f"/v2/{THEIRS}/secret/manifests/planted").status_code == 401


READS = [
    ("/repositories", {}),
    ("/repositories", {"below": THEIRS}),
    ("/repositories", {"search": "secret"}),
    ("/repositories", {"search": "%"}),
    ("/repositories", {"below": "%"}),
    ("/repositories", {"after": THEIRS}),
    ("/repositories", {"below": "' OR 1=1 --"}),
    ("/namespaces", {}),
    ("/namespaces", {"after": "' OR '1'='1"}),
    ("/grants", {"below": MINE}),
    ("/grants", {"below": MINE, "user": "local:admin"}),
    ("/grants", {"kind": "repository", "path": f"{MINE}/app", "after": "0"}),
]


@pytest.mark.parametrize(("path", "query"), READS)
def test_no_list_and_no_filter_shows_another_team(tenants: Tenants, path: str, query: dict[str, str]) -> None:
    for who in (tenants.owner, tenants.auditor):
        answer = who.client.get(f"{API}{path}", params=query)
        assert answer.status_code == 200, answer.text
        assert THEIRS not in answer.text
        assert "them-" not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"below": THEIRS},
        {"kind": "namespace", "path": THEIRS},
        {"kind": "registry"},
        {"kind": "pattern", "path": "**"},
        {"user": "local:admin"},
        {"kind": "repository", "path": f"{MINE}/app", "below": THEIRS},
        {"kind": "namespace", "path": THEIRS, "below": MINE},
    ],
)
def test_grants_of_another_team_are_not_asked_for(tenants: Tenants, query: dict[str, str]) -> None:
    for who in (tenants.owner, tenants.auditor):
        assert who.client.get(f"{API}/grants", params=query).status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        {"resource": f"repository:{THEIRS}/secret"},
        {"resource": f"repository:{MINE}/app/../../{THEIRS}/secret"},
        {"resource": f"user:local:{MINE}"},
        {"actor": "local:admin"},
        {"below": THEIRS},
        {"below": f"{MINE}/../{THEIRS}"},
        {"below": "/"},
        {"below": " "},
        {"digest": "sha256:" + "0" * 64},
        {"resource": "repository:"},
        {"resource": f"robot:{MINE}/app"},
    ],
)
def test_audit_log_of_another_team_is_not_read(tenants: Tenants, query: dict[str, str]) -> None:
    for path in ("/audit", "/audit/export"):
        answer = tenants.auditor.client.get(f"{API}{path}", params=query)
        assert answer.status_code in {400, 403}, answer.text


def test_audit_log_below_the_own_namespace_never_shows_another_one(tenants: Tenants) -> None:
    planted = tenants.image.digest
    for query in (
        {"below": MINE},
        {"below": MINE, "digest": planted},
        {"below": MINE, "resource": f"repository:{THEIRS}/secret"},
        {"below": MINE, "actor": "local:admin' OR '1'='1"},
        {"below": MINE, "after": "99999999999999999"},
        {"below": MINE, "from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"},
    ):
        for path in ("/audit", "/audit/export"):
            answer = tenants.auditor.client.get(f"{API}{path}", params=query)
            assert answer.status_code == 200, answer.text
            header, _, rest = answer.text.partition("\n") if path.endswith("export") else ("", "", answer.text)
            assert THEIRS not in rest
            assert planted not in rest
            assert '"actor":"local:them' not in header + rest


def test_digest_of_another_team_opens_nothing(tenants: Tenants) -> None:
    digest, owner = tenants.image.digest, tenants.owner.client
    for path in (
        f"/v2/{THEIRS}/secret/manifests/{digest}",
        f"/v2/{THEIRS}/secret/tags/list",
        f"{API}/repositories/{THEIRS}/secret",
        f"{API}/repositories/{THEIRS}/secret/tags",
        f"{API}/repositories/{MINE}/../{THEIRS}/secret/tags",
    ):
        assert owner.get(path).status_code in {400, 403, 404}
        assert digest not in owner.get(path).text
    assert owner.get(f"/v2/{MINE}/app/manifests/{digest}").status_code == 404


def test_explanation_tells_nothing_of_another_team(tenants: Tenants) -> None:
    def asked(name: str) -> str:
        query = {"action": "pull", "resource": name}
        return tenants.owner.client.get(f"{API}/access/explain", params=query).text.replace(name, "NAME")

    assert asked(f"{THEIRS}/secret") == asked("nobody/nothing")
    for query in ({"user": "local:admin"}, {"user": "local:nobody"}, {"user": "anonymous"}):
        answer = tenants.owner.client.get(f"{API}/access/explain", params={"action": "pull", **query})
        assert answer.status_code == 403
    assert (
        tenants.owner.client.get(f"{API}/access/explain", params={"action": "pull", "token": "x" * 12}).status_code
        == 404
    )


@pytest.mark.parametrize("tag", ['"x"', "*,", '"" , ""', 'W/"x"', '"' + "a" * 3000 + '"', ",", '"a"b"'])
def test_tag_that_is_not_the_resources_changes_nothing(tenants: Tenants, tag: str) -> None:
    path = f"{API}/namespaces/{MINE}/matched"
    assert tenants.owner.client.put(path, json={"visibility": "private"}).status_code in {200, 201}
    for method in ("PUT", "DELETE"):
        body = {"visibility": "public"} if method == "PUT" else None
        answer = tenants.owner.client.request(method, path, json=body, headers={"if-match": tag})
        assert answer.status_code == 412
    assert tenants.owner.client.get(path).json()["visibility"] == "private"


def test_tag_is_no_way_around_permission(tenants: Tenants) -> None:
    path = f"{API}/namespaces/{THEIRS}"
    tag = tenants.people.admin.get(path).headers["etag"]
    for given in (tag, "*"):
        answer = tenants.owner.client.put(path, json={"visibility": "public"}, headers={"if-match": given})
        assert answer.status_code == 403


def test_any_tag_is_one_of_something_that_is_there(tenants: Tenants) -> None:
    name = f"role-{secrets.token_hex(4)}"
    body = {"permissions": ["repository:pull"]}
    answer = tenants.people.admin.put(f"{API}/roles/{name}", json=body, headers={"if-match": "*"})
    assert answer.status_code == 412
    assert tenants.people.admin.get(f"{API}/roles/{name}").status_code == 404


LIST_OF_TEN = "[0,1,2,3,4,5,6,7,8,9]"
CONDITIONS = {
    "huge": "true && " * 200_000 + "true",
    "as long as may be, and more": "true" + " " * 997,
    "nested": "(" * 400 + "true" + ")" * 400,
    "nested lists": "[" * 400 + "]" * 400 + " == []",
    "loops in loops": f"{LIST_OF_TEN}.all(a," * 12 + "true" + ")" * 12,
    "loops after one another": " && ".join([f"{LIST_OF_TEN}.map(a, a).all(b, true)"] * 9),
    "loops with space": f"{LIST_OF_TEN} . all ( a , {LIST_OF_TEN} . exists ( b , true ) )",
    "loops with comments": f"{LIST_OF_TEN}.all // b\n(a, {LIST_OF_TEN}.all // c\n(b, true))",
    "huge expression": r"request.user_agent.matches('((a{900}){900}){900}')",
    "classes": r"request.user_agent.matches('" + r"\\w" * 300 + "')",
    "expression behind a condition": r"user.name == 'x' && request.user_agent.matches('(.{900}){900}')",
    "expression put together": "request.user_agent.matches('(a{90' + '0}){900}')",
    "expression that is no literal": "request.user_agent.matches(request.user_agent)",
    "expression in a raw text": r"request.user_agent.matches(r'\w{900}')",
    "many expressions": " && ".join(["request.user_agent.matches('.*')"] * 30),
    "no boolean": "'true'",
    "unknown": "__import__('os').system('true') == 0",
    "of another type": "request.address",
    "division": "1 / 0 == 1",
    "overflow": "9223372036854775807 + 1 > 0",
    "no text": "\ud800",
    "nothing": "",
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_condition_made_to_break_something_is_refused(tenants: Tenants, name: str) -> None:
    body = {"role": "reader", "subject": {"user": tenants.owner.key}, "place": {"kind": "namespace", "path": MINE}}
    content = json.dumps({**body, "condition": CONDITIONS[name]})

    answer = tenants.owner.client.post(f"{API}/grants", content=content, headers={"content-type": "application/json"})

    assert answer.status_code in {400, 413, 422}, answer.text
    assert tenants.owner.client.get(f"{API}/roles").status_code == 200


@pytest.mark.parametrize(
    "condition",
    [
        "1 / (size(request.user_agent) - 3) > 0 || true",
        "int(request.user_agent.size() > 3 ? '1' : 'x') == 1",
        "request.user_agent[0] == 'x' || true",
    ],
)
def test_condition_that_fails_only_later_is_false_then(tenants: Tenants, condition: str) -> None:
    person = tenants.people.person()
    answer = tenants.people.ask_to_grant(
        tenants.people.admin, "reader", {"user": person.key}, "namespace", THEIRS, condition=condition
    )
    assert answer.status_code in {201, 400}
    for program in ("", "abc", "x" * 5000, "\u00e4".encode().decode("latin-1")):
        found = person.client.get(
            f"/v2/{THEIRS}/secret/manifests/planted", headers={"user-agent": program.encode("latin-1")}
        )
        assert found.status_code in {200, 403}


TEXTS = [
    "' OR 1=1 --",
    '"; DROP TABLE grants; --',
    "%",
    "_",
    "\\",
    "*",
    "a\nb",
    "\u2028",
    "\U0001f600",
    "x" * 300,
    "../..",
    "$1",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_a_query_are_only_texts(tenants: Tenants, text: str) -> None:
    admin = tenants.people.admin
    before = len(items(admin, "/grants"))
    for path, name in (
        ("/grants", "below"),
        ("/grants", "user"),
        ("/grants", "group"),
        ("/repositories", "search"),
        ("/repositories", "below"),
        ("/audit", "actor"),
        ("/audit", "resource"),
        ("/audit", "digest"),
        ("/audit", "from"),
        ("/access/explain", "action"),
        ("/access/explain", "user"),
    ):
        for value in (text, f"local:{text}"):
            answer = admin.get(f"{API}{path}", params={name: value})
            assert answer.status_code in {200, 400, 404, 422}, answer.text
            if answer.status_code == 200:
                assert answer.json()["items"] == [] or name == "search"
    for kind in ("user", "group"):
        answer = tenants.people.ask_to_grant(admin, "reader", {kind: f"local:{text}"}, "namespace", MINE)
        assert answer.status_code in {400, 404, 422}, answer.text
    assert len(items(admin, "/grants")) == before


@pytest.mark.parametrize(
    "path", ["/grants", "/namespaces", "/repositories", f"/repositories/{MINE}/app/tags", "/audit"]
)
@pytest.mark.parametrize(
    "cursor",
    ["-1", "0", "1e9", "9" * 18, "9" * 19, "9" * 400, "' OR 1=1", "\u0661", "\u00b2", "%00", "\x00", "\U0001f600", " "],
)
def test_cursor_tampered_with_shows_a_page_or_is_refused(tenants: Tenants, path: str, cursor: str) -> None:
    answer = tenants.people.admin.get(f"{API}{path}", params={"after": cursor, "limit": 1})
    assert answer.status_code in {200, 400}, answer.text
    for who in (tenants.owner, tenants.auditor):
        assert THEIRS not in who.client.get(f"{API}{path}", params={"after": cursor}).text


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "1e3", "9" * 30, "x", ""])
def test_size_of_a_page_is_bounded(tenants: Tenants, limit: str) -> None:
    for path in ("/grants", "/namespaces", "/repositories", "/audit"):
        assert tenants.people.admin.get(f"{API}{path}", params={"limit": limit}).status_code == 422


@pytest.mark.parametrize(
    "name", ["a/" * 2000 + "a", "A", "..", "a//b", "a%00b", "a\x00b", "a" * 256, "%FF", "a/../../b", "a b"]
)
def test_path_that_is_no_name_is_refused_by_all_that_take_one(tenants: Tenants, name: str) -> None:
    with tenants.server.client(anonymous=True) as anybody:
        for client in (anybody, tenants.owner.client, tenants.people.admin):
            for path in (f"/repositories/{name}", f"/repositories/{name}/tags", f"/namespaces/{name}"):
                answer = raw_get(client, f"{API}{path}")
                assert answer.status_code in {400, 401, 403, 404, 414, 422}, (path, answer.text)


@pytest.mark.parametrize(
    "grant_id", ["0", "-1", "9223372036854775807", "9223372036854775808", "9" * 50, "x", "1e1", "1.5", "0x1"]
)
def test_number_that_is_no_grants_is_refused(tenants: Tenants, grant_id: str) -> None:
    for method in ("GET", "DELETE"):
        answer = tenants.people.admin.request(method, f"{API}/grants/{grant_id}")
        assert answer.status_code in {404, 422}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b'{"role":"reader"}',
        b'{"role":"reader","subject":{"user":"local:admin","kind":"everyone"},"place":{"kind":"registry"}}',
        b'{"role":"reader","subject":{"kind":"nobody"},"place":{"kind":"registry"}}',
        b'{"role":"reader","subject":{"user":"local:a\\u0000b"},"place":{"kind":"registry"}}',
        b'{"role":"rea\\u0000der","subject":{"kind":"everyone"},"place":{"kind":"registry"}}',
        b'{"role":"reader","subject":{"kind":"everyone"},"place":{"kind":"pattern","path":"a\\u0000"}}',
        b'{"role":"reader","subject":{"kind":"everyone"},"place":{"kind":"registry"},"administrator":true}',
        b'{"role":"reader","subject":{"kind":"everyone"},"place":{"kind":"registry"},"expires_at":"soon"}',
        b'{"role":"reader","subject":{"kind":"everyone"},"place":{"kind":"registry"},"expires_at":"2000-01-01T00:00:00"}',
        b'{"role":"reader","subject":{"kind":"everyone"},"place":{"kind":"registry"},"expires_at":1e300}',
        b"[" * 100_000,
        b'{"role":"\xff"}',
    ],
)
def test_body_that_is_no_grant_is_refused(tenants: Tenants, content: bytes) -> None:
    answer = tenants.people.admin.post(f"{API}/grants", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["[", "[::1", "]", "[x]", "[v1.]:1", "a]b"])
def test_host_that_is_none_breaks_no_token(tenants: Tenants, host: str) -> None:
    """It comes back in the configuration for docker."""
    made = tenants.owner.client.post(f"{API}/account/tokens", json={"name": "t"}, headers={"host": host})
    assert made.status_code == 201, made.text
    assert list(made.json()["docker_config"]["auths"]) == [host]


def raw_get(client: httpx.Client, path: str) -> httpx.Response:
    """A path as it is, which the client would else make tidy."""
    quoted = path.replace("\x00", "%00").replace(" ", "%20").encode()
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=quoted)
    return client.send(request)
