"""Public and private over the API."""

from tests.functional.accounts import bearer
from tests.functional.people import API, People, items, new_namespace
from tests.functional.repository import new_app
from tests.functional.setups import SetUp


def visibility(people: People, path: str) -> tuple[str, str | None]:
    answer = people.admin.get(f"{API}/namespaces/{path}").json()
    return answer["visibility"], answer["source"]


def test_owner_makes_a_namespace_public_and_private_again(set_up: SetUp, people: People) -> None:
    namespace = new_namespace()
    owner = people.with_role("owner", "namespace", namespace)
    app = new_app(people.admin, namespace)
    app.push_image("v1")
    path = f"{API}/namespaces/{namespace}"
    with set_up.server.client(anonymous=True) as anybody:
        theirs = app.by(anybody)
        assert theirs.manifest("v1").status_code == 401
        assert owner.client.put(path, json={"visibility": "public"}).status_code == 201
        assert set_up.soon(lambda: theirs.manifest("v1").status_code == 200)
        assert owner.client.put(path, json={"visibility": "private"}).status_code == 200
        assert set_up.soon(lambda: theirs.manifest("v1").status_code == 401)
        assert owner.client.put(path, json={"visibility": "public"}).status_code == 200
        assert owner.client.delete(path).status_code == 204
        assert set_up.soon(lambda: theirs.manifest("v1").status_code == 401)
    assert owner.client.delete(path).status_code == 404
    recorded = items(people.admin, "/audit", action="namespace:visibility", resource=f"namespace:{namespace}")
    assert [entry["record"].get("detail") for entry in recorded if entry["record"]["outcome"] == "done"] == [
        {"visibility": "inherit"},
        {"visibility": "public"},
        {"visibility": "private"},
        {"visibility": "public"},
    ]


def test_visibility_that_holds_comes_from_the_nearest_setting(people: People) -> None:
    namespace = new_namespace()
    assert visibility(people, f"{namespace}/a/b") == ("private", None)
    people.admin.put(f"{API}/namespaces/{namespace}", json={"visibility": "public"})
    assert visibility(people, f"{namespace}/a/b") == ("public", namespace)
    people.admin.put(f"{API}/namespaces/{namespace}/a", json={"visibility": "private"})
    assert visibility(people, f"{namespace}/a/b") == ("private", f"{namespace}/a")


def test_command_and_api_see_the_same(set_up: SetUp, people: People) -> None:
    namespace = new_namespace()
    set_up.command("namespace", "public", namespace)
    assert visibility(people, namespace) == ("public", namespace)
    assert people.admin.delete(f"{API}/namespaces/{namespace}").status_code == 204
    assert namespace not in set_up.command("namespace", "list")


def test_list_shows_what_the_caller_may_read(set_up: SetUp, people: People) -> None:
    namespace, other = new_namespace(), new_namespace()
    for path in (namespace, f"{namespace}/a", f"{namespace}/b", other):
        assert people.admin.put(f"{API}/namespaces/{path}", json={"visibility": "private"}).status_code == 201
    reader = people.with_role("reader", "namespace", namespace)
    nobody = people.person()
    limited = people.limited(reader, ("namespace:read", "namespace", f"{namespace}/a"))

    mine = [entry["path"] for entry in items(reader.client, "/namespaces", limit=1)]
    assert mine == [namespace, f"{namespace}/a", f"{namespace}/b"]
    assert [entry["path"] for entry in items(limited, "/namespaces")] == [f"{namespace}/a"]
    assert items(nobody.client, "/namespaces") == []
    everything = [entry["path"] for entry in items(people.admin, "/namespaces", limit=1)]
    assert {*mine, other} <= set(everything)
    assert everything == sorted(everything)


def test_list_shows_nothing_to_a_bearer_token_for_a_repository(set_up: SetUp, people: People) -> None:
    namespace = new_namespace()
    path = f"{API}/namespaces/{namespace}"
    assert people.admin.put(path, json={"visibility": "private"}).status_code == 201
    owner = people.with_role("owner", "namespace", namespace)
    assert set_up.soon(lambda: bool(items(owner.client, "/namespaces")))
    for client in (owner.client, people.admin):
        scope = f"repository:{namespace}/app:pull,push"
        with bearer(set_up, client.get("/token", params={"scope": scope}).json()["token"]) as narrow:
            assert narrow.get(path).status_code == 401
            assert items(narrow, "/namespaces") == []


def test_the_whole_registry_is_the_administrators(set_up: SetUp, people: People) -> None:
    owner = people.with_role("owner", "namespace", new_namespace())
    root = f"{API}/namespaces/"
    assert owner.client.get(root).status_code == 403
    assert owner.client.put(root, json={"visibility": "public"}).status_code == 403
    assert people.admin.put(root, json={"visibility": "private"}).status_code == 201
    try:
        assert items(people.admin, "/namespaces", limit=1)[0] == {"path": "", "visibility": "private"}
        assert visibility(people, new_namespace()) == ("private", "")
    finally:
        assert people.admin.delete(root).status_code == 204


def test_others_do_not_change_it(people: People) -> None:
    namespace = new_namespace()
    for role in ("reader", "developer", "maintainer", "auditor"):
        person = people.with_role(role, "namespace", namespace)
        assert person.client.get(f"{API}/namespaces/{namespace}").status_code == 200
        assert person.client.put(f"{API}/namespaces/{namespace}", json={"visibility": "public"}).status_code == 403
        assert person.client.delete(f"{API}/namespaces/{namespace}").status_code == 403
    assert visibility(people, namespace) == ("private", None)


def test_owner_of_a_repository_does_not_publish_what_is_below_its_name(people: People) -> None:
    name = f"{new_namespace()}/app"
    for place in (("repository", name), ("pattern", f"{name.rpartition('/')[0]}/*")):
        owner = people.with_role("owner", *place)
        assert owner.client.put(f"{API}/namespaces/{name}", json={"visibility": "public"}).status_code == 403


def test_change_is_made_only_of_what_was_seen(people: People) -> None:
    path = f"{API}/namespaces/{new_namespace()}"
    seen = people.admin.get(path).headers["etag"]
    body = {"visibility": "public"}
    changed = people.admin.put(path, json=body, headers={"if-match": seen})
    assert changed.status_code == 201
    assert people.admin.put(path, json=body, headers={"if-match": seen}).status_code == 412
    assert people.admin.delete(path, headers={"if-match": seen}).status_code == 412
    assert people.admin.delete(path, headers={"if-match": changed.headers["etag"]}).status_code == 204
