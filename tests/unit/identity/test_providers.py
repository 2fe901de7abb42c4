"""What each kind of provider can do, by its settings."""

from pathlib import Path
from typing import get_args

import pytest

from entrepot.clock import system_clock
from entrepot.identity.errors import ProviderUnknown
from entrepot.identity.providers import KINDS, Providers, open_providers
from entrepot.outbound.client import Outbound
from entrepot.settings import (
    CertificateProvider,
    KubernetesProvider,
    LDAPProvider,
    OIDCProvider,
    ProviderSettings,
)
from tests.peers.certificate import self_signed


@pytest.fixture
def providers(tmp_path: Path) -> Providers:
    settings = (
        LDAPProvider(
            name="corp",
            type="ldap",
            urls=("ldaps://ldap.example",),
            user_bind="uid={name},dc=example,dc=test",
            user_base="dc=example,dc=test",
        ),
        OIDCProvider(name="sso", type="oidc", issuer="https://sso.example/realm", client_id="registry"),
        OIDCProvider(name="github", type="oidc", issuer="https://ci.example", sign_in_again_days=7),
        KubernetesProvider(name="cluster", type="kubernetes", issuer="https://k.example", audience="registry"),
        CertificateProvider(name="mtls", type="certificate", ca_file=self_signed(tmp_path).certificate),
    )
    return open_providers(settings, Outbound(), system_clock)


def test_every_kind_of_settings_has_a_row() -> None:
    assert set(KINDS) == set(get_args(get_args(ProviderSettings)[0]))


def test_provider_can_do_what_its_kind_can(providers: Providers) -> None:
    assert [one.name for one in providers] == ["corp", "sso", "github", "cluster", "mtls"]
    assert [one.name for one in providers.directories] == ["corp"]
    assert [one.name for one in providers.authorities] == ["mtls"]
    assert [one.name for one in providers if one.relying_party is not None] == ["sso"]
    issuers = {one.name: one.issuer.url for one in providers if one.issuer is not None}
    assert issuers == {
        "sso": "https://sso.example/realm",
        "github": "https://ci.example",
        "cluster": "https://k.example",
    }
    assert [one.name for one in providers if one.trusted_by_rules] == ["sso", "github"]
    assert [one.name for one in providers if one.token_users is not None] == ["cluster"]


def test_only_providers_that_are_never_asked_have_people_sign_in_again(providers: Providers) -> None:
    days = {name: providers.sign_in_again_days(name) for name in ("corp", "sso", "github", "cluster", "mtls", "local")}

    assert days == {"corp": 0, "sso": 30, "github": 7, "cluster": 0, "mtls": 30, "local": 0}


def test_people_sign_in_by_providers_that_know_this_registry(providers: Providers) -> None:
    assert providers.relying_party("sso").origin == "https://sso.example"
    for name in ("github", "corp", "local", "nobody"):
        with pytest.raises(ProviderUnknown):
            providers.relying_party(name)
