"""Authorization headers that prove nothing, and a token service that is asked for what nobody may have."""

import base64
import json
import time
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from entrepot.identity.token_keys import TokenKeys
from tests.conftest import StartEntrepot
from tests.hostile.answers import assert_refused, assert_well_formed
from tests.hostile.target import Image, Target, basic
from tests.hostile.wire import Answer

pytestmark = pytest.mark.usefixtures("nothing_left")

TOKEN_NAMES_MAX = 1000
QUERY_NAMES_MAX = 200
"""Of 255 characters each, in the 64 KiB that a request's line may have."""


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


_HEADER_NONE = _base64url(b'{"alg":"none","typ":"JWT"}')
NOT_CREDENTIALS: dict[str, str | bytes] = {
    "empty": "",
    "space": " ",
    "basic-only": "Basic",
    "basic-space": "Basic ",
    "not-base64": "Basic !!!!",
    "broken-base64": "Basic YWRtaW4",
    "base64-with-spaces": "Basic YWRt aW46eA==",
    "url-base64": "Basic " + base64.urlsafe_b64encode(b"admin:\xff\xfe\xfd~~~???").decode(),
    "no-colon": "Basic " + _base64(b"admin"),
    "no-name": "Basic " + _base64(b":password"),
    "nothing": "Basic " + _base64(b":"),
    "empty-password": "Basic " + _base64(b"admin:"),
    "space-password": "Basic " + _base64(b"admin: "),
    "not-utf-8": "Basic " + _base64(b"\xff\xfe:\xff"),
    "utf-16": "Basic " + _base64("admin:admin".encode("utf-16")),
    "nul": "Basic " + _base64(b"admin\x00:admin"),
    "nul-only": "Basic " + _base64(b"\x00:\x00"),
    "surrogate": "Basic " + _base64(b"\xed\xa0\x80:x"),
    "long-name": "Basic " + _base64(b"a" * 5000 + b":x"),
    "long-password": "Basic " + _base64(b"admin:" + b"x" * 5000),
    "huge": "Basic " + "QUFB" * 15_000,
    "another-case": "Basic " + _base64(b"ADMIN:x"),
    "another-user": "Basic " + _base64(b"nobody-here:x"),
    "sql": "Basic " + _base64(b"admin' OR '1'='1:x' OR '1'='1"),
    "line-break": "Basic " + _base64(b"admin\r\n:x\r\n"),
    "header-not-ascii": b"Basic \xff\xfe",
    "digest-scheme": 'Digest username="admin", realm="entrepot"',
    "unknown-scheme": "Magic " + _base64(b"admin:admin"),
    "no-scheme": _base64(b"admin:admin"),
    "two-schemes": "Basic Bearer " + _base64(b"admin:admin"),
    "bearer-only": "Bearer",
    "bearer-space": "Bearer ",
    "bearer-garbage": "Bearer garbage",
    "bearer-dots": "Bearer ..",
    "bearer-many-dots": "Bearer " + "." * 10_000,
    "bearer-huge": "Bearer " + "a" * 50_000,
    "bearer-not-ascii": b"Bearer \xff.\xfe.\xfd",
    "bearer-empty-objects": "Bearer e30.e30.",
    "bearer-deep": "Bearer " + _base64url(b"[" * 9_000) + ".e30.AAAA",
    "bearer-deep-object": "Bearer " + _base64url(b'{"alg":' * 2_000) + ".e30.AAAA",
    "bearer-digits": "Bearer " + _base64url(b'{"alg":"EdDSA","x":' + b"1" * 6_000 + b"}") + ".e30.AAAA",
    "bearer-list": "Bearer " + _base64url(b"[]") + ".e30.AAAA",
    "bearer-algorithm-is-object": "Bearer " + _base64url(b'{"alg":{"EdDSA":1}}') + ".e30.AAAA",
    "bearer-surrogate": "Bearer " + _base64url(b'{"alg":"\\ud800"}') + ".e30.AAAA",
    "bearer-critical": "Bearer " + _base64url(b'{"alg":"EdDSA","crit":["x"]}') + ".e30.AAAA",
    "bearer-not-encoded": "Bearer " + _base64url(b'{"alg":"EdDSA","b64":false,"crit":["b64"]}') + ".e30.AAAA",
    "bearer-key-inside": "Bearer " + _base64url(b'{"alg":"EdDSA","jwk":{"kty":"OKP","x":"AA"}}') + ".e30.AAAA",
    "bearer-key-elsewhere": "Bearer "
    + _base64url(b'{"alg":"EdDSA","jku":"http://127.0.0.1:1/","kid":"/dev/zero"}')
    + ".e30.AA",
}


