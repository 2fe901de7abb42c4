"""Why somebody may, or may not: in words that say what to do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from entrepot.access.tables import grants
from entrepot.identity import users
from tests.functional.people import API, People, new_namespace
from tests.functional.setups import SetUp


def explained(client: httpx.Client, action: str, resource: str, **query: str) -> dict[str, Any]:
    answer = client.get(f"{API}/access/explain", params={"action": action, "resource": resource, **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def own(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The grants that are nobody else's: other stories grant things to all who are signed in."""
    return [grant for grant in found["grants"] if grant["through"] in {"user", "group"}]


def told(found: dict[str, Any]) -> str:
    return " ".join([*found["because"], *found["advice"]])


def test_grant_that_allows_it_is_named(people: People) -> None:
    namespace = new_namespace()
    person = people.person()
    group = people.group_of(person)
    grant = people.grant("developer", {"group": group}, "namespace", namespace)
    found = explained(person.client, "push", f"repository:{namespace}/app")

    assert found["allowed"] is True
    assert found["advice"] == []
    assert f"Grant {grant['id']} of the role developer in namespace {namespace}, through the group {group}" in told(
        found
    )
    assert [(g["id"], g["applies"], g["missing"]) for g in own(found)] == [(grant["id"], True, None)]


def test_missing_role_is_named(people: People) -> None:
    namespace = new_namespace()
    person = people.with_role("reader", "namespace", namespace)
    found = explained(person.client, "repository:push", f"{namespace}/app")

    assert found["allowed"] is False
    assert own(found)[0]["missing"] == "the role reader does not have repository:push"
    assert "for the role developer, maintainer, owner or administrator" in told(found)


def test_grant_elsewhere_says_where_it_holds(people: People) -> None:
    namespace = new_namespace()
    person = people.with_role("owner", "namespace", namespace)
    found = explained(person.client, "pull", f"{namespace}2/app")

    assert found["allowed"] is False
    assert own(found)[0]["missing"] == f"it applies only to namespace {namespace}"


def test_condition_that_failed_is_shown_with_its_text(people: People) -> None:
    namespace = new_namespace()
    condition = "in_network(request.address, '192.0.2.0/24')"
    person = people.with_role("developer", "namespace", namespace, condition=condition)
    found = explained(person.client, "push", f"{namespace}/app")

    assert found["allowed"] is False
    assert f"this request does not meet its condition: {condition}" in told(found)
    assert explained(person.client, "push", f"{namespace}/app", address="192.0.2.7")["allowed"] is True


def test_expired_grant_is_said_to_be(people: People) -> None:
    namespace = new_namespace()
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    person = people.person()
    grant = people.grant("developer", {"user": person.key}, "namespace", namespace, expires_at=soon)
    people.in_database(
        lambda c: c.execute(grants.update().where(grants.c.id == grant["id"]).values(expires_at_ms=1_700_000_000_000))
    )
    found = explained(person.client, "push", f"{namespace}/app")

    assert found["allowed"] is False
    assert "expired at 2023-11-14T22:13:20+00:00" in told(found)
    assert "to renew the grant" in told(found)


def test_limits_of_the_token_are_said_to_be_it(people: People) -> None:
    namespace = new_namespace()
    person = people.with_role("developer", "namespace", namespace)
    token = people.limited(person, ("repository:pull", "namespace", namespace))

    assert explained(token, "pull", f"{namespace}/app")["allowed"] is True
    found = explained(token, "push", f"{namespace}/app")
    assert found["allowed"] is False
    assert f"is limited to repository:pull in namespace {namespace}" in told(found)
    assert found["advice"] == ["Use another token, or create one whose limits include this."]
    assert found["limits"] == [f"repository:pull in namespace {namespace}"]
    assert explained(person.client, "push", f"{namespace}/app")["allowed"] is True


def test_what_is_public_is_allowed_to_all(set_up: SetUp, people: People) -> None:
    namespace, person = new_namespace(), people.person()
    people.admin.put(f"{API}/namespaces/{namespace}", json={"visibility": "public"})
    for client, user in ((person.client, ""), (people.admin, "anonymous")):
        found = explained(client, "pull", f"{namespace}/app", user=user)
        assert found["allowed"] is True
        assert f"is public (by the setting of {namespace})" in told(found)
        assert explained(client, "push", f"{namespace}/app", user=user)["allowed"] is False


def test_administrator_and_disabled_user_are_said_to_be(set_up: SetUp, people: People) -> None:
    namespace = new_namespace()
    person = people.with_role("owner", "namespace", namespace)
    assert "is an administrator" in told(explained(people.admin, "user:write", "registry"))

    people.in_database(lambda c: users.change(c, users.require(c, "local", person.name), disabled=True))
    assert set_up.soon(lambda: not explained(people.admin, "pull", f"{namespace}/app", user=person.key)["allowed"])
    assert "is disabled in this registry" in told(explained(people.admin, "pull", f"{namespace}/app", user=person.key))


def test_auditor_asks_about_others_and_others_do_not(people: People) -> None:
    namespace = new_namespace()
    developer = people.with_role("developer", "namespace", namespace)
    auditor = people.with_role("auditor", "registry")
    found = explained(auditor.client, "push", f"repository:{namespace}/app", user=developer.key)
    assert (found["allowed"], found["user"]) == (True, developer.key)

    owner = people.with_role("owner", "namespace", namespace)
    query = {"action": "pull", "resource": f"{namespace}/app"}
    there = owner.client.get(f"{API}/access/explain", params={**query, "user": developer.key})
    not_there = owner.client.get(f"{API}/access/explain", params={**query, "user": "local:nobody"})
    assert there.status_code == not_there.status_code == 403
    assert there.text == not_there.text
    assert auditor.client.get(f"{API}/access/explain", params={**query, "user": "local:nobody"}).status_code == 404


def test_repository_that_exists_is_not_told_from_one_that_does_not(people: People) -> None:
    from tests.functional.repository import new_app

    namespace = new_namespace()
    app = new_app(people.admin, namespace)
    app.push_image("v1")
    people.admin.put(f"{API}/namespaces/{namespace}", json={"visibility": "private"})
    person, nothing = people.person(), f"{new_namespace()}/app"

    def asked(name: str) -> str:
        params = {"action": "pull", "resource": name}
        return person.client.get(f"{API}/access/explain", params=params).text.replace(name, "N")

    assert asked(app.name) == asked(nothing)


def test_explanation_and_answer_agree(people: People) -> None:
    """What is explained to be allowed is, and the rest is not."""
    namespace = new_namespace()
    permissions = {"namespace:read": "GET", "namespace:write": "PUT"}
    for role in ("reader", "owner", "auditor"):
        person = people.with_role(role, "namespace", namespace)
        for permission, method in permissions.items():
            body = {"visibility": "private"} if method == "PUT" else None
            answer = person.client.request(method, f"{API}/namespaces/{namespace}", json=body)
            found = explained(person.client, permission, f"namespace:{namespace}")
            assert found["allowed"] == (answer.status_code < 300), (role, permission)


def test_question_that_makes_no_sense_is_refused(people: People) -> None:
    for action, resource in (("fly", "x"), ("pull", "user:x"), ("pull", "Not A Name"), ("registry:catalog", "")):
        answer = people.admin.get(f"{API}/access/explain", params={"action": action, "resource": resource})
        assert answer.status_code == 400
