"""What issuers publish, from a real provider: asked for once, remembered, and asked again when keys change."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps
from pathlib import Path
from threading import Thread
from time import time

import pytest

from entrepot.identity import assertions
from entrepot.identity.assertions import Assertion
from entrepot.identity.errors import ProviderUnavailable, TokenInvalid
from entrepot.identity.issuers import FRESH_MS, REFETCH_MS_MIN, STALE_MS_MAX, Issuer, parse_metadata
from entrepot.outbound.client import Outbound
from tests.peers import oidc_provider
from tests.peers.certificate import Certificate
from tests.peers.oidc_provider import new_keys
from tests.peers.process import free_port

pytestmark = pytest.mark.anyio

AUDIENCE = "registry"
LONG_SECONDS = 48 * 3600
"""Longer than what a test moves its clock by."""


class MovableClock:
    def __init__(self) -> None:
        self.moved_ms = 0

    def __call__(self) -> int:
        return int(time() * 1000) + self.moved_ms


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound()
    yield client
    await client.close()


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[oidc_provider.OIDCProvider]:
    with oidc_provider.OIDCProvider(tmp_path, "http://127.0.0.1:5000") as started:
        yield started


@pytest.fixture
def issuer(outbound: Outbound, clock: MovableClock, provider: oidc_provider.OIDCProvider) -> Issuer:
    return Issuer(outbound, clock, provider.issuer)


async def verify(issuer: Issuer, token: str) -> Assertion:
    return await assertions.verify(issuer, token, [AUDIENCE], int(time()))


def claims(**more: object) -> dict[str, object]:
    return {"aud": AUDIENCE, "sub": "job", "exp": int(time()) + LONG_SECONDS, **more}


@pytest.mark.parametrize("kid", ["rsa", "ec", "ed"])
async def test_token_of_the_provider_is_verified(
    issuer: Issuer, provider: oidc_provider.OIDCProvider, kid: str
) -> None:
    assertion = await verify(issuer, provider.mint(claims(repository="acme/app"), kid))

    assert assertion.issuer == provider.issuer
    assert assertion.claims["repository"] == "acme/app"


async def test_token_of_a_stranger_is_refused(issuer: Issuer, provider: oidc_provider.OIDCProvider) -> None:
    with pytest.raises(TokenInvalid, match="signature"):
        await verify(issuer, new_keys()[0].sign({**claims(), "iss": provider.issuer}))
    with pytest.raises(TokenInvalid, match="another audience"):
        await verify(issuer, provider.mint(claims(aud="another")))
    with pytest.raises(TokenInvalid, match="another issuer"):
        await verify(issuer, provider.mint(claims(iss="https://another.example")))


async def test_keys_are_fetched_once_for_all_who_wait(issuer: Issuer, provider: oidc_provider.OIDCProvider) -> None:
    token = provider.mint(claims())

    await asyncio.gather(*(verify(issuer, token) for _ in range(30)))

    assert provider.requests("/jwks") == 1
    assert provider.requests("/.well-known/openid-configuration") == 1


async def test_flood_of_unknown_keys_does_not_reach_the_provider(
    issuer: Issuer, provider: oidc_provider.OIDCProvider, clock: MovableClock
) -> None:
    stranger = new_keys()[1]
    forged = [stranger.sign({**claims(), "iss": provider.issuer}, kid=f"unknown-{number}") for number in range(50)]

    async def flood() -> None:
        results = await asyncio.gather(*(verify(issuer, token) for token in forged), return_exceptions=True)
        assert {type(result) for result in results} == {TokenInvalid}

    await flood()
    assert provider.requests("/jwks") == 1
    clock.moved_ms += REFETCH_MS_MIN
    await flood()
    assert provider.requests("/jwks") == 2
    assert (await verify(issuer, provider.mint(claims()))).subject == "job"


async def test_key_that_is_new_is_found(
    issuer: Issuer, provider: oidc_provider.OIDCProvider, clock: MovableClock
) -> None:
    await verify(issuer, provider.mint(claims()))
    provider.stop()
    withdrawn, provider.keys = provider.keys[0], new_keys("-2")
    provider.start()

    clock.moved_ms += REFETCH_MS_MIN
    assert (await verify(issuer, provider.mint(claims(), "rsa-2"))).subject == "job"
    with pytest.raises(TokenInvalid, match="key"):
        await verify(issuer, withdrawn.sign({**claims(), "iss": provider.issuer}))


async def test_provider_that_is_down_is_done_without_for_a_while(
    issuer: Issuer, provider: oidc_provider.OIDCProvider, clock: MovableClock
) -> None:
    token = provider.mint(claims())
    await verify(issuer, token)
    provider.stop()

    clock.moved_ms += FRESH_MS + 1000
    assert (await verify(issuer, token)).subject == "job"
    clock.moved_ms = STALE_MS_MAX + 1000
    with pytest.raises(ProviderUnavailable):
        await verify(issuer, token)
    provider.start()
    with pytest.raises(ProviderUnavailable):
        await verify(issuer, token)
    clock.moved_ms += REFETCH_MS_MIN
    assert (await verify(issuer, token)).subject == "job"


async def test_provider_that_never_answered_is_unavailable(outbound: Outbound, clock: MovableClock) -> None:
    with pytest.raises(ProviderUnavailable):
        await Issuer(outbound, clock, f"http://127.0.0.1:{free_port()}").metadata()


@pytest.mark.parametrize("change", [("127.0.0.1", "localhost"), ("http://127.0.0.1", "http://127.0.0.1/")])
async def test_document_of_another_issuer_is_refused(
    outbound: Outbound, clock: MovableClock, provider: oidc_provider.OIDCProvider, change: tuple[str, str]
) -> None:
    url = provider.issuer.replace(*change) if change[0] == "127.0.0.1" else provider.issuer + "/"

    with pytest.raises(ProviderUnavailable, match="another issuer"):
        await Issuer(outbound, clock, url).metadata()


async def test_keys_of_a_cluster_are_read_from_a_file(outbound: Outbound, clock: MovableClock, tmp_path: Path) -> None:
    old, new = new_keys(), new_keys("-2")
    path = tmp_path / "jwks.json"
    path.write_text(dumps({"keys": [key.public for key in old]}))
    issuer = Issuer(outbound, clock, "https://kubernetes.default.svc", jwks_file=path)
    token = {**claims(), "iss": "https://kubernetes.default.svc"}

    assert (await verify(issuer, old[0].sign(token))).subject == "job"
    path.write_text(dumps({"keys": [key.public for key in new]}))
    clock.moved_ms += REFETCH_MS_MIN
    assert (await verify(issuer, new[0].sign(token))).subject == "job"
    path.write_text("nonsense")
    clock.moved_ms += STALE_MS_MAX + 1000
    with pytest.raises(ProviderUnavailable):
        await verify(issuer, new[0].sign(token))


async def test_keys_of_a_cluster_are_fetched_with_its_authority_and_a_token(
    outbound: Outbound, clock: MovableClock, certificate: Certificate, tmp_path: Path
) -> None:
    keys = new_keys()
    credentials = tmp_path / "token"
    credentials.write_text("right\n")
    token = keys[0].sign({**claims(), "iss": "https://kubernetes.default.svc"})
    with cluster(certificate, dumps({"keys": [key.public for key in keys]}).encode()) as url:

        def issuer(ca_file: Path | None) -> Issuer:
            return Issuer(
                outbound,
                clock,
                "https://kubernetes.default.svc",
                ca_file=ca_file,
                jwks_url=f"{url}/openid/v1/jwks",
                token_file=credentials,
            )

        assert (await verify(issuer(certificate.certificate), token)).subject == "job"
        with pytest.raises(ProviderUnavailable):
            await verify(issuer(None), token)
        credentials.write_text("wrong")
        with pytest.raises(ProviderUnavailable, match="401"):
            await verify(issuer(certificate.certificate), token)


SECURE = {"issuer": "https://i.example", "jwks_uri": "https://i.example/jwks"}


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        dumps({**SECURE, "issuer": "https://i.example/"}),
        dumps({"issuer": "https://i.example"}),
        dumps({**SECURE, "jwks_uri": "http://i.example/jwks"}),
        dumps({**SECURE, "jwks_uri": "file:///etc/passwd"}),
        dumps({**SECURE, "token_endpoint": "http://i.example/token"}),
        dumps({**SECURE, "token_endpoint": ["https://i.example/token"]}),
        dumps({**SECURE, "authorization_endpoint": "javascript:alert(1)"}),
    ],
)
async def test_document_that_cannot_be_used_is_refused(document: str) -> None:
    with pytest.raises(ProviderUnavailable):
        parse_metadata(document, "https://i.example")


class cluster:  # noqa: N801 (a context manager)
    """A server with a key set that wants the token `right`, as a cluster does without anonymous access."""

    def __init__(self, certificate: Certificate, body: bytes) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                right = self.headers["authorization"] == "Bearer right"
                self.send_response(200 if right else 401)
                self.end_headers()
                self.wfile.write(body if right else b"")

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def __enter__(self) -> str:
        self.thread = Thread(target=self.server.serve_forever)
        self.thread.start()
        return f"https://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
