"""What a token may be limited to."""

import pytest

from entrepot.access import limits
from entrepot.access.permissions import GRANTABLE, UNGRANTED
from entrepot.errors import Invalid
from entrepot.principal import Limit


@pytest.mark.parametrize("permission", sorted(permission.value for permission in GRANTABLE))
def test_limit_to_anything_that_can_be_granted(permission: str) -> None:
    assert limits.parse([permission], "registry", "") == Limit(frozenset({permission}), "registry", "")


def test_limit_to_everything_in_a_place() -> None:
    assert limits.parse(["*"], "namespace", "/team/") == Limit(frozenset({"*"}), "namespace", "team")
    assert limits.parse(["*"], "pattern", "team/*").path == "team/*"


@pytest.mark.parametrize("permission", [*sorted(p.value for p in UNGRANTED), "", "repository", "repository:*", "**"])
def test_limit_to_no_permission_is_refused(permission: str) -> None:
    with pytest.raises(Invalid):
        limits.parse(["repository:pull", permission], "registry", "")


@pytest.mark.parametrize(
    ("permissions", "kind", "path"),
    [
        ([], "registry", ""),
        (["*"], "registry", "team"),
        (["*"], "namespace", ""),
        (["*"], "repository", "Team"),
        (["*"], "galaxy", "team"),
        (["user:write"], "namespace", "team"),
        (["repository:pull", "group:read"], "repository", "team/app"),
    ],
)
def test_limit_to_what_reaches_nothing_is_refused(permissions: list[str], kind: str, path: str) -> None:
    with pytest.raises(Invalid):
        limits.parse(permissions, kind, path)
