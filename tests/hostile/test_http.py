"""Requests that are odd as HTTP: methods, versions, headers, targets, and what tries to be two requests."""

import json

import pytest

from tests.hostile.answers import assert_refused, assert_well_formed
from tests.hostile.target import OCI_MANIFEST, Image, Target, sha256
from tests.hostile.wire import request

pytestmark = pytest.mark.usefixtures("nothing_left")

DIGEST = sha256(b"not here")
PATHS = {
    "/healthz": {"GET", "HEAD"},
    "/readyz": {"GET", "HEAD"},
    "/metrics": {"GET"},
    "/token": {"GET", "POST"},
    "/v2/": {"GET", "HEAD"},
    "/v2": {"GET", "HEAD"},
    "/v2/_catalog": {"GET"},
    "/v2/hostile/held/tags/list": {"GET"},
    f"/v2/hostile/held/referrers/{DIGEST}": {"GET"},
    "/v2/hostile/held/manifests/latest": {"GET", "HEAD", "PUT", "DELETE"},
    f"/v2/hostile/held/blobs/{DIGEST}": {"GET", "HEAD", "DELETE"},
    "/v2/hostile/held/blobs/uploads/": {"POST"},
    "/v2/hostile/held/blobs/uploads": {"POST"},
    "/v2/hostile/held/blobs/uploads/forged": {"GET", "HEAD", "PATCH", "PUT", "DELETE"},
}
METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "TRACE",
    "PROPFIND",
    "BREW",
    "get",
    "!",
    "A" * 5000,
)
NOT_HTTP = {
    "http-0.9": b"GET /v2/\r\n\r\n",
    "http-1.2": b"GET /v2/ HTTP/1.2\r\nHost: a\r\n\r\n",
    "http-3": b"GET /v2/ HTTP/3.0\r\nHost: a\r\n\r\n",
    "no-version": b"GET /v2/ HTTP/\r\nHost: a\r\n\r\n",
    "lower-case-version": b"GET /v2/ http/1.1\r\nHost: a\r\n\r\n",
    "no-method": b" /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "method-with-brackets": b"G(E)T /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "method-not-ascii": b"G\xc3\x89T /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "two-targets": b"GET /v2/ /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "nul-in-target": b"GET /v2/\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "tab-in-target": b"GET /v2/\t HTTP/1.1\r\nHost: a\r\n\r\n",
    "not-utf-8-in-target": b"GET /v2/\xff/manifests/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "header-without-colon": b"GET /v2/ HTTP/1.1\r\nHost\r\n\r\n",
    "header-with-space": b"GET /v2/ HTTP/1.1\r\nHost : a\r\n\r\n",
    "header-without-name": b"GET /v2/ HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "header-folded": b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n",
    "header-with-nul": b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n",
    "header-with-return": b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX-A: b\rX-B: c\r\n\r\n",
    "header-name-not-ascii": b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX-\xc3\xa9: b\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "ssh": b"SSH-2.0-OpenSSH_9.7\r\n",
    "line-breaks": b"\r\n" * 10 + b"\x00" * 100,
    "noise": bytes(range(256)) * 20,
}


@pytest.mark.parametrize("path", PATHS)
def test_method_that_a_path_has_not_is_not_allowed(target: Target, path: str) -> None:
    for method in METHODS:
        if method in PATHS[path]:
            continue
        for authorization in ("", None):
            answer = target.ask(method, path, authorization=authorization)
            assert_refused(answer, 405, "UNSUPPORTED", head=method == "HEAD")
            assert set((answer.header("allow") or "").split(", ")) == {*PATHS[path], "OPTIONS"}


@pytest.mark.parametrize("data", NOT_HTTP.values(), ids=NOT_HTTP)
def test_bytes_that_are_not_http_are_refused_and_the_connection_closed(target: Target, data: bytes) -> None:
    answers = target.exchange(data + target.request("DELETE", "/v2/hostile/held/manifests/held"), finish=True)
    assert [answer.status for answer in answers] in ([400], [])
    assert all(answer.body == b"" for answer in answers)