@pytest.mark.parametrize("authorization", NOT_CREDENTIALS.values(), ids=NOT_CREDENTIALS)
def test_credentials_that_are_none_are_refused(target: Target, image: Image, authorization: str | bytes) -> None:
    headers = [("Authorization", authorization)]
    for method, path in (
        ("HEAD", f"/v2/{image.repository}/manifests/{image.tag}"),
        ("PUT", f"/v2/{image.repository}/manifests/new"),
        ("GET", f"/token?scope=repository:{image.repository}:pull"),
    ):
        answer = target.ask(method, path, headers, authorization=None)
        assert_refused(answer, 401, "UNAUTHORIZED", head=method == "HEAD")


def test_credentials_given_twice_are_taken_once(target: Target) -> None:
    wrong = ("Authorization", basic("admin", "wrong"))
    right = ("Authorization", target.authorization)
    assert target.ask("GET", "/v2/", [wrong, right], authorization=None).status == 401
    assert target.ask("GET", "/v2/", [right, wrong], authorization=None).status == 200


@pytest.mark.parametrize("spelling", ["basic {}", "BASIC {}", "bAsIc {}"])
def test_credentials_with_the_scheme_in_another_case_are_right(target: Target, spelling: str) -> None:
    encoded = target.authorization.removeprefix("Basic ")
    assert target.ask("GET", "/v2/", authorization=spelling.format(encoded)).status == 200


def test_passwords_guessed_at_once_are_put_off(start_entrepot: StartEntrepot) -> None:
    target = Target(start_entrepot(workers=1))
    # Who is known already is let in meanwhile.
    assert target.ask("GET", "/v2/").status == 200
    connections = [target.connect() for _ in range(200)]
    for number, connection in enumerate(connections):
        connection.send(target.request("GET", "/v2/", authorization=basic("admin", f"guess {number}")))
    assert target.ask("GET", "/v2/").status == 200
    answers = (connection.answer() for connection in reversed(connections))
    put_off = next(answer for answer in answers if answer is not None and answer.status != 401)
    for connection in connections:
        connection.close()
    assert_refused(put_off, 429, "TOOMANYREQUESTS")
    assert target.new_defects() == []


# Tokens.


def _claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "iss": "entrepot",
        "aud": "entrepot",
        "sub": "admin",
        "provider": "local",
        "uid": 1,
        "epoch": 0,
        "credential": {"kind": "password", "id": ""},
        "iat": now,
        "nbf": now - 5,
        "exp": now + 300,
        "jti": "0011223344556677",
        "access": [{"type": "repository", "name": "hostile/held", "actions": ["pull"]}],
    }
    return {name: value for name, value in {**claims, **changes}.items() if value is not None}


