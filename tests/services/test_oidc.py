"""Signing in at a real OpenID provider: in the browser, on a device, and out again; and what is refused."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from entrepot.clock import system_clock
from entrepot.identity.errors import CredentialsInvalid, ProviderUnavailable, TokenInvalid
from entrepot.identity.external import ExternalUser
from entrepot.identity.issuers import Issuer
from entrepot.identity.oidc import LOGOUT_AGE_SECONDS_MAX, LOGOUT_EVENT, RelyingParty, SignedIn, Waiting
from entrepot.outbound.client import Outbound
from entrepot.settings import OIDCProvider as Settings
from tests.peers.oidc_provider import CONFIDENTIAL, POSTING, PUBLIC, Client, OIDCProvider

pytestmark = pytest.mark.anyio

REGISTRY = "http://127.0.0.1:5000"
REDIRECT_URI = f"{REGISTRY}/auth/sso/callback"
ADA = ExternalUser("0001", "ada", "Ada Lovelace", "ada@example.test", ("developers", "Alle Büros"))


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OIDCProvider]:
    with OIDCProvider(tmp_path_factory.mktemp("oidc"), REGISTRY) as started:
        yield started


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound()
    yield client
    await client.close()


def party(outbound: Outbound, provider: OIDCProvider, client: Client = CONFIDENTIAL, **options: Any) -> RelyingParty:
    settings = Settings(
        name="sso",
        type="oidc",
        issuer=provider.issuer,
        client_id=client.client_id,
        **{"client_secret": client.secret, "scopes": ("openid", "profile", "email", "groups"), **options},
    )
    return RelyingParty(settings, Issuer(outbound, system_clock, provider.issuer), outbound, system_clock)


@pytest.fixture
def relying(outbound: Outbound, provider: OIDCProvider) -> RelyingParty:
    return party(outbound, provider)


async def answer(relying: RelyingParty, provider: OIDCProvider, subject: str = "0001") -> dict[str, str]:
    """What the browser of somebody brings back, with what was kept meanwhile."""
    started = await relying.start(REDIRECT_URI, "the state")
    with provider.browser() as browser:
        back = provider.sign_in(browser, started.url, subject)
    location = back.headers["location"]
    assert location.startswith(REDIRECT_URI), location
    query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
    assert query["state"] == "the state"
    return {"code": query["code"], "iss": query["iss"], "verifier": started.verifier, "nonce": started.nonce}


async def finish(relying: RelyingParty, brought: dict[str, str]) -> SignedIn:
    return await relying.finish(
        REDIRECT_URI, brought["code"], brought["verifier"], brought["nonce"], brought.get("iss")
    )


@pytest.mark.parametrize("client", [CONFIDENTIAL, PUBLIC], ids=["confidential", "public"])
async def test_person_signs_in_with_groups(outbound: Outbound, provider: OIDCProvider, client: Client) -> None:
    relying = party(outbound, provider, client)

    signed_in = await finish(relying, await answer(relying, provider))

    assert signed_in.user == ADA
    assert signed_in.id_token.count(".") == 2


async def test_person_signs_in_at_a_provider_that_wants_the_secret_in_the_form(
    outbound: Outbound, tmp_path: Path
) -> None:
    secret_file = tmp_path / "secret"
    secret_file.write_text(f"{POSTING.secret}\n")
    options: dict[str, Any] = {"client_authentication": ["client_secret_post"]}
    with OIDCProvider(tmp_path, REGISTRY, clients=[POSTING], **options) as provider:
        relying = party(outbound, provider, POSTING, client_secret="", client_secret_file=secret_file)

        assert (await finish(relying, await answer(relying, provider))).user == ADA


async def test_groups_and_name_are_asked_for_where_the_id_token_lacks_them(outbound: Outbound, tmp_path: Path) -> None:
    with OIDCProvider(tmp_path, REGISTRY, claims_only_in_userinfo=True) as provider:
        relying = party(outbound, provider)

        assert (await finish(relying, await answer(relying, provider))).user == ADA
        assert provider.requests("/me") == 1


async def test_person_without_groups_has_none(relying: RelyingParty, provider: OIDCProvider) -> None:
    assert (await finish(relying, await answer(relying, provider, "0002"))).user.groups == ()


async def test_name_is_the_claim_of_the_settings(outbound: Outbound, provider: OIDCProvider) -> None:
    relying = party(outbound, provider, name_claim="email")
    assert (await finish(relying, await answer(relying, provider))).user.name == "ada@example.test"
    relying = party(outbound, provider, name_claim="not_there")
    assert (await finish(relying, await answer(relying, provider))).user.name == "0001"
    relying = party(outbound, provider, name_claim="name")
    with pytest.raises(TokenInvalid, match="user's name"):
        await finish(relying, await answer(relying, provider))


async def test_code_is_taken_once(relying: RelyingParty, provider: OIDCProvider) -> None:
    brought = await answer(relying, provider)
    await finish(relying, brought)

    with pytest.raises(CredentialsInvalid, match="invalid_grant"):
        await finish(relying, brought)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"nonce": "another"}, TokenInvalid),
        ({"verifier": "another-verifier-of-enough-characters-0123456789"}, CredentialsInvalid),
        ({"code": "another"}, CredentialsInvalid),
        ({"code": ""}, CredentialsInvalid),
        ({"iss": "https://another.example"}, CredentialsInvalid),
    ],
    ids=str,
)
async def test_answer_that_is_not_of_this_login_is_refused(
    relying: RelyingParty, provider: OIDCProvider, change: dict[str, str], error: type[Exception]
) -> None:
    brought = {**await answer(relying, provider), **change}

    with pytest.raises(error):
        await finish(relying, brought)


async def test_answer_that_does_not_say_whose_it_is_is_refused(relying: RelyingParty, provider: OIDCProvider) -> None:
    """Where the provider is known to say so always."""
    brought = await answer(relying, provider)
    del brought["iss"]

    with pytest.raises(CredentialsInvalid, match="another provider"):
        await finish(relying, brought)


async def test_client_with_a_wrong_secret_is_the_operators_problem(outbound: Outbound, provider: OIDCProvider) -> None:
    relying = party(outbound, provider, replace(CONFIDENTIAL, secret="wrong"))

    with pytest.raises(ProviderUnavailable, match="client's settings") as refused:
        await finish(relying, await answer(relying, provider))
    assert "wrong" not in str(refused.value)


async def test_provider_that_is_down_is_unavailable(outbound: Outbound, tmp_path: Path) -> None:
    with OIDCProvider(tmp_path, REGISTRY) as provider:
        relying = party(outbound, provider)
        brought = await answer(relying, provider)

    with pytest.raises(ProviderUnavailable) as refused:
        await finish(relying, brought)
    assert brought["code"] not in str(refused.value)


@pytest.mark.parametrize("client", [CONFIDENTIAL, PUBLIC], ids=["confidential", "public"])
async def test_person_signs_in_on_a_device(outbound: Outbound, provider: OIDCProvider, client: Client) -> None:
    relying = party(outbound, provider, client)
    shown = await relying.start_device()

    assert await relying.poll_device(shown.device_code) is Waiting.PENDING
    with provider.browser() as browser:
        provider.approve_device(browser, shown.verification_uri_complete)
    signed_in = await relying.poll_device(shown.device_code)

    assert isinstance(signed_in, SignedIn)
    assert signed_in.user == ADA
    with pytest.raises(CredentialsInvalid):
        await relying.poll_device(shown.device_code)


async def test_login_on_a_device_that_is_refused_is_over(relying: RelyingParty, provider: OIDCProvider) -> None:
    shown = await relying.start_device()
    with provider.browser() as browser:
        provider.refuse_device(browser, shown.verification_uri_complete)

    with pytest.raises(CredentialsInvalid, match="access_denied"):
        await relying.poll_device(shown.device_code)


async def test_login_on_a_device_that_takes_too_long_is_over(outbound: Outbound, tmp_path: Path) -> None:
    with OIDCProvider(tmp_path, REGISTRY, device_seconds=1) as provider:
        relying = party(outbound, provider)
        shown = await relying.start_device()
        assert shown.expires_in == 1

        async def wait_for_the_end() -> None:
            while await relying.poll_device(shown.device_code) is Waiting.PENDING:
                await asyncio.sleep(0.1)

        with pytest.raises(CredentialsInvalid, match="too long"):
            await wait_for_the_end()


async def test_person_signs_out_at_the_provider_too(relying: RelyingParty, provider: OIDCProvider) -> None:
    started = await relying.start(REDIRECT_URI, "the state")
    with provider.browser() as browser:
        back = provider.sign_in(browser, started.url)
        query = parse_qs(urlsplit(back.headers["location"]).query)
        signed_in = await relying.finish(
            REDIRECT_URI, query["code"][0], started.verifier, started.nonce, query["iss"][0]
        )
        again = provider.sign_in(browser, (await relying.start(REDIRECT_URI, "again")).url, subject="0002")
        assert "code=" in again.headers["location"], "the provider knows who it is"

        url = await relying.logout_url(signed_in.id_token, f"{REGISTRY}/")
        assert url is not None
        assert provider.sign_in(browser, url).headers["location"] == f"{REGISTRY}/"

        third = await relying.start(REDIRECT_URI, "third")
        back = provider.sign_in(browser, third.url, subject="0002")
        query = parse_qs(urlsplit(back.headers["location"]).query)
        other = await relying.finish(REDIRECT_URI, query["code"][0], third.verifier, third.nonce, query["iss"][0])
        assert other.user.name == "ben"


def logout_claims(**changes: object) -> dict[str, object]:
    valid: dict[str, object] = {
        "aud": CONFIDENTIAL.client_id,
        "sub": "0001",
        "sid": "session",
        "jti": "1",
        "events": {LOGOUT_EVENT: {}},
    }
    return {name: value for name, value in {**valid, **changes}.items() if value is not ...}


@pytest.mark.parametrize("kind", ["logout+jwt", "JWT"])
async def test_logout_token_names_who_is_signed_out(relying: RelyingParty, provider: OIDCProvider, kind: str) -> None:
    logout = await relying.logout(provider.mint(logout_claims(), head={"typ": kind}))
    assert (logout.subject, logout.session) == ("0001", "session")

    everywhere = await relying.logout(provider.mint(logout_claims(sid=...)))
    assert (everywhere.subject, everywhere.session) == ("0001", "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"events": ...}, "not for logging out"),
        ({"events": {}}, "not for logging out"),
        ({"events": [LOGOUT_EVENT]}, "not for logging out"),
        ({"nonce": "n"}, "not for logging out"),
        ({"jti": ...}, "jti"),
        ({"sub": ..., "sid": ...}, "neither"),
        ({"sid": 5}, "neither"),
        ({"aud": "another"}, "audience"),
        ({"iat": int(time()) - LOGOUT_AGE_SECONDS_MAX - 60}, "too old"),
        ({"exp": int(time()) - 3600}, "expired"),
    ],
    ids=("no event", "other event", "list", "nonce", "no jti", "nobody", "number", "audience", "old", "expired"),
)
async def test_logout_token_that_is_none_is_refused(
    relying: RelyingParty, provider: OIDCProvider, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(TokenInvalid, match=message):
        await relying.logout(provider.mint(logout_claims(**changes)))


async def test_id_token_signs_nobody_out(relying: RelyingParty, provider: OIDCProvider) -> None:
    signed_in = await finish(relying, await answer(relying, provider))

    with pytest.raises(TokenInvalid, match="not for logging out"):
        await relying.logout(signed_in.id_token)