def test_method_connect_and_options_of_everything_are_refused(target: Target) -> None:
    for line in ("CONNECT registry.test:443", "OPTIONS *", "CONNECT /v2/", "GET *"):
        method, address = line.split(" ")
        answer = target.ask(method, address)
        assert answer.status in {400, 404, 405}
        assert_well_formed(answer)


# Sizes.


def test_header_that_is_too_large_is_refused(target: Target) -> None:
    for size in (300_000, 3_000_000):
        answer = target.ask("GET", "/v2/", [("X-Padding", "a" * size)])
        assert (answer.status, answer.body) == (431, b"")


def test_headers_that_are_too_many_are_refused(target: Target) -> None:
    for count in (200, 5000):
        answer = target.ask("GET", "/v2/", [(f"X-{number}", "a") for number in range(count)])
        assert (answer.status, answer.body) == (431, b"")


def test_headers_that_are_large_and_many_are_let_through(target: Target) -> None:
    headers: list[tuple[str, str | bytes]] = [("X-Padding", "a" * 60_000)]
    headers += [(f"X-{number}", "a") for number in range(80)]
    assert target.ask("GET", "/v2/", headers).status == 200


def test_target_that_is_too_long_is_refused(target: Target) -> None:
    for path in ("/v2/" + "a" * 100_000, "/v2/?" + "a" * 100_000):
        answer = target.ask("GET", path)
        assert answer.status in {414, 431}
        assert_well_formed(answer)


def test_query_with_many_parameters_is_refused(target: Target) -> None:
    query = "&".join(f"n{number}=1" for number in range(5000))
    for path in ("/v2/_catalog", "/v2/hostile/held/tags/list", "/token"):
        assert_refused(target.ask("GET", f"{path}?{query}"), 400, "UNSUPPORTED")


@pytest.mark.parametrize("query", ["%", "%zz", "&&&", "=", "a=b=c", "?", "[]", "{}", "%22", "%00=%00", "%ff=%ff", "+"])
def test_query_that_is_odd_and_not_asked_for_is_ignored(target: Target, image: Image, query: str) -> None:
    for path in ("/v2/", "/v2/_catalog", f"/v2/{image.repository}/manifests/{image.tag}", "/healthz"):
        assert target.ask("GET", f"{path}?{query}").status == 200


# Versions and connections.


def test_http_1_0_is_answered_and_the_connection_closed(target: Target, image: Image) -> None:
    path = f"/v2/{image.repository}/manifests/{image.tag}"
    headers = [("Authorization", target.authorization)]
    for host in (None, "registry.test"):
        (answer,) = target.exchange(request("GET", path, headers, host=host, version="1.0"))
        assert (answer.status, answer.body) == (200, image.payload)
    (answer,) = target.exchange(request("GET", f"/v2/{image.repository}/blobs/{DIGEST}", headers, version="1.0"))
    assert_refused(answer, 404, "BLOB_UNKNOWN")
    (answer,) = target.exchange(request("GET", "/v2/", host=None, version="1.0"))
    assert_refused(answer, 401, "UNAUTHORIZED")


def test_http_1_0_has_no_chunks(target: Target, image: Image) -> None:
    headers = [("Authorization", target.authorization), ("Transfer-Encoding", "chunked")]
    path = f"/v2/{image.repository}/manifests/bad"
    (answer,) = target.exchange(request("PUT", path, headers, b"0\r\n\r\n", version="1.0"))
    assert (answer.status, answer.body) == (400, b"")


def test_requests_in_a_row_are_answered_in_order(target: Target, image: Image) -> None:
    asked = [
        ("GET", f"/v2/{image.repository}/manifests/{image.tag}", 200),
        ("HEAD", f"/v2/{image.repository}/manifests/{image.tag}", 200),
        ("GET", f"/v2/{image.repository}/blobs/{DIGEST}", 404),
        ("BREW", "/v2/", 405),
        ("GET", f"/v2/{image.repository}/blobs/{sha256(image.layer)}", 200),
        ("GET", "/v2/UPPER/tags/list", 400),
    ] * 20
    with target.connect() as connection:
        connection.send(b"".join(target.request(method, path, close=False) for method, path, _ in asked))
        for method, path, status in asked:
            answer = connection.answer(head=method == "HEAD")
            assert answer is not None
            assert answer.status == status
            if path.endswith(image.tag):
                assert answer.header("docker-content-digest") == image.digest