def _key(target: Target) -> Ed25519PrivateKey:
    """The registry's own key: with it the forged tokens differ from real ones in one thing each."""
    key = load_pem_private_key((target.data / "keys" / "token.pem").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def _header(target: Target) -> dict[str, str]:
    """Names the registry's own key, as its tokens do."""
    return {"kid": TokenKeys(target.data / "keys").newest().kid}


def _pull(target: Target, image: Image, token: str) -> Answer:
    path = f"/v2/{image.repository}/manifests/{image.tag}"
    return target.ask("GET", path, authorization=f"Bearer {token}")


def test_token_made_as_the_registry_makes_them_is_right(target: Target, image: Image) -> None:
    assert _pull(target, image, jwt.encode(_claims(), _key(target), "EdDSA", headers=_header(target))).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 600},
        {"exp": 0},
        {"exp": -1},
        {"exp": None},
        {"exp": "never"},
        {"exp": [2**40]},
        {"nbf": int(time.time()) + 100_000},
        {"nbf": None},
        {"nbf": "now"},
        {"iat": int(time.time()) + 100_000},
        {"iss": "another"},
        {"iss": None},
        {"iss": ["entrepot"]},
        {"aud": "another"},
        {"aud": None},
        {"aud": []},
        {"aud": 5},
        {"sub": None},
        {"sub": 5},
        {"sub": ["admin"]},
        {"jti": None},
        {"jti": 5},
        {"provider": None},
        {"access": None},
        {"access": 5},
        {"access": [5]},
        {"access": [{}]},
        {"access": [{"type": "repository", "name": "hostile/held", "actions": 5}]},
        {"access": [{"type": "repository", "name": ["hostile/held"], "actions": [["pull"]]}]},
    ],
)
def test_token_with_claims_that_do_not_hold_is_refused(target: Target, image: Image, changes: dict[str, Any]) -> None:
    try:
        token = jwt.encode(_claims(**changes), _key(target), "EdDSA", headers=_header(target))
    except TypeError:  # the library does not write what it would not read
        token = jwt.api_jws.encode(
            json.dumps(_claims(**changes)).encode(), _key(target), "EdDSA", headers=_header(target)
        )
    assert_refused(_pull(target, image, token), 401, "UNAUTHORIZED")


def test_token_of_a_clock_that_is_a_little_ahead_is_right(target: Target, image: Image) -> None:
    token = jwt.encode(
        _claims(nbf=int(time.time()) + 3, iat=int(time.time()) + 3), _key(target), "EdDSA", headers=_header(target)
    )
    assert _pull(target, image, token).status == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"uid": 2}, 401),
        ({"uid": 0}, 401),
        ({"uid": -1}, 401),
        ({"uid": "admin"}, 401),
        ({"epoch": 1}, 401),
        ({"epoch": -1}, 401),
        ({"sub": ""}, 401),
        # Names are for showing: who it is is the number.
        ({"sub": "nobody-here"}, 200),
        ({"access": []}, 401),
        ({"access": [{"type": "repository", "name": "hostile/other", "actions": ["pull"]}]}, 401),
        ({"access": [{"type": "repository", "name": "hostile", "actions": ["pull"]}]}, 401),
        ({"access": [{"type": "repository", "name": "hostile/*", "actions": ["*"]}]}, 401),
        ({"access": [{"type": "repository", "name": "hostile/held", "actions": ["push"]}]}, 401),
        ({"access": [{"type": "repository", "name": "hostile/held", "actions": ["PULL"]}]}, 401),
        ({"access": [{"type": "registry", "name": "hostile/held", "actions": ["pull"]}]}, 401),
        ({"access": [{"type": "repository", "name": "hostile/held", "actions": ["*"]}]}, 200),
    ],
)
def test_token_of_another_user_or_for_something_else_does_not_reach_here(
    target: Target, image: Image, changes: dict[str, Any], status: int
) -> None:
    answer = _pull(target, image, jwt.encode(_claims(**changes), _key(target), "EdDSA", headers=_header(target)))
    assert answer.status == status
    assert_well_formed(answer)


def test_token_that_somebody_else_signed_is_refused(target: Target, image: Image) -> None:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = _key(target).public_key()
    claims = _claims()
    header, payload, signature = jwt.encode(claims, _key(target), "EdDSA", headers=_header(target)).split(".")
    changed = _base64url(json.dumps(_claims(sub="somebody")).encode())
    forged = [
        jwt.encode(claims, Ed25519PrivateKey.generate(), "EdDSA", headers=_header(target)),
        jwt.encode(claims, rsa_key, "RS256", headers=_header(target)),
        jwt.encode(claims, "", "none", headers=_header(target)),
        # The public key taken for a shared secret.
        jwt.encode(claims, own.public_bytes(Encoding.Raw, PublicFormat.Raw), "HS256", headers=_header(target)),
        f"{_HEADER_NONE}.{payload}.",
        f"{_HEADER_NONE}.{payload}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature}.{signature}",
        f"{header}.{changed}.{signature}",
        f"{header}.{payload}.{_base64url(bytes(64))}",
        f"{header}..{signature}",
        f"{header}.{payload}.{signature[:-4]}",
    ]
    for token in forged:
        assert_refused(_pull(target, image, token), 401, "UNAUTHORIZED")
    assert _pull(target, image, f"{header}.{payload}.{signature}").status == 200


