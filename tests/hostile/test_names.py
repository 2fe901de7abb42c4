"""Repository names, tags and digests that are none."""

import pytest

from entrepot.http.messages import QUERY_FIELDS_MAX
from tests.hostile.answers import assert_refused
from tests.hostile.target import OCI_MANIFEST, Image, Target, sha256, sha512

pytestmark = pytest.mark.usefixtures("nothing_left")

DIGEST = sha256(b"not here")
HEX = DIGEST.removeprefix("sha256:")

BAD_NAMES = {
    "upper-case": "Team/app",
    "upper-case-inside": "team/aPp",
    "dots": "..",
    "parent": "../../etc/passwd",
    "parent-inside": "team/../app",
    "dot": "team/./app",
    "encoded-parent": "%2e%2e/%2e%2e/etc/passwd",
    "encoded-slash": "team%2fapp",
    "encoded-letter": "te%61m",
    "twice-encoded": "team%252fapp",
    "nul": "team%00app",
    "line-break": "team%0d%0aX-Evil:1",
    "space": "team%20app",
    "double-slash": "team//app",
    "leading-slash": "/team",
    "trailing-slash": "team/",
    "only-slashes": "///",
    "empty": "",
    "leading-dash": "-team",
    "trailing-dash": "team-",
    "leading-underscore": "_team",
    "trailing-dot": "team.",
    "two-dots": "te..am",
    "three-underscores": "te___am",
    "dot-dash": "te.-am",
    "colon": "team:5000/app",
    "at": "team@app",
    "star": "*",
    "backslash": "team%5capp",
    "quote": 'team"app',
    "letters-of-others": "%C3%A9quipe",
    "digits-of-others": "team%D9%A1",
    "not-utf8": "team%ff",
    "not-hex": "team%zz",
    "percent-at-end": "team%",
    "256-characters": "a" * 256,
    "10000-characters": "a" * 10_000,
    "10000-components": "a/" * 9_999 + "a",
    "10000-dashes": "a" + "-" * 10_000,
    "backtracking": "a-" * 5_000 + "!",
}
GOOD_NAMES = (
    "a",
    "0",
    "a.b_c__d-e---f",
    "blobs",
    "manifests/manifests",
    "a/blobs/b",
    "a/blobs/uploads",
    "tags/list",
    "referrers",
    "_catalog".strip("_"),
    "a" * 255,
)
ROUTES = (
    ("GET", "/v2/{name}/manifests/latest"),
    ("HEAD", "/v2/{name}/manifests/latest"),
    ("PUT", "/v2/{name}/manifests/latest"),
    ("DELETE", "/v2/{name}/manifests/latest"),
    ("GET", f"/v2/{{name}}/blobs/{DIGEST}"),
    ("DELETE", f"/v2/{{name}}/blobs/{DIGEST}"),
    ("POST", "/v2/{name}/blobs/uploads/"),
    ("GET", "/v2/{name}/tags/list"),
    ("GET", f"/v2/{{name}}/referrers/{DIGEST}"),
)

BAD_DIGESTS = {
    "empty-hex": "sha256:",
    "one-short": DIGEST[:-1],
    "one-long": DIGEST + "0",
    "upper-case-hex": f"sha256:{HEX.upper()}",
    "upper-case-algorithm": f"SHA256:{HEX}",
    "not-hex": "sha256:" + "g" * 64,
    "md5": "md5:d41d8cd98f00b204e9800998ecf8427e",
    "sha384": "sha384:" + "0" * 96,
    "sha512-with-sha256-length": f"sha512:{HEX}",
    "sha256-with-sha512-length": "sha256:" + "0" * 128,
    "no-algorithm": f":{HEX}",
    "two-colons": f"sha256::{HEX}",
    "composed-algorithm": f"sha256+b64u:{HEX}",
    "unknown-algorithm": f"blake3:{HEX}",
    "line-break-at-end": f"{DIGEST}%0a",
    "nul-at-end": f"{DIGEST}%00",
    "space-before": f"%20{DIGEST}",
    "digits-of-others": "sha256:" + "%D9%A1" * 64,
    "parent": "sha256:../../../../../etc/passwd".replace("/", "%2f"),
    "10000-characters": "sha256:" + "0" * 10_000,
}
DIGEST_ROUTES = (
    ("GET", "/v2/hostile/held/blobs/{digest}"),
    ("HEAD", "/v2/hostile/held/blobs/{digest}"),
    ("DELETE", "/v2/hostile/held/blobs/{digest}"),
    ("GET", "/v2/hostile/held/manifests/{digest}"),
    ("PUT", "/v2/hostile/held/manifests/{digest}"),
    ("DELETE", "/v2/hostile/held/manifests/{digest}"),
    ("GET", "/v2/hostile/held/referrers/{digest}"),
    ("POST", "/v2/hostile/held/blobs/uploads/?digest={digest}"),
    ("POST", "/v2/hostile/held/blobs/uploads/?mount={digest}&from=hostile/held"),
)

