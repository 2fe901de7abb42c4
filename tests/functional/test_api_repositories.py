"""Repositories and tags over the API: exactly what the caller may pull."""

import pytest

from tests.functional.people import API, People, items, new_namespace
from tests.functional.repository import SMALL_BYTES, Repository
from tests.functional.setups import SetUp


@pytest.fixture
def names(people: People) -> list[str]:
    """Repositories of a namespace, one of which is called as if it were a list."""
    namespace = new_namespace()
    names = [f"{namespace}/{name}" for name in ("api", "deep/er", "tags", "web")]
    for name in names:
        Repository(people.admin, name).push_image("v1")
    return names


def listed(client: object, **query: str | int) -> list[str]:
    return [entry["name"] for entry in items(client, "/repositories", **query)]  # type: ignore[arg-type]


def test_list_has_what_the_caller_may_pull(people: People, names: list[str]) -> None:
    namespace = names[0].partition("/")[0]
    reader = people.with_role("reader", "namespace", namespace)
    one = people.with_role("reader", "repository", names[1])
    some = people.with_role("reader", "pattern", f"{namespace}/*")
    auditor, nobody = people.with_role("auditor", "namespace", namespace), people.person()
    limited = people.limited(reader, ("repository:pull", "repository", names[3]), ("repository:push", "registry", ""))

    assert listed(reader.client, limit=1) == names
    assert listed(one.client) == [names[1]]
    assert listed(some.client) == [names[0], names[2], names[3]]
    assert listed(auditor.client) == listed(nobody.client) == []
    assert listed(limited) == [names[3]]
    assert listed(people.admin, below=namespace) == names


def test_what_is_public_is_listed_for_all_who_are_signed_in(set_up: SetUp, people: People, names: list[str]) -> None:
    namespace, nobody = names[0].partition("/")[0], people.person()
    people.admin.put(f"{API}/namespaces/{namespace}/deep", json={"visibility": "public"})

    assert set_up.soon(lambda: listed(nobody.client, below=namespace) == [names[1]])
    assert items(nobody.client, "/repositories", below=namespace)[0]["visibility"] == "public"
    with set_up.server.client(anonymous=True) as anybody:
        assert anybody.get(f"{API}/repositories").status_code == 401
        assert anybody.get(f"{API}/repositories/{names[1]}").status_code == 200
        assert anybody.get(f"{API}/repositories/{names[1]}/tags").status_code == 200
        assert anybody.get(f"{API}/repositories/{names[0]}").status_code == 401


def test_search_and_below_narrow_the_list(people: People, names: list[str]) -> None:
    namespace = names[0].partition("/")[0]
    assert listed(people.admin, below=namespace, search="deep") == [names[1]]
    assert listed(people.admin, below=f"{namespace}/deep") == [names[1]]
    assert listed(people.admin, below=names[0]) == [names[0]]
    assert listed(people.admin, below=namespace, search="%") == []
    assert listed(people.admin, below=namespace, search="_") == []


def test_repository_says_how_much_is_in_it(people: People, names: list[str]) -> None:
    repository = Repository(people.admin, names[0])
    repository.push_image("v2")
    answer = people.admin.get(f"{API}/repositories/{names[0]}")

    assert answer.status_code == 200
    found = answer.json()
    assert (found["name"], found["visibility"]) == (names[0], "private")
    assert (found["tags"], found["manifests"], found["bytes"]) == (2, 2, 4 * SMALL_BYTES)
    assert answer.headers["etag"]


def test_tags_say_what_they_name(people: People, names: list[str]) -> None:
    repository = Repository(people.admin, names[0])
    second = repository.push_image("v2")
    repository.push_manifest(second, "latest")
    tags = items(people.admin, f"/repositories/{names[0]}/tags", limit=2)

    assert [tag["name"] for tag in tags] == ["latest", "v1", "v2"]
    assert tags[0]["digest"] == tags[2]["digest"] == second.digest != tags[1]["digest"]
    assert tags[0]["size"] == len(second.payload)
    assert tags[0]["media_type"] == second.media_type
    assert (tags[0]["pushed_by"], tags[0]["updated_by"]) == ("local:admin", "local:admin")


def test_tags_of_a_repository_that_is_called_tags(people: People, names: list[str]) -> None:
    assert [tag["name"] for tag in items(people.admin, f"/repositories/{names[2]}/tags")] == ["v1"]


def test_private_repository_and_none_look_alike(people: People, names: list[str]) -> None:
    owner = people.with_role("owner", "namespace", new_namespace())
    nothing = f"{new_namespace()}/api"
    for suffix in ("", "/tags"):
        private = owner.client.get(f"{API}/repositories/{names[0]}{suffix}")
        unknown = owner.client.get(f"{API}/repositories/{nothing}{suffix}")
        assert (private.status_code, unknown.status_code) == (403, 403)
        assert private.text.replace(names[0], "N") == unknown.text.replace(nothing, "N")
    assert people.admin.get(f"{API}/repositories/{nothing}").status_code == 404