# The token service.


def _token(target: Target, query: str, *, authorization: str | None = "") -> Answer:
    return target.ask("GET", f"/token?{query}", authorization=authorization)


def _access(answer: Answer) -> list[dict[str, Any]]:
    payload = answer.json["token"].split(".")[1]
    access: list[dict[str, Any]] = json.loads(base64.urlsafe_b64decode(payload + "==="))["access"]
    return access


@pytest.mark.parametrize(
    "scope", ["repository", "repository:", "repository:a", "::", ":", "a:b", "%3A", "repository::pull", "::pull", "a b"]
)
def test_scope_that_is_none_is_refused(target: Target, scope: str) -> None:
    assert_refused(_token(target, urlencode({"scope": scope})), 400, "UNSUPPORTED")


@pytest.mark.parametrize(
    "scope",
    [
        "repository:UPPER:pull",
        "repository:../../etc:pull",
        "repository:a//b:pull",
        "repository:a\x00:pull",
        "repository:\ufffd:pull",
        "repository:host:5000/a:pull",
        "repository:*:*",
        "repository:hostile/*:pull",
        "repository:" + "a" * 256 + ":pull",
        "repository:" + "a" * 40_000 + ":pull",
        "repository:a:",
        "repository:a:,,,",
        "repository:a:PULL",
        "repository:a:admin,root,sudo",
        "repository:a:" + ",".join(["x"] * 10_000),
        "registry:other:*",
        "registry:catalog/x:*",
        "Registry:catalog:*",
        "user:admin:*",
        "\ud83d\ude00:a:b".encode("utf-16", "surrogatepass").decode("utf-16"),
        ":::",
        "repository(:a:x",
        "",
        " ",
    ],
)
def test_scope_that_nobody_may_have_is_not_granted(target: Target, scope: str) -> None:
    answer = _token(target, urlencode({"scope": scope}))
    assert answer.status == 200, answer.body
    assert _access(answer) == []


