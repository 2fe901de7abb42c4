"""Lists asked for with numbers that are none, and places that nobody was ever told."""

import json

import pytest

from tests.hostile.answers import assert_refused
from tests.hostile.target import OCI_MANIFEST, Image, Target, descriptor, sha256

pytestmark = pytest.mark.usefixtures("nothing_left")

NOT_NUMBERS = (
    *("-1", "-0", "abc", "1.5", "1e3", "0x10", "%2B1", "+1", "1_000", "1,000", "%201", "1%20", "1%00", "%00", "NaN"),
    *("%D9%A1", "%C2%B2", "%ff", "true", "null", "1;last=a", "[1]", "-" * 10_000, "1%0a", "%E2%82%81", "Infinity"),
)
ODD_PLACES = (
    *("%ff", "%ED%A0%80", "a" * 10_000, "%F0%9F%98%80", "..", "%2e%2e%2f", "UPPER", "'%20OR%20'1'='1", "%25", "_"),
    *("%22", "a%0d%0ab", "~", "%7f", "zzzz", "-1", "0", "*", "%5c", "held%20"),
)


@pytest.fixture(scope="module")
def lists(image: Image) -> tuple[str, ...]:
    """The lists there are."""
    return (
        "/v2/_catalog",
        f"/v2/{image.repository}/tags/list",
        f"/v2/{image.repository}/referrers/{image.digest}",
    )


@pytest.mark.parametrize("number", NOT_NUMBERS)
def test_list_of_a_number_that_is_none_is_refused(target: Target, lists: tuple[str, ...], number: str) -> None:
    for path in lists:
        assert_refused(target.ask("GET", f"{path}?n={number}"), 400, "UNSUPPORTED")
        assert_refused(target.ask("GET", f"{path}?last=a&n={number}&n=1"), 400, "UNSUPPORTED")


@pytest.mark.parametrize("number", ["1" + "0" * 30, "9" * 10_000, "1001", "4294967296", "18446744073709551617", ""])
def test_list_of_a_huge_number_is_one_page(target: Target, lists: tuple[str, ...], number: str) -> None:
    for path in lists:
        answer = target.ask("GET", f"{path}?n={number}")
        assert answer.status == 200
        (entries,) = (value for value in answer.json.values() if isinstance(value, list))
        assert len(entries) <= 1000
        assert (answer.header("link") is None) == (len(entries) < 1000)


@pytest.mark.parametrize("number", ["1", "01", "0" * 50 + "1"])
def test_list_of_a_number_with_leading_zeros_has_as_many(target: Target, image: Image, number: str) -> None:
    answer = target.ask("GET", f"/v2/{image.repository}/tags/list?n={number}")
    assert len(answer.json["tags"]) == 1
    assert len(target.ask("GET", f"/v2/_catalog?n={number}").json["repositories"]) == 1


@pytest.mark.parametrize("number", ["0", "00", "0" * 10_000])
def test_list_of_nothing_is_empty(target: Target, image: Image, number: str) -> None:
    for path, key in (("/v2/_catalog", "repositories"), (f"/v2/{image.repository}/tags/list", "tags")):
        answer = target.ask("GET", f"{path}?n={number}")
        assert (answer.status, answer.json[key], answer.header("link")) == (200, [], None)


@pytest.mark.parametrize("place", ODD_PLACES)
def test_list_from_an_odd_place_is_a_list(target: Target, image: Image, place: str) -> None:
    for path, key in (("/v2/_catalog", "repositories"), (f"/v2/{image.repository}/tags/list", "tags")):
        for query in (f"last={place}", f"n=1&last={place}", f"last={place}&n=1000&last=a"):
            answer = target.ask("GET", f"{path}?{query}")
            assert answer.status == 200
            assert isinstance(answer.json[key], list)


def test_list_from_a_place_with_a_nul_is_refused(target: Target, image: Image) -> None:
    for path in ("/v2/_catalog", f"/v2/{image.repository}/tags/list"):
        for place in ("%00", "a%00", "%00" * 10_000):
            assert_refused(target.ask("GET", f"{path}?last={place}"), 400, "UNSUPPORTED")


@pytest.mark.parametrize("place", ["abc", "-1", "1.5", "%00", "%D9%A1", "1" * 19, "9" * 10_000, "%ff", "1_0", "%201"])
def test_referrers_from_a_place_that_is_none_are_refused(target: Target, image: Image, place: str) -> None:
    path = f"/v2/{image.repository}/referrers/{image.digest}"
    assert_refused(target.ask("GET", f"{path}?last={place}"), 400, "UNSUPPORTED")


@pytest.mark.parametrize(
    "artifact_type", ["%ff", "a" * 50_000, "%0d%0aX-Evil:1", "'%20OR%201=1", "*/*", "%ED%A0%80", "%F0%9F%98%80", "%25"]
)
def test_referrers_of_an_odd_type_are_none(target: Target, image: Image, artifact_type: str) -> None:
    answer = target.ask("GET", f"/v2/{image.repository}/referrers/{image.digest}?artifactType={artifact_type}")
    assert (answer.status, answer.json["manifests"]) == (200, [])
    assert answer.header("oci-filters-applied") == "artifactType"


def test_referrers_of_a_type_with_a_nul_are_refused(target: Target, image: Image) -> None:
    path = f"/v2/{image.repository}/referrers/{image.digest}"
    assert_refused(target.ask("GET", f"{path}?artifactType=%00"), 400, "UNSUPPORTED")


def test_referrers_of_an_odd_type_are_found_page_by_page(target: Target, image: Image) -> None:
    odd = 'application/odd; a="b"&c=d#e+f%20\u00e9\U0001f600'
    made = []
    for number in range(3):
        document = image.with_changes(
            artifactType=odd, annotations={"n": str(number)}, subject=descriptor(image.payload, OCI_MANIFEST)
        )
        payload = json.dumps(document).encode()
        assert target.push_manifest(image.repository, sha256(payload), payload).status == 201
        made.append(sha256(payload))
    found = []
    following: str | None = f"/v2/{image.repository}/referrers/{image.digest}?n=1&artifactType=" + "".join(
        f"%{byte:02X}" for byte in odd.encode()
    )
    while following:
        answer = target.ask("GET", following)
        assert answer.status == 200
        found += [entry["digest"] for entry in answer.json["manifests"]]
        link = answer.header("link")
        following = link[1 : link.index(">")] if link else None
    assert found == made
    for digest in made:
        assert target.ask("DELETE", f"/v2/{image.repository}/manifests/{digest}").status == 202
