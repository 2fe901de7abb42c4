"""How far credentials reach, whatever their owner may do."""

import pytest

from entrepot.access.credentials import within_limits, within_scopes
from entrepot.access.permissions import GRANTABLE, REPOSITORY_PERMISSIONS, Permission
from entrepot.principal import ANONYMOUS, Limit, Principal, Scope

CATALOG = Permission.REGISTRY_CATALOG
PULL, PUSH, DELETE = REPOSITORY_PERMISSIONS


@pytest.mark.parametrize("permission", Permission)
def test_credentials_without_scopes_reach_everywhere(permission: Permission) -> None:
    assert within_scopes(ANONYMOUS, permission, "a/b")
    assert within_scopes(Principal("local", "admin"), permission, None)


@pytest.mark.parametrize("permission", Permission)
def test_credentials_with_no_scope_reach_only_what_names_nothing(permission: Permission) -> None:
    assert within_scopes(_token(), permission, "a/b") is (
        permission in {Permission.PUBLIC, Permission.SIGNED_IN, Permission.API_DOCUMENT}
    )


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
        Permission.SIGNED_IN,
        Permission.API_DOCUMENT,
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


EVERY = frozenset({"*"})


def _limited(*limits: Limit) -> Principal:
    return Principal("local", "dev", limits=limits)


@pytest.mark.parametrize("permission", sorted(GRANTABLE, key=str))
def test_token_without_limits_reaches_as_far_as_its_owner(permission: Permission) -> None:
    assert within_limits(Principal("local", "dev"), permission, "a/b")


@pytest.mark.parametrize("permission", sorted(GRANTABLE, key=str))
def test_token_with_no_limit_left_reaches_nothing(permission: Permission) -> None:
    assert not within_limits(_limited(), permission, "a/b")


@pytest.mark.parametrize(
    ("limit", "path", "reaches"),
    [
        (Limit(EVERY, "registry", ""), "a/b", True),
        (Limit(EVERY, "namespace", "a"), "a/b", True),
        (Limit(EVERY, "namespace", "a"), "a", True),
        (Limit(EVERY, "namespace", "a"), "ab", False),
        (Limit(EVERY, "namespace", "a/b"), "a", False),
        (Limit(EVERY, "repository", "a/b"), "a/b", True),
        (Limit(EVERY, "repository", "a/b"), "a/b/c", False),
        (Limit(EVERY, "pattern", "a/*"), "a/b", True),
        (Limit(EVERY, "pattern", "a/*"), "a/b/c", False),
        (Limit(EVERY, "pattern", "a/**"), "a/b/c", True),
        (Limit(frozenset({"repository:push"}), "registry", ""), "a/b", False),
        (Limit(frozenset({"repository:pull"}), "registry", ""), "a/b", True),
    ],
)
def test_limit_of_a_token_reaches_what_it_names(limit: Limit, path: str, reaches: bool) -> None:
    assert within_limits(_limited(limit), PULL, path) is reaches


def test_token_with_limits_never_reaches_its_owners_account() -> None:
    assert not within_limits(_limited(Limit(EVERY, "registry", "")), Permission.OWN_ACCOUNT, None)


def test_token_for_a_namespace_does_not_reach_what_is_the_registrys() -> None:
    assert not within_limits(_limited(Limit(EVERY, "namespace", "a")), Permission.USER_WRITE, "a")


def test_bearer_token_reaches_no_further_than_the_token_it_was_got_with() -> None:
    scope = Scope("repository", "a/b", frozenset({"pull", "push"}))
    bearer = Principal("local", "dev", (scope,), limits=(Limit(frozenset({"repository:pull"}), "registry", ""),))

    def reaches(permission: Permission, path: str) -> bool:
        return within_scopes(bearer, permission, path) and within_limits(bearer, permission, path)

    assert reaches(PULL, "a/b")
    assert not reaches(PUSH, "a/b")
    assert not reaches(PULL, "a/c")
