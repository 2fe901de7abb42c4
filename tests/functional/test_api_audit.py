"""The audit log over the API: everything up to now, for who may, and exports that verify."""

import json
from pathlib import Path

import pytest

from tests.functional.people import API, People, items, new_namespace
from tests.functional.repository import Repository, new_app
from tests.functional.setups import SetUp
from tests.peers.entrepot import PROGRAM
from tests.peers.process import run


@pytest.fixture
def app(people: People) -> Repository:
    """A repository into which an image was just pushed."""
    app = new_app(people.admin, new_namespace())
    app.push_image("v1")
    return app


def test_query_has_what_has_just_happened(people: People, app: Repository) -> None:
    found = items(people.admin, "/audit", resource=f"repository:{app.name}", limit=2)

    assert [entry["record"]["action"] for entry in found] == ["manifest:push", "blob:push", "blob:push"]
    assert [entry["seq"] for entry in found] == sorted((entry["seq"] for entry in found), reverse=True)
    assert found[0]["record"]["actor"] == "local:admin"


def test_query_finds_by_each_member(people: People, app: Repository) -> None:
    person = people.person()
    assert app.by(person.client).manifest("v1").status_code == 403
    pushed = items(people.admin, "/audit", resource=f"repository:{app.name}", action="manifest:push")[0]["record"]

    def count(**query: str) -> int:
        return len(items(people.admin, "/audit", **query))

    assert count(digest=pushed["digest"]) == 1
    assert count(actor=person.key) == 2
    assert count(actor=person.key, outcome="refused") == 1
    assert count(actor=person.key, action="login:password") == 1
    assert count(actor=person.key, address="127.0.0.1") == 2
    assert count(actor=person.key, address="192.0.2.1") == 0
    assert count(resource=f"repository:{app.name}", to=pushed["time"]) < 4
    assert count(resource=f"repository:{app.name}", **{"from": "2100-01-01T00:00:00Z"}) == 0


def test_auditor_of_a_namespace_sees_its_repositories_and_no_others(people: People, app: Repository) -> None:
    namespace = app.name.partition("/")[0]
    other = new_app(people.admin, new_namespace())
    other.push_image("v1")
    auditor = people.with_role("auditor", "namespace", namespace)

    seen = items(auditor.client, "/audit", below=namespace)
    assert {entry["record"]["resource"] for entry in seen} == {f"repository:{app.name}"}
    assert items(auditor.client, "/audit", resource=f"repository:{app.name}")
    assert items(auditor.client, "/audit", resource=f"namespace:{namespace}")
    for query in (
        {},
        {"actor": auditor.key},
        {"below": namespace[:-1]},
        {"below": other.name},
        {"resource": f"repository:{other.name}"},
        {"resource": "registry"},
        {"below": other.name, "resource": f"repository:{app.name}"},
    ):
        assert auditor.client.get(f"{API}/audit", params=query).status_code == 403, query
        assert auditor.client.get(f"{API}/audit/export", params=query).status_code == 403, query
    # Both conditions hold for a record: below one's own namespace, another one's resource is not found.
    assert items(auditor.client, "/audit", below=namespace, resource=f"repository:{other.name}") == []
    assert auditor.client.get(f"{API}/audit/status").status_code == 403


def test_auditor_of_a_repository_sees_it_and_nothing_below_its_name(people: People, app: Repository) -> None:
    auditor = people.with_role("auditor", "repository", app.name)

    assert items(auditor.client, "/audit", resource=f"repository:{app.name}")
    assert auditor.client.get(f"{API}/audit", params={"below": app.name}).status_code == 403


@pytest.mark.parametrize("role", ["reader", "developer", "maintainer", "owner"])
def test_others_do_not_read_it(people: People, app: Repository, role: str) -> None:
    namespace = app.name.partition("/")[0]
    person = people.with_role(role, "namespace", namespace)

    for path in ("/audit", "/audit/export"):
        for query in ({}, {"below": namespace}, {"resource": f"repository:{app.name}"}):
            assert person.client.get(f"{API}{path}", params=query).status_code == 403


def test_export_verifies_with_the_public_key_alone(people: People, app: Repository, tmp_path: Path) -> None:
    auditor = people.with_role("auditor", "registry")
    exported, key = tmp_path / "audit.jsonl", tmp_path / "audit.pem"
    key.write_text(auditor.client.get(f"{API}/audit/public-key").json()["public_key"])
    for query in ({}, {"below": app.name.partition("/")[0]}):
        answer = auditor.client.get(f"{API}/audit/export", params=query)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        exported.write_bytes(answer.content)

        assert "intact" in run([PROGRAM, "audit", "verify", exported, "--key", key]).stdout
        shown = [json.loads(line) for line in answer.text.splitlines()]
        resources = [line["record"]["resource"] for line in shown if line["type"] == "record"]
        assert f"repository:{app.name}" in resources
        assert (set(resources) == {f"repository:{app.name}"}) == bool(query)


def test_export_as_cef_has_a_line_for_each_record(people: People, app: Repository) -> None:
    answer = people.admin.get(
        f"{API}/audit/export", params={"format": "cef", "resource": f"repository:{app.name}", "action": "manifest:push"}
    )

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert [line.split("|")[:3] for line in answer.text.splitlines()] == [["CEF:0", "Entrepot", "Entrepot"]]
    assert f"repository:{app.name}" in answer.text


def test_export_is_recorded_and_is_in_itself(people: People) -> None:
    auditor = people.with_role("auditor", "registry")
    answer = auditor.client.get(f"{API}/audit/export", params={"actor": auditor.key})

    records = [json.loads(line).get("record") for line in answer.text.splitlines()]
    assert [record["action"] for record in records if record] == ["login:password", "audit:export"]
    found = items(auditor.client, "/audit", actor=auditor.key, action="audit:export")
    assert [entry["record"]["detail"] for entry in found] == [{"filter": {"actor": auditor.key}, "format": "jsonl"}]


def test_status_says_how_far_everything_is(people: People, set_up: SetUp) -> None:
    newest = people.admin.get(f"{API}/audit", params={"limit": 1}).json()["items"][0]
    status = people.admin.get(f"{API}/audit/status").json()

    assert status["seq"] >= newest["seq"] > 0
    assert status["oldest_seq"] == 1
    assert status["forwarding"] == []
