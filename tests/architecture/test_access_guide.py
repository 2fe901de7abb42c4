"""The guide to access says what is so: roles are as they are in the program, and its examples do what it says."""

import re

import pytest

from entrepot.access import conditions
from entrepot.access.permissions import GRANTABLE
from entrepot.access.places import PATTERN, Place
from entrepot.access.roles import ADMINISTRATOR, BUILT_IN
from tests.architecture.program import ROOT

GUIDE = (ROOT / "docs/guide/access.md").read_text(encoding="utf-8")


def _table(title: str) -> list[list[str]]:
    """The cells of the table with this first column."""
    lines = GUIDE.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {title} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def _code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_roles_in_the_guide_are_those_that_are_built_in() -> None:
    expected = [
        [f"`{role.name}`", " ".join(sorted(f"`{permission.value}`" for permission in role.permissions))]
        for role in BUILT_IN.values()
        if role.name != ADMINISTRATOR
    ]
    assert BUILT_IN[ADMINISTRATOR].permissions == GRANTABLE
    assert _table("role") == [*expected, [f"`{ADMINISTRATOR}`", "everything"]]


@pytest.mark.parametrize("row", _table("pattern"), ids=lambda row: row[0])
def test_patterns_in_the_guide_cover_what_it_says(row: list[str]) -> None:
    place = Place.parse(PATTERN, _code(row[0])[0])

    assert [path for path in _code(row[1]) if not place.covers(path)] == []
    assert [path for path in _code(row[2]) if place.covers(path)] == []


@pytest.mark.parametrize("row", _table("condition"), ids=lambda row: row[0])
def test_conditions_in_the_guide_are_accepted(row: list[str]) -> None:
    conditions.check(_code(row[0])[0])


def test_variables_of_conditions_are_all_in_the_guide() -> None:
    assert [name for name in conditions.VARIABLES.split(", ") if f"`{name}`" not in GUIDE] == []
