"""What SQLite takes and PostgreSQL does not: texts with a NUL, half characters, numbers over 64 bits."""

from collections.abc import Iterator

import pytest
from hypothesis import given

from tests.budgets import budget
from tests.hostile.answers import assert_refused, assert_well_formed
from tests.hostile.target import OCI_MANIFEST, Image, Target, basic, descriptor, push_image
from tests.hostile.test_any_request import REPOSITORY, Client, Request, requests
from tests.hostile.test_lists import NOT_NUMBERS, ODD_PLACES
from tests.hostile.test_manifests import NOT_TEXTS
from tests.peers.entrepot import Entrepot
from tests.peers.postgresql import PostgreSQL


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server that keeps its records in PostgreSQL."""
    database = PostgreSQL.installed()
    database.start()
    try:
        with database.new_database() as url:
            config = f'[database]\nurl = "{url}"\n'
            with Entrepot(tmp_path_factory.mktemp("postgresql"), config=config) as server:
                yield Target(server)
            server.remove_data()
    finally:
        database.stop()


@pytest.fixture(scope="module")
def image(target: Target) -> Image:
    return push_image(target, REPOSITORY)


def test_list_from_an_odd_place_in_postgresql_is_a_list(target: Target, image: Image) -> None:
    for path in ("/v2/_catalog", f"/v2/{image.repository}/tags/list"):
        for place in ODD_PLACES:
            assert target.ask("GET", f"{path}?last={place}").status == 200
        for number in NOT_NUMBERS:
            assert_refused(target.ask("GET", f"{path}?n={number}"), 400, "UNSUPPORTED")
        assert_refused(target.ask("GET", f"{path}?last=a%00"), 400, "UNSUPPORTED")
    path = f"/v2/{image.repository}/referrers/{image.digest}"
    for query in ("artifactType=%00", "last=%00", "last=" + "9" * 30):
        assert_refused(target.ask("GET", f"{path}?{query}"), 400, "UNSUPPORTED")
    assert target.ask("GET", f"{path}?last={'9' * 18}").status == 200


@pytest.mark.parametrize("text", NOT_TEXTS.values(), ids=NOT_TEXTS)
def test_manifest_with_a_text_that_postgresql_cannot_hold_is_refused(
    target: Target, image: Image, text: object
) -> None:
    subject = descriptor(image.payload, OCI_MANIFEST)
    for changes in ({"artifactType": text}, {"config": {**image.manifest["config"], "mediaType": text}}):
        document = image.with_changes(**changes, subject=subject)
        assert_refused(target.push_manifest(image.repository, "bad", document), 400, "MANIFEST_INVALID")


def test_credentials_with_a_nul_in_postgresql_are_refused(target: Target) -> None:
    for name in ("admin\x00", "\x00", "a" * 300, "\U0001f600", "\ufffe"):
        assert_refused(target.ask("GET", "/v2/", authorization=basic(name, "x")), 401, "UNAUTHORIZED")


@budget(300)
@given(example=requests)
def test_any_request_in_postgresql_gets_an_answer_that_is_right_in_form(
    target: Target, image: Image, example: Request
) -> None:
    client = Client(target, image)
    try:
        assert_well_formed(client.send(example), head=example.method == "HEAD")
    finally:
        client.close()