def test_requests_in_a_row_end_with_the_one_that_is_not_http(target: Target) -> None:
    good = target.request("GET", "/healthz", close=False)
    answers = target.exchange(good + good + b"GET /healthz HTTP/9\r\n\r\n" + good)
    assert [answer.status for answer in answers] == [200, 200, 400]


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0", "HTTP/2.0, websocket"])
def test_upgrade_to_another_protocol_is_not_made(target: Target, upgrade: str) -> None:
    headers = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", upgrade),
        ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Authorization", target.authorization),
    ]
    with target.connect() as connection:
        connection.send(request("GET", "/v2/", headers))
        answer = connection.answer()
    assert answer is not None
    assert answer.status == 200


def test_expectation_that_nobody_can_meet_is_ignored(target: Target) -> None:
    answer = target.ask("GET", "/v2/", [("Expect", "200-ok")])
    assert answer.status in {200, 417}


# Hosts, and what else comes back in a header.


@pytest.mark.parametrize(
    "host",
    [
        "registry.test",
        "registry.test:5000",
        "[::1]:5000",
        'evil",scope="repository:a:pull',
        'evil", Basic realm="',
        "evil/path?query#fragment",
        "user:password@evil",
        "evil\\",
        "evil ",
        "\u00e9vil",
        b"\xff\xfe",
        "a" * 10_000,
        "evil,evil",
        "evil;evil",
        "<script>",
    ],
)
def test_host_comes_back_only_as_one(target: Target, host: str | bytes) -> None:
    (answer,) = target.exchange(request("GET", "/v2/", [("Connection", "close")], host=host))
    if answer.from_web_server:
        assert (answer.status, answer.body) == (400, b"")
        return
    assert_refused(answer, 401, "UNAUTHORIZED")
    challenge = answer.header("www-authenticate") or ""
    assert challenge.isascii()
    assert challenge.startswith('Bearer realm="http://')
    assert challenge.endswith('/token",service="entrepot"')
    assert challenge.count('"') == 4
    realm = challenge.split('"')[1].removeprefix("http://").removesuffix("/token")
    assert not set(realm) & set(" \"'/?#@\\<>,;")


def test_host_given_twice_is_taken_once(target: Target) -> None:
    data = request("GET", "/v2/", [("Host", "second.test"), ("Connection", "close")], host="first.test")
    (answer,) = target.exchange(data)
    assert answer.status in {400, 401}
    assert "second.test" not in (answer.header("www-authenticate") or "")


def test_target_with_another_host_is_answered(target: Target, image: Image) -> None:
    path = f"/v2/{image.repository}/manifests/{image.tag}"
    for prefix in ("http://evil.test", "http://evil.test:80", "HTTP://evil.test", "ftp://evil.test"):
        answer = target.ask("GET", prefix + path)
        assert answer.status in {200, 400}
        assert_well_formed(answer)


@pytest.mark.parametrize(
    "given",
    ["a" * 65, "a\tb", "a b", 'a"b', "\u00e9", b"\xff", "", "a;b", "../../x", "a,b", "<b>", "%0d%0aX-Evil: 1"],
)
def test_request_id_that_is_none_does_not_come_back(target: Target, given: str | bytes) -> None:
    answer = target.ask("GET", "/healthz", [("X-Request-Id", given)])
    answered = answer.header("x-request-id") or ""
    assert answered.isalnum()
    assert answered.isascii()
    assert answered.encode() != given


