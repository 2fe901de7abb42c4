"""Which namespace a robot belongs to."""

import pytest

from entrepot.access.places import Place
from entrepot.actions.manage import robots
from entrepot.errors import Invalid


@pytest.mark.parametrize(
    ("name", "namespace"), [("team/ci", "team"), ("team/deep/ci", "team/deep"), ("tokens/ci", "tokens")]
)
def test_robot_belongs_to_what_is_above_it(name: str, namespace: str) -> None:
    assert robots.namespace_of(name) == Place("namespace", namespace)


@pytest.mark.parametrize("name", ["ci", "tokens"])
def test_robot_with_nothing_above_it_belongs_to_the_registry(name: str) -> None:
    assert robots.namespace_of(name) == Place("registry", "")


@pytest.mark.parametrize(
    "name", ["", "/", "/ci", "team/", "team//ci", "Team/ci", "team/ci\n", "team/tokens", "a/trust-rules/b", "a" * 256]
)
def test_name_that_belongs_nowhere_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        robots.namespace_of(name)
