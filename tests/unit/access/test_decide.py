"""May X do Y: every combination there is."""

from itertools import product

import pytest

from entrepot.access.decide import allowed, within_scopes
from entrepot.access.permissions import REPOSITORY_PERMISSIONS, Permission
from entrepot.principal import ANONYMOUS, Principal, Scope

PING, CATALOG = Permission.REGISTRY_PING, Permission.REGISTRY_CATALOG
PULL, PUSH, DELETE = REPOSITORY_PERMISSIONS


@pytest.mark.parametrize(("permission", "public"), list(product(Permission, [False, True])))
def test_administrator_of_the_registry_may_everything(permission: Permission, public: bool) -> None:
    assert allowed(permission, signed_in=True, administrator=True, public=public)


@pytest.mark.parametrize(
    ("permission", "private_may", "public_may"),
    [
        (Permission.PUBLIC, True, True),
        (PING, True, True),
        (CATALOG, False, False),
        (PULL, False, True),
        (PUSH, False, False),
        (DELETE, False, False),
    ],
)
def test_user_who_is_signed_in_may_pull_what_is_public(
    permission: Permission, private_may: bool, public_may: bool
) -> None:
    assert allowed(permission, signed_in=True, administrator=False, public=False) is private_may
    assert allowed(permission, signed_in=True, administrator=False, public=True) is public_may


@pytest.mark.parametrize(
    ("permission", "private_may", "public_may"),
    [
        (Permission.PUBLIC, True, True),
        (PING, False, False),
        (CATALOG, False, False),
        (PULL, False, True),
        (PUSH, False, False),
        (DELETE, False, False),
    ],
)
def test_anonymous_of_the_registry_may_pull_what_is_public(
    permission: Permission, private_may: bool, public_may: bool
) -> None:
    assert allowed(permission, signed_in=False, administrator=False, public=False) is private_may
    assert allowed(permission, signed_in=False, administrator=False, public=True) is public_may


@pytest.mark.parametrize("permission", Permission)
def test_credentials_without_scopes_reach_everywhere(permission: Permission) -> None:
    assert within_scopes(ANONYMOUS, permission, "a/b")
    assert within_scopes(Principal("local", "admin"), permission, None)


@pytest.mark.parametrize("permission", Permission)
def test_credentials_with_no_scope_reach_only_what_names_nothing(permission: Permission) -> None:
    assert within_scopes(_token(), permission, "a/b") is (permission in {Permission.PUBLIC, PING})


@pytest.mark.parametrize(
    ("scope", "reached"),
    [
        (("repository", "a/b", "pull"), {PULL}),
        (("repository", "a/b", "push"), {PUSH}),
        (("repository", "a/b", "pull", "push"), {PULL, PUSH}),
        (("repository", "a/b", "delete"), {DELETE}),
        (("repository", "a/b", "*"), {PULL, PUSH, DELETE}),
        (("repository", "a/b"), set()),
        (("repository", "a/b", "PULL"), set()),
        (("repository", "a", "*"), set()),
        (("repository", "a/b/c", "*"), set()),
        (("repository", "", "*"), set()),
        (("repository", "*", "*"), set()),
        (("repository", "catalog", "*"), set()),
        (("registry", "a/b", "*"), set()),
        (("registry", "catalog", "*"), {CATALOG}),
    ],
)
def test_scope_of_a_token_reaches_what_it_names(scope: tuple[str, ...], reached: set[Permission]) -> None:
    type_, name, *actions = scope
    token = _token(Scope(type_, name, frozenset(actions)))

    assert {permission for permission in Permission if within_scopes(token, permission, "a/b")} == {
        *reached,
        Permission.PUBLIC,
        PING,
    }


def test_scopes_of_a_token_do_not_mix() -> None:
    token = _token(Scope("repository", "a", frozenset({"pull"})), Scope("repository", "b", frozenset({"push"})))

    assert within_scopes(token, PULL, "a")
    assert within_scopes(token, PUSH, "b")
    assert not within_scopes(token, PUSH, "a")
    assert not within_scopes(token, PULL, "b")


def test_scope_without_a_name_does_not_reach_a_request_without_a_repository() -> None:
    assert not within_scopes(_token(Scope("repository", "", frozenset({"*"}))), PULL, None)


@pytest.mark.parametrize(
    ("permission", "action"), list(zip(REPOSITORY_PERMISSIONS, ["pull", "push", "delete"], strict=True))
)
def test_action_of_a_permission_is_that_of_the_protocol(permission: Permission, action: str) -> None:
    assert permission.action == action


def _token(*scopes: Scope) -> Principal:
    return Principal("local", "admin", scopes)