@pytest.mark.parametrize("injected", ["%0d%0aX-Evil:%201", "%0aX-Evil:%201", "%0dX-Evil:1", "%e5%98%8aX-Evil:1", "%00"])
def test_line_break_in_a_target_makes_no_header(target: Target, image: Image, injected: str) -> None:
    asked = [
        ("GET", f"/v2/a{injected}/manifests/latest", None),
        ("GET", f"/v2/a{injected}/manifests/latest", "Bearer wrong"),
        ("GET", f"/v2/{image.repository}/manifests/a{injected}", ""),
        ("GET", f"/v2/{image.repository}/tags/list?n=1&last={injected}", ""),
        ("GET", f"/v2/_catalog?n=1&last={injected}", ""),
        ("GET", f"/v2/{image.repository}/referrers/{image.digest}?artifactType={injected}&n=1", ""),
        ("POST", f"/v2/{image.repository}/blobs/uploads/?digest-algorithm=sha256{injected}", ""),
        ("GET", f"/v2/{image.repository}/blobs/uploads/a{injected}", ""),
        ("GET", f"/token?service=a{injected}&scope=repository:a{injected}:pull", ""),
        ("GET", f"/{injected}", ""),
    ]
    for method, path, authorization in asked:
        answer = target.ask(method, path, authorization=authorization)
        assert_well_formed(answer)
        assert answer.header("x-evil") is None
        assert not any("evil" in value.lower() and "scope" not in value for _, value in answer.headers), answer


def test_user_agent_that_is_odd_is_logged_as_one_line(target: Target) -> None:
    for agent in ("a" * 60_000, b"\xff\xfe", '"},{"user":"admin', "\x1b[31mred", "\u2028", "a\tb"):
        answer = target.ask("GET", "/healthz", [("User-Agent", agent)])
        assert answer.status in {200, 400}


# Conditions.


@pytest.mark.parametrize(
    ("known", "fresh"),
    [
        ("*", True),
        (" * ", True),
        ('"{digest}"', True),
        ('W/"{digest}"', True),
        ('"a", "{digest}", "b"', True),
        (",,,", False),
        ("{digest}", False),
        ('"{digest}', False),
        ("", False),
        ('"' + "a" * 50_000 + '"', False),
        ('"a", ' * 10_000, False),
        (b'"\xff\xfe"', False),
        ("'{digest}'", False),
    ],
)
def test_if_none_match_that_is_odd_never_fails(target: Target, image: Image, known: str | bytes, fresh: bool) -> None:
    for path, digest in (
        (f"/v2/{image.repository}/manifests/{image.tag}", image.digest),
        (f"/v2/{image.repository}/blobs/{sha256(image.layer)}", sha256(image.layer)),
    ):
        value = known if isinstance(known, bytes) else known.replace("{digest}", digest)
        for method in ("GET", "HEAD"):
            answer = target.ask(method, path, [("If-None-Match", value)])
            assert answer.status == (304 if fresh else 200)
            assert answer.header("docker-content-digest") == digest


RANGES: dict[str, tuple[str | bytes, object]] = {
    # what is asked, and (first, last) of 60 bytes, "whole", "none" or "several"
    "first": ("bytes=0-0", (0, 0)),
    "last": ("bytes=-1", (59, 59)),
    "from": ("bytes=59-", (59, 59)),
    "over-the-end": ("bytes=50-1000000", (50, 59)),
    "more-than-all": ("bytes=-1000000", (0, 59)),
    "leading-zeros": ("bytes=" + "0" * 100 + "5-" + "0" * 100 + "6", (5, 6)),
    "huge-last": ("bytes=5-" + "9" * 10_000, (5, 59)),
    "huge-suffix": ("bytes=-" + "9" * 10_000, (0, 59)),
    "huge-first": ("bytes=" + "9" * 10_000 + "-", "none"),
    "after-the-end": ("bytes=60-", "none"),
    "nothing-at-the-end": ("bytes=-0", "none"),
    "reversed": ("bytes=5-2", "none"),
    "all-after-the-end": ("bytes=60-61,70-,-0", "none"),
    "one-of-two-after-the-end": ("bytes=0-1,60-61", (0, 1)),
    "two": ("bytes=0-0,2-2", "several"),
    "backwards": ("bytes=-1,0-0", "several"),
    "touching": ("bytes=" + ",".join(f"{number}-{number}" for number in range(32)), (0, 31)),
    "1024": ("bytes=" + ",".join(["0-0", "2-2"] * 512), "several"),
    "1025": ("bytes=" + ",".join(["0-0"] * 1025), "whole"),
    "10000": ("bytes=" + ",".join(["0-0"] * 10_000), "whole"),
    "overlapping": ("bytes=0-,0-,0-", (0, 59)),
    "empty": ("bytes=", "whole"),
    "dash": ("bytes=-", "whole"),
    "commas": ("bytes=,,,", "whole"),
    "negative": ("bytes=--5", "whole"),
    "words": ("bytes=a-b", "whole"),
    "one-is-none": ("bytes=0-0,x", "whole"),
    "hexadecimal": ("bytes=0x0-0x5", "whole"),
    "float": ("bytes=0.0-5.0", "whole"),
    "sign": ("bytes=+0-+5", "whole"),
    "digits-of-others": ("bytes=\u0660-\u0665", "whole"),
    "superscript": (b"bytes=\xb2-\xb3", "whole"),
    "no-unit": ("0-5", "whole"),
    "another-unit": ("lines=0-5", "whole"),
    "not-utf-8": (b"bytes=\xff-\xfe", "whole"),
}


