"""A login in a browser is finished with its own cookie, and with no other."""

import pytest

from entrepot.content import uploads
from entrepot.identity import browser_logins, sealing
from entrepot.identity.browser_logins import SEALED_CHARACTERS_MAX, BrowserLogin
from entrepot.oci.name import RepositoryName
from entrepot.principal import Principal

KEY = b"k" * 32
NOW_MS = 1_800_000_000_000
LOGIN = BrowserLogin("n" * 43, "v" * 43, "https://registry.example/auth/sso/callback", '/a?b="c"', NOW_MS + 600_000)


def test_login_comes_back_until_it_took_too_long() -> None:
    sealed = browser_logins.seal(KEY, "sso", "state", LOGIN)

    assert browser_logins.unseal(KEY, "sso", "state", sealed, LOGIN.expires_at_ms - 1) == LOGIN
    assert browser_logins.unseal(KEY, "sso", "state", sealed, LOGIN.expires_at_ms) is None


@pytest.mark.parametrize(("provider", "state"), [("other", "state"), ("sso", "other"), ("sso", ""), ("sso\nstate", "")])
def test_cookie_of_another_login_is_refused(provider: str, state: str) -> None:
    sealed = browser_logins.seal(KEY, "sso", "state", LOGIN)

    assert browser_logins.unseal(KEY, provider, state, sealed, NOW_MS) is None


def test_what_was_sealed_for_something_else_is_refused() -> None:
    repository = RepositoryName.parse("acme/app")
    _, address = uploads.start(KEY, repository, Principal("local", "alice", user_id=7), "sha256", LOGIN.expires_at_ms)
    parts = (LOGIN.nonce, LOGIN.verifier, LOGIN.redirect_uri, LOGIN.return_to, str(LOGIN.expires_at_ms))
    other = sealing.seal(KEY, "something else", "\n".join(parts).encode())

    assert browser_logins.unseal(KEY, "sso", "state", address, NOW_MS) is None
    assert browser_logins.unseal(KEY, "sso", "state", other, NOW_MS) is None


def test_longest_login_fits_into_a_cookie() -> None:
    longest = BrowserLogin("n" * 43, "v" * 43, "r" * 500, "/" + "t" * 999, LOGIN.expires_at_ms)
    sealed = browser_logins.seal(KEY, "s" * 32, "s" * 43, longest)

    assert len(sealed) < 2500
    assert browser_logins.unseal(KEY, "s" * 32, "s" * 43, sealed, NOW_MS) == longest
    assert browser_logins.unseal(KEY, "s" * 32, "s" * 43, "A" * SEALED_CHARACTERS_MAX * 2, NOW_MS) is None