def test_scopes_that_are_too_many_are_refused(target: Target) -> None:
    one = "repository:hostile/held:pull"
    for query in (
        urlencode({"scope": " ".join([one] * (TOKEN_NAMES_MAX + 1))}),
        urlencode([("scope", one)] * (TOKEN_NAMES_MAX + 1)),
        urlencode([("scope", "a")] * 3000),
        urlencode([("scope", f"{one} {one}")] * (TOKEN_NAMES_MAX // 2 + 1)),
    ):
        assert_refused(_token(target, query), 400, "UNSUPPORTED")


def test_token_for_as_many_names_as_a_query_can_have_is_of_use(target: Target, image: Image) -> None:
    names = [f"{number:03d}{'a' * 252}" for number in range(QUERY_NAMES_MAX - 1)]
    scopes = " ".join(f"repository:{name}:*" for name in [*names, image.repository])
    answer = _token(target, urlencode({"scope": scopes}))
    assert _pull(target, image, answer.json["token"]).status == 200


def test_token_for_nobody_is_of_no_use(target: Target, image: Image) -> None:
    answer = _token(target, f"scope=repository:{image.repository}:pull,push,delete", authorization=None)
    assert answer.status == 200
    assert _access(answer) == []
    assert_refused(_pull(target, image, answer.json["token"]), 401, "UNAUTHORIZED")
    assert_refused(target.ask("GET", "/v2/", authorization=f"Bearer {answer.json['token']}"), 401, "UNAUTHORIZED")


def test_token_is_not_traded_for_another(target: Target, image: Image) -> None:
    token = _token(target, f"scope=repository:{image.repository}:pull").json["token"]
    for authorization in (f"Bearer {token}", f"bearer  {token}"):
        answer = _token(target, f"scope=repository:{image.repository}:*", authorization=authorization)
        assert_refused(answer, 401, "UNAUTHORIZED")


def test_token_asked_for_offline_is_short_lived_all_the_same(target: Target) -> None:
    answer = _token(target, "offline_token=true&account=root&client_id=x&service=elsewhere&access_type=offline")
    assert answer.status == 200
    assert answer.json["expires_in"] <= 3600
    # What lives longer opens nothing by itself.
    refresh = answer.json["refresh_token"]
    assert_refused(target.ask("GET", "/v2/", authorization=f"Bearer {refresh}"), 401, "UNAUTHORIZED")
    basic = f"Basic {base64.b64encode(f'admin:{refresh}'.encode()).decode()}"
    assert_refused(target.ask("GET", "/v2/", authorization=basic), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    ("form", "status"),
    [
        (b"", 400),
        (b"&&&", 400),
        (b"\xff\xfe\x00", 400),
        (b"{}", 400),
        (b'{"grant_type": "password"}', 400),
        (b"grant_type=", 400),
        (b"grant_type=refresh_token&refresh_token=x", 401),
        (b"grant_type=authorization_code&code=x", 400),
        (b"grant_type=" + b"a" * 50_000, 400),
        (b"grant_type=%ff%00", 400),
        (b"grant_type=password&" * 3000, 400),
        (b"grant_type=password", 401),
        (b"grant_type=password&username=admin", 401),
        (b"grant_type=password&username=admin&password=", 401),
        (b"grant_type=password&username=admin&password=wrong", 401),
        (b"grant_type=password&username=%00&password=%00", 401),
        (b"grant_type=password&username=%ff&password=%ff", 401),
        (b"grant_type=password&username=%ed%a0%80&password=x", 401),
        (b"grant_type=password&username=" + b"a" * 30_000 + b"&password=" + b"b" * 30_000, 401),
        (b"grant_type=password&username=admin&username=root&password=wrong", 401),
        (b"a" * (512 * 1024 + 1), 413),
        (b"a=b&" * 1_000_000, 413),
    ],
)
def test_form_that_is_none_gets_no_token(target: Target, form: bytes, status: int) -> None:
    code = {400: "UNSUPPORTED", 401: "UNAUTHORIZED", 413: "SIZE_INVALID"}[status]
    for content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        answer = target.ask("POST", "/token", [("Content-Type", content_type)], form, authorization=None)
        assert_refused(answer, status, code)


def test_form_with_the_password_gets_no_more_than_asked(target: Target) -> None:
    form = {
        "grant_type": "password",
        "username": "admin",
        "password": target.server.password,
        "scope": "repository:hostile/held:pull repository:UPPER:pull",
        "access_type": "offline",
        "service": "elsewhere",
    }
    answer = target.ask("POST", "/token", body=urlencode(form).encode(), authorization=None)
    assert answer.status == 200
    assert answer.json["scope"] == "repository:hostile/held:pull"
    again = {
        "grant_type": "refresh_token",
        "refresh_token": answer.json["refresh_token"],
        "scope": "registry:catalog:*",
    }
    traded = target.ask("POST", "/token", body=urlencode(again).encode(), authorization=None)
    assert traded.status == 200
    assert traded.json["scope"] == "registry:catalog:*"


@pytest.mark.parametrize("value", ["\r\nX-Evil: 1", "<script>", "\x00", "\ud7ff", "a" * 20_000, "[]", "{{7*7}}"])
def test_token_service_asked_with_odd_words_answers_the_same(target: Target, value: str) -> None:
    query = urlencode({"service": value, "account": value, "client_id": value})
    answer = _token(target, query)
    assert answer.status == 200
    assert answer.header("x-evil") is None
    assert _access(answer) == []
