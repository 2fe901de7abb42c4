"""The API answers whatever its own description allows to be asked, and more, as that description says."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from entrepot.http.api.application import PREFIX, ROUTES, build
from tests.budgets import budget
from tests.functional.people import API, People
from tests.functional.repository import Repository
from tests.peers.entrepot import Entrepot

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
EXAMPLES = 15
ADMINISTRATOR, ANONYMOUS = "administrator", "anonymous"
REPOSITORY, ROLE, ROBOT = "team/app", "tester", "team/ci"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with Entrepot(tmp_path_factory.mktemp("schema"), workers=1) as server:
        made = People(server, None)
        Repository(made.admin, REPOSITORY).push_image("v1")
        assert made.admin.put(f"{API}/roles/{ROLE}", json={"permissions": ["namespace:read"]}).status_code == 201
        assert made.admin.put(f"{API}/groups/local/tested", json={}).status_code == 201
        assert made.admin.put(f"{API}/robots/{ROBOT}", json={}).status_code == 201
        made.grant("reader", {"kind": "signed-in"}, "namespace", "team")
        yield made
        made.close()
    server.remove_data()


@pytest.fixture(scope="module")
def schema() -> schemathesis.BaseSchema:
    """As it is served, without the need of a server."""
    return schemathesis.openapi.from_dict(build().openapi())


THERE: dict[str, dict[str, Any]] = {
    "/roles": {"name": ROLE},
    "/grants": {"grant_id": 1},
    "/namespaces": {"path": "team"},
    "/repositories": {"name": REPOSITORY},
    "/users": {"provider": "local", "name": "admin"},
    "/groups": {"provider": "local", "name": "tested", "group": "tested"},
    "/robots": {"name": ROBOT},
}
"""Path parameters for which there is something, by the beginning of the path: half of the examples get them."""
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/grants"): {
        "role": ROLE,
        "subject": {"kind": "signed-in"},
        "place": {"kind": "namespace", "path": "team"},
        "condition": None,
    },
    ("PUT", "/roles/{name}"): {"permissions": ["repository:pull"]},
}
"""Members of bodies that are not to be guessed."""


def test_description_is_served_and_is_of_openapi_3_1(people: People) -> None:
    assert people.with_password(None).get(f"{API}/openapi.json").status_code == 401
    answer = people.person().client.get(f"{API}/openapi.json")

    assert answer.status_code == 200
    assert answer.json() == build().openapi()
    assert answer.json()["openapi"].startswith("3.1")


@pytest.mark.parametrize(("method", "path"), [(route.method, route.path) for route in ROUTES])
@pytest.mark.parametrize("asking", [ADMINISTRATOR, ANONYMOUS])
def test_operation_answers_as_it_is_described(
    people: People, schema: schemathesis.BaseSchema, method: str, path: str, asking: str
) -> None:
    operation = schema[PREFIX + path.replace(":path}", "}")][method]
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))
    known = next((values for prefix, values in THERE.items() if path.startswith(prefix)), {})
    session = requests.Session()
    if asking == ADMINISTRATOR:
        session.auth = people.credentials

    @given(case=cases, existing=st.booleans())
    @budget(EXAMPLES)
    def ask(case: schemathesis.Case, existing: bool) -> None:
        if existing:
            case.path_parameters.update({k: v for k, v in known.items() if k in case.path_parameters})
            if isinstance(case.body, dict):
                case.body.update(BODIES.get((method, path), {}))
        answer = case.call(base_url=people.url, session=session)
        case.validate_response(answer, checks=CHECKS)

    try:
        ask()
    finally:
        session.close()


def test_administrator_is_still_there(people: People) -> None:
    """After all of this: the API removes, disables and locks out no last administrator."""
    assert people.admin.get(f"{API}/roles").status_code == 200