@pytest.mark.parametrize(("asked", "expected"), RANGES.values(), ids=RANGES)
def test_range_that_is_odd_gives_the_right_bytes_or_none(
    target: Target, image: Image, asked: str | bytes, expected: object
) -> None:
    layer = image.layer
    assert len(layer) == 60
    path = f"/v2/{image.repository}/blobs/{sha256(layer)}"
    answer = target.ask("GET", path, [("Range", asked)])
    if isinstance(expected, tuple):
        first, last = expected
        assert (answer.status, answer.body) == (206, layer[first : last + 1])
        assert answer.header("content-range") == f"bytes {first}-{last}/60"
    elif expected == "none":
        assert_refused(answer, 416, "SIZE_INVALID")
        assert answer.header("content-range") == "bytes */60"
    elif expected == "several":
        assert answer.status == 206
        assert (answer.header("content-type") or "").startswith("multipart/byteranges; boundary=")
        assert len(answer.body) == int(answer.header("content-length") or 0) > 0
    else:
        assert (answer.status, answer.body) == (200, layer)
    head = target.ask("HEAD", path, [("Range", asked)])
    assert (head.status, head.header("content-length")) == (200, "60")


def test_range_of_a_manifest_is_ignored(target: Target, image: Image) -> None:
    answer = target.ask("GET", f"/v2/{image.repository}/manifests/{image.tag}", [("Range", "bytes=0-0")])
    assert (answer.status, answer.body) == (200, image.payload)


@pytest.mark.parametrize("condition", ['"other"', "Thu, 01 Jan 1970 00:00:00 GMT", "", b"\xff", "*"])
def test_if_range_of_something_else_gives_the_whole(target: Target, image: Image, condition: str | bytes) -> None:
    path = f"/v2/{image.repository}/blobs/{sha256(image.layer)}"
    answer = target.ask("GET", path, [("Range", "bytes=0-0"), ("If-Range", condition)])
    assert (answer.status, answer.body) == (200, image.layer)


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "application/json;q=0", "a" * 50_000, b"\xff", ",;,=", "*"])
def test_accept_that_is_odd_changes_nothing(target: Target, image: Image, accept: str | bytes) -> None:
    answer = target.ask("GET", f"/v2/{image.repository}/manifests/{image.tag}", [("Accept", accept)])
    assert (answer.status, answer.header("content-type")) == (200, OCI_MANIFEST)


@pytest.mark.parametrize("path", ["/v2/", "/healthz", "/api/v1/account", "/", "/nothing"])
@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nHost: a\r\n", b"Host:\r\n"])
def test_request_for_no_host_or_several_is_refused(target: Target, path: str, hosts: bytes) -> None:
    """A proxy in front may have taken another of them for the right one."""
    head = b"GET %s HTTP/1.1\r\n%sConnection: close\r\nAuthorization: %s\r\n\r\n"
    (answer,) = target.exchange(head % (path.encode(), hosts, target.authorization.encode()))

    if path.startswith("/api/"):
        assert (answer.status, json.loads(answer.body)["code"]) == (400, "invalid")
    else:
        assert_refused(answer, 400, "UNSUPPORTED")
