"""Granting and revoking over the API: who may, what is refused, and that it holds with the next request."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.functional.people import API, People, items, new_namespace
from tests.functional.repository import new_app
from tests.functional.setups import SetUp

NOT_THIS_PROGRAM = "request.user_agent.startsWith('docker/')"
THIS_PROGRAM = "request.user_agent.contains('httpx')"


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def test_grant_of_an_owner_holds_with_the_next_request_and_ends_with_the_next(set_up: SetUp, people: People) -> None:
    namespace = new_namespace()
    app = new_app(people.admin, namespace)
    app.push_image("v1")
    owner, tester = people.with_role("owner", "namespace", namespace), people.person()
    theirs = app.by(tester.client)
    assert theirs.manifest("v1").status_code == 403

    made = people.ask_to_grant(owner.client, "reader", {"user": tester.key}, "repository", app.name)
    assert made.status_code == 201
    assert set_up.soon(lambda: theirs.manifest("v1").status_code == 200)
    assert theirs.start_upload().status_code == 403

    assert owner.client.delete(f"{API}/grants/{made.json()['id']}").status_code == 204
    assert set_up.soon(lambda: theirs.manifest("v1").status_code == 403)


def test_grant_to_a_group_is_one_to_its_members(set_up: SetUp, people: People) -> None:
    namespace = new_namespace()
    app = new_app(people.admin, namespace)
    app.push_image("v1")
    member, other = people.person(), people.person()
    people.grant("reader", {"group": people.group_of(member)}, "pattern", f"{namespace}/**")

    assert set_up.soon(lambda: app.by(member.client).manifest("v1").status_code == 200)
    assert app.by(other.client).manifest("v1").status_code == 403


def test_same_grant_is_made_once(people: People) -> None:
    namespace, person = new_namespace(), people.person()
    subject = {"user": person.key}
    first = people.ask_to_grant(people.admin, "reader", subject, "namespace", namespace)
    second = people.ask_to_grant(people.admin, "reader", subject, "namespace", namespace)
    other = people.ask_to_grant(people.admin, "reader", subject, "namespace", namespace, expires_at=in_hours(1))

    assert [answer.status_code for answer in (first, second, other)] == [201, 200, 201]
    assert first.json() == second.json()
    assert first.headers["etag"] == second.headers["etag"]
    assert first.json()["created_by"] == "local:admin"
    assert len(items(people.admin, "/grants", below=namespace)) == 2
    made = items(people.admin, "/audit", action="grant:create", resource=f"namespace:{namespace}")
    assert len(made) == 2


def test_grants_are_found_by_place_and_by_whom_they_are_for(people: People) -> None:
    namespace, person = new_namespace(), people.person()
    group = people.group_of(person)
    on_namespace = people.grant("reader", {"user": person.key}, "namespace", namespace)
    below = people.grant("developer", {"group": group}, "repository", f"{namespace}/app")
    pattern = people.grant("reader", {"kind": "signed-in"}, "pattern", f"{namespace}/*")
    elsewhere = people.grant("reader", {"user": person.key}, "namespace", f"{namespace}2")

    def found(**query: str) -> list[int]:
        return [grant["id"] for grant in items(people.admin, "/grants", limit=1, **query)]

    assert found(below=namespace) == [on_namespace["id"], below["id"], pattern["id"]]
    assert found(kind="repository", path=f"{namespace}/app") == [below["id"]]
    assert found(user=person.key) == [on_namespace["id"], elsewhere["id"]]
    assert found(group=group) == [below["id"]]
    assert found(user="local:nobody-at-all") == []
    assert people.admin.get(f"{API}/grants/{below['id']}").json() == below


@pytest.mark.parametrize(
    ("role", "place", "status"),
    [
        ("owner", ("namespace", "{ns}"), 201),
        ("developer", ("namespace", "{ns}/deeper"), 201),
        ("maintainer", ("repository", "{ns}/app"), 201),
        ("reader", ("pattern", "{ns}/**"), 201),
        ("reader", ("pattern", "{ns}/app-*/x*"), 201),
        ("administrator", ("namespace", "{ns}"), 403),
        ("auditor", ("namespace", "{ns}"), 403),
        ("reader", ("namespace", "{ns}2"), 403),
        ("reader", ("registry", ""), 403),
        ("reader", ("pattern", "{ns}*"), 403),
        ("reader", ("pattern", "**"), 403),
        ("reader", ("pattern", "*/app"), 403),
    ],
)
def test_owner_grants_what_they_have_where_they_have_it(
    people: People, role: str, place: tuple[str, str], status: int
) -> None:
    namespace = new_namespace()
    owner, somebody = people.with_role("owner", "namespace", namespace), people.person()
    kind, path = place[0], place[1].format(ns=namespace)

    answer = people.ask_to_grant(owner.client, role, {"user": somebody.key}, kind, path)

    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("role", ["reader", "developer", "maintainer", "auditor"])
def test_others_grant_nothing(people: People, role: str) -> None:
    namespace = new_namespace()
    person = people.with_role(role, "namespace", namespace)

    answer = people.ask_to_grant(person.client, "reader", {"user": person.key}, "namespace", namespace)

    assert answer.status_code == 403
    assert "grant:write" in answer.json()["detail"]


def test_refusal_names_the_permission_that_is_missing_and_is_recorded(people: People) -> None:
    namespace = new_namespace()
    owner = people.with_role("owner", "namespace", namespace)

    answer = people.ask_to_grant(owner.client, "auditor", {"user": owner.key}, "namespace", namespace)

    assert "audit:read" in answer.json()["context"]["lacking"]
    refused = items(people.admin, "/audit", actor=owner.key, outcome="refused")
    assert [(entry["record"]["action"], entry["record"]["resource"]) for entry in refused] == [
        ("grant:create", f"namespace:{namespace}")
    ]


def test_right_that_ends_is_not_passed_on_for_longer(people: People) -> None:
    namespace, somebody = new_namespace(), people.person()
    owner = people.with_role("owner", "namespace", namespace, expires_at=in_hours(2))

    def ask(**terms: object) -> int:
        subject = {"user": somebody.key}
        return people.ask_to_grant(owner.client, "reader", subject, "namespace", namespace, **terms).status_code

    assert ask() == 403
    assert ask(expires_at=in_hours(3)) == 403
    assert ask(expires_at=in_hours(1)) == 201


def test_right_under_a_condition_is_passed_on_under_the_same(people: People) -> None:
    namespace, somebody = new_namespace(), people.person()
    owner = people.with_role("owner", "namespace", namespace, condition=THIS_PROGRAM)

    def ask(**terms: object) -> int:
        subject = {"user": somebody.key}
        return people.ask_to_grant(owner.client, "reader", subject, "namespace", namespace, **terms).status_code

    assert ask() == 403
    assert ask(condition="true") == 403
    assert ask(condition=THIS_PROGRAM) == 201


def test_right_whose_condition_does_not_hold_grants_nothing(people: People) -> None:
    namespace = new_namespace()
    owner = people.with_role("owner", "namespace", namespace, condition=NOT_THIS_PROGRAM)

    answer = people.ask_to_grant(owner.client, "reader", {"user": owner.key}, "namespace", namespace)

    assert answer.status_code == 403


def test_owner_of_a_repository_does_not_own_the_namespace_of_its_name(people: People) -> None:
    name = f"{new_namespace()}/app"
    owner = people.with_role("owner", "repository", name)
    subject = {"user": owner.key}

    assert people.ask_to_grant(owner.client, "reader", subject, "repository", name).status_code == 201
    assert people.ask_to_grant(owner.client, "reader", subject, "namespace", name).status_code == 403
    assert people.ask_to_grant(owner.client, "reader", subject, "pattern", f"{name}/**").status_code == 403
    assert owner.client.get(f"{API}/grants", params={"below": name}).status_code == 403
    assert owner.client.get(f"{API}/grants", params={"kind": "repository", "path": name}).status_code == 200


def test_limited_token_grants_no_further_than_it_reaches(people: People) -> None:
    namespace, somebody = new_namespace(), people.person()
    owner = people.with_role("owner", "namespace", namespace)
    narrow = people.limited(owner, ("*", "namespace", f"{namespace}/inner"))
    only_grants = people.limited(owner, ("grant:write", "namespace", namespace))
    subject = {"user": somebody.key}

    assert people.ask_to_grant(narrow, "reader", subject, "namespace", namespace).status_code == 403
    assert people.ask_to_grant(narrow, "reader", subject, "namespace", f"{namespace}/inner").status_code == 201
    refused = people.ask_to_grant(only_grants, "reader", subject, "namespace", namespace)
    assert refused.status_code == 403
    assert "repository:pull" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"expires_at": in_hours(-1)}, "expiry is in the past"),
        ({"condition": "request.address =="}, "cannot be evaluated"),
        ({"condition": "request.nothing == 1"}, "cannot be evaluated"),
        ({"condition": "in_network(request.address, 'nonsense')"}, "cannot be evaluated"),
        ({"condition": "request.address"}, "true or false"),
        ({"condition": "((((((((((((((((((((((true))))))))))))))))))))))"}, "nested"),
        ({"condition": "[1].all(a, [1].all(b, true))"}, "exists once"),
        ({"condition": "request.user_agent.matches('(a{900}){900}')"}, "braces"),
        ({"condition": "request.user_agent.matches(user.name)"}, "braces"),
    ],
)
def test_terms_that_make_no_sense_are_refused(people: People, terms: dict[str, object], says: str) -> None:
    person = people.person()

    answer = people.ask_to_grant(people.admin, "reader", {"user": person.key}, "namespace", new_namespace(), **terms)

    assert answer.status_code == 400
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-12:00"]
)
def test_time_at_the_ends_of_the_calendar_is_refused(people: People, time: str) -> None:
    """In UTC it is in no year that there is."""
    person, namespace = people.person(), new_namespace()
    granted = people.ask_to_grant(people.admin, "reader", {"user": person.key}, "namespace", namespace, expires_at=time)
    for answer in (granted, *(people.admin.get(f"{API}/audit", params={name: time}) for name in ("from", "to"))):
        assert answer.status_code == 422
        assert "1 to 9999" in answer.text


def test_everyone_is_given_only_what_reads(people: People) -> None:
    namespace = new_namespace()
    everyone = {"kind": "everyone"}

    assert people.ask_to_grant(people.admin, "developer", everyone, "namespace", namespace).status_code == 400
    assert people.ask_to_grant(people.admin, "reader", everyone, "namespace", namespace).status_code == 201


def test_those_who_are_not_there_are_granted_nothing(people: People) -> None:
    namespace = new_namespace()
    for subject in ({"user": "local:nobody"}, {"group": "local:nobody"}, {"group": "nowhere:devs"}):
        answer = people.ask_to_grant(people.admin, "reader", subject, "namespace", namespace)
        assert answer.status_code == 404, answer.text
    assert people.ask_to_grant(people.admin, "no-role", {"kind": "everyone"}, "namespace", namespace).status_code == 404
    assert items(people.admin, "/grants", below=namespace) == []


def test_grant_that_one_may_not_read_looks_like_none(people: People) -> None:
    grant = people.grant("reader", {"kind": "signed-in"}, "namespace", new_namespace())
    owner = people.with_role("owner", "namespace", new_namespace())

    for method in ("GET", "DELETE"):
        hidden = owner.client.request(method, f"{API}/grants/{grant['id']}")
        unknown = owner.client.request(method, f"{API}/grants/999999999")
        assert (hidden.status_code, unknown.status_code) == (404, 404)
        assert hidden.text.replace(str(grant["id"]), "N") == unknown.text.replace("999999999", "N")


def test_grant_is_revoked_only_as_it_was_seen(people: People) -> None:
    grant = people.grant("reader", {"kind": "signed-in"}, "namespace", new_namespace())
    path = f"{API}/grants/{grant['id']}"
    tag = people.admin.get(path).headers["etag"]

    assert people.admin.delete(path, headers={"if-match": '"another"'}).status_code == 412
    assert people.admin.delete(path, headers={"if-match": tag}).status_code == 204
    assert people.admin.delete(path, headers={"if-match": tag}).status_code == 404