NO_ROUTES = (
    *("*", "/v2x", "/v1/", "//v2/", "/v2/../v2/", "/./v2/", "/V2/", "/v2/a", "/v2/a/b", "/v2/a/tags"),
    *("/v2/a/blobs", "/v2/_catalog/", "/v2/a/tags/list/", "/v2/a/manifests", "/v2/a/uploads/x", "/%76%32/"),
    *("/v2%2f", "/token/", "/v2/" + "/" * 20_000, "/" + "a" * 60_000, "/v2/a/referrers", "/v2/a/b/c/d"),
    *("/favicon.ico", "/.git/config", "/v2/a/tags/list%00", "/v2/a/tags/list;x", "/healthz/", "/metrics%20"),
)

BAD_TAGS = {
    "empty": "",
    "leading-dot": ".hidden",
    "leading-dash": "-option",
    "plus": "1.0%2B5",
    "space": "a%20b",
    "encoded-slash": "a%2fb",
    "nul": "a%00",
    "line-break": "a%0d%0aX-Evil",
    "line-break-at-end": "latest%0a",
    "letters-of-others": "%C3%A9t%C3%A9",
    "not-utf8": "a%ff",
    "129-characters": "a" * 129,
    "10000-characters": "a" * 10_000,
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_name_that_is_none_is_refused_everywhere(target: Target, name: str) -> None:
    for method, path in ROUTES:
        answer = target.ask(method, path.format(name=name), [("Content-Type", OCI_MANIFEST)])
        assert_refused(answer, 400, "NAME_INVALID", head=method == "HEAD")


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_name_that_is_none_from_nobody_is_refused(target: Target, name: str) -> None:
    answer = target.ask("GET", f"/v2/{name}/manifests/latest", authorization=None)
    assert_refused(answer, 400, "NAME_INVALID")


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_name_that_is_none_with_wrong_credentials_is_not_in_the_challenge(target: Target, name: str) -> None:
    answer = target.ask("GET", f"/v2/{name}/manifests/latest", authorization="Bearer wrong")
    assert_refused(answer, 401, "UNAUTHORIZED")
    assert "scope=" not in (answer.header("www-authenticate") or "")
    assert answer.header("x-evil") is None


@pytest.mark.parametrize("name", [name for name in BAD_NAMES.values() if name])
def test_mount_from_a_name_that_is_none_is_to_be_sent(target: Target, name: str) -> None:
    """It may be the name that another registry has for it."""
    quoted = name.replace('"', "%22")
    assert target.ask("POST", f"/v2/hostile/held/blobs/uploads/?mount={DIGEST}&from={quoted}").status == 202


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_name_that_looks_like_a_route_is_a_name(target: Target, name: str) -> None:
    assert_refused(target.ask("GET", f"/v2/{name}/manifests/latest"), 404, "MANIFEST_UNKNOWN")
    assert_refused(target.ask("GET", f"/v2/{name}/blobs/{DIGEST}"), 404, "BLOB_UNKNOWN")
    assert_refused(target.ask("GET", f"/v2/{name}/tags/list"), 404, "NAME_UNKNOWN")


@pytest.mark.parametrize("digest", BAD_DIGESTS.values(), ids=BAD_DIGESTS)
def test_digest_that_is_none_is_refused_everywhere(target: Target, digest: str) -> None:
    for method, path in DIGEST_ROUTES:
        answer = target.ask(method, path.format(digest=digest), [("Content-Type", OCI_MANIFEST)])
        assert_refused(answer, 400, "DIGEST_INVALID", head=method == "HEAD")


@pytest.mark.parametrize("digest", BAD_DIGESTS.values(), ids=BAD_DIGESTS)
def test_digest_that_is_none_does_not_end_an_upload(target: Target, digest: str) -> None:
    location = target.start_upload("hostile/held")
    answer = target.ask("PUT", f"{location}?digest={digest}", body=b"content")
    assert_refused(answer, 400, "DIGEST_INVALID")


def test_digest_that_is_missing_does_not_end_an_upload(target: Target) -> None:
    location = target.start_upload("hostile/held")
    for query in ("", "?", "?digest", "?digest=", "?Digest=" + DIGEST):
        assert_refused(target.ask("PUT", location + query, body=b"content"), 400, "DIGEST_INVALID")


@pytest.mark.parametrize("algorithm", ["md5", "SHA256", "sha256%00", "sha1", "", "sha256:", "a" * 10_000])
def test_digest_algorithm_that_is_none_is_refused(target: Target, algorithm: str) -> None:
    answer = target.ask("POST", f"/v2/hostile/held/blobs/uploads/?digest-algorithm={algorithm}")
    if algorithm == "":
        assert answer.status == 202
    else:
        assert_refused(answer, 400, "DIGEST_INVALID")


@pytest.mark.parametrize("digest", [DIGEST, DIGEST.replace(":", "%3A"), DIGEST.replace("sha", "%73%68%61")])
def test_digest_percent_encoded_is_a_digest(target: Target, digest: str) -> None:
    assert_refused(target.ask("GET", f"/v2/hostile/held/blobs/{digest}"), 404, "BLOB_UNKNOWN")
    assert_refused(target.ask("GET", f"/v2/hostile/held/manifests/{digest}"), 404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("tag", BAD_TAGS.values(), ids=BAD_TAGS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_tag_that_is_none_is_refused(target: Target, image: Image, method: str, tag: str) -> None:
    body = image.payload if method == "PUT" else b""
    answer = target.ask(method, f"/v2/{image.repository}/manifests/{tag}", [("Content-Type", OCI_MANIFEST)], body)
    assert_refused(answer, 400, "MANIFEST_INVALID", head=method == "HEAD")


@pytest.mark.parametrize("tag", BAD_TAGS.values(), ids=BAD_TAGS)
def test_tag_that_is_none_beside_a_manifest_is_refused(target: Target, image: Image, tag: str) -> None:
    answer = target.push_manifest(image.repository, f"{image.digest}?tag=good&tag={tag}", image.payload)
    assert_refused(answer, 400, "MANIFEST_INVALID")


def test_tags_more_than_there_may_be_in_a_request_are_refused(target: Target, image: Image) -> None:
    tags = "&".join(f"tag=t{number}" for number in range(51))
    assert_refused(target.push_manifest(image.repository, f"{image.digest}?{tags}", image.payload), 413, "SIZE_INVALID")
    tags = "&".join(f"tag=t{number}" for number in range(QUERY_FIELDS_MAX + 1))
    assert_refused(target.push_manifest(image.repository, f"{image.digest}?{tags}", image.payload), 400, "UNSUPPORTED")


@pytest.mark.parametrize("digest", [sha256(b"other"), sha512(b"other")])
def test_manifest_under_the_digest_of_another_is_refused(target: Target, image: Image, digest: str) -> None:
    assert_refused(target.push_manifest(image.repository, digest, image.payload), 400, "DIGEST_INVALID")


@pytest.mark.parametrize("path", NO_ROUTES)
def test_path_that_is_no_route_is_not_found(target: Target, path: str) -> None:
    for authorization in ("", None):
        answer = target.ask("GET", path, authorization=authorization)
        assert_refused(answer, 404, "NAME_UNKNOWN")
