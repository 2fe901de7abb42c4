import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.access.errors import GrantInvalid
from entrepot.access.places import (
    NAMESPACE,
    PATTERN,
    REGISTRY,
    REPOSITORY,
    WILDCARDS_MAX,
    Place,
    expression,
    plain_expression,
)
from entrepot.oci.name import NAME_CHARACTERS_MAX
from tests.budgets import budget

PATHS = ("team", "team/a", "team/a/b", "team-a", "team-a/a", "team.a", "team0", "tea", "a/team", "teamteam")


@pytest.mark.parametrize(
    ("kind", "path", "covered"),
    [
        (REGISTRY, "", set(PATHS)),
        (NAMESPACE, "team", {"team", "team/a", "team/a/b"}),
        (NAMESPACE, "team/a", {"team/a", "team/a/b"}),
        (NAMESPACE, "team-a", {"team-a", "team-a/a"}),
        (REPOSITORY, "team", {"team"}),
        (REPOSITORY, "team/a", {"team/a"}),
        (PATTERN, "team", {"team"}),
        (PATTERN, "team.a", {"team.a"}),
        (PATTERN, "*", {"team", "team-a", "team.a", "team0", "tea", "teamteam"}),
        (PATTERN, "**", set(PATHS)),
        (PATTERN, "***", set(PATHS)),
        (PATTERN, "team/*", {"team/a"}),
        (PATTERN, "team/**", {"team/a", "team/a/b"}),
        (PATTERN, "team*", {"team", "team-a", "team.a", "team0", "teamteam"}),
        (PATTERN, "team**", set(PATHS) - {"tea", "a/team"}),
        (PATTERN, "*/a", {"team/a", "team-a/a"}),
        (PATTERN, "**/a", {"team/a", "team-a/a"}),
        (PATTERN, "**/*/**", {"team/a/b"}),
        (PATTERN, "*team", {"team", "teamteam"}),
        (PATTERN, "**team", {"team", "teamteam", "a/team"}),
    ],
)
def test_place_covers_what_is_in_it_and_no_neighbour(kind: str, path: str, covered: set[str]) -> None:
    place = Place.parse(kind, path)

    assert {name for name in PATHS if place.covers(name)} == covered


@pytest.mark.parametrize(("kind", "path"), [(NAMESPACE, "team"), (REPOSITORY, "team"), (PATTERN, "**")])
def test_registry_itself_is_in_no_smaller_place(kind: str, path: str) -> None:
    assert not Place.parse(kind, path).covers(None)
    assert Place.parse(REGISTRY, "").covers(None)


@pytest.mark.parametrize("kind", [NAMESPACE, REPOSITORY])
@pytest.mark.parametrize(
    "path", ["", "Team", "team//a", "../team", "team/", "te am", "team*", "team\n", "team\x00", "ä", "a" * 256, "%2e"]
)
def test_path_that_is_no_name_is_refused(kind: str, path: str) -> None:
    # A slash at the end is the way some write a namespace.
    if path == "team/":
        assert Place.parse(kind, path) == Place(kind, "team")
        return
    with pytest.raises(GrantInvalid):
        Place.parse(kind, path)


@pytest.mark.parametrize(
    "path",
    [
        *("", "Team/*", "team/(a|b)", "[a-z]", "a+", "a?", "^a", "a$", "\\a", "a{2}", "a b", "a\n", "ä*", "a" * 256),
        *("*a" * (WILDCARDS_MAX + 1), "**a" * (WILDCARDS_MAX + 1)),
    ],
)
def test_pattern_with_other_signs_is_refused(path: str) -> None:
    with pytest.raises(GrantInvalid):
        Place.parse(PATTERN, path)


@pytest.mark.parametrize(("kind", "path"), [(REGISTRY, "team"), ("project", "team"), ("", ""), ("REGISTRY", "")])
def test_place_of_no_kind_is_refused(kind: str, path: str) -> None:
    with pytest.raises(GrantInvalid):
        Place.parse(kind, path)


PATTERNS = st.lists(st.sampled_from(["a", "b", "ab", "/", ".", "-", "*", "**"]), min_size=1, max_size=12).map("".join)
NAMES = st.text("ab/.-", max_size=14)


@given(PATTERNS, NAMES)
@budget(600)
def test_expressions_match_what_the_pattern_says(pattern: str, name: str) -> None:
    expected = _matches(pattern, name)

    for text in (expression(pattern), plain_expression(pattern)):
        assert (re.search(text, name) is not None) == expected, text


@pytest.mark.parametrize(
    "pattern", ["**a" * 8, "*a" * 8, "**a*a" * 4, "a**" * 8, "*" * 8, "**" + "a" * 100 + "**" + "a" * 100 + "b"]
)
def test_pattern_with_many_wildcards_is_matched_in_a_bounded_number_of_steps(pattern: str) -> None:
    """It would take years if one way after another was tried: that this ends is what is tested."""
    place = Place.parse(PATTERN, pattern)
    for ending in ("b", "/", "a/b", ""):
        name = "a" * (NAME_CHARACTERS_MAX - len(ending)) + ending
        for _ in range(20):
            place.covers(name)


def _matches(pattern: str, name: str) -> bool:
    """By the definition: a table of which beginnings of the pattern match which beginnings of the name."""
    signs = re.findall(r"\*{2,}|.", pattern)
    reached = {(0, 0)}
    for i, j in product(range(len(signs) + 1), range(len(name) + 1)):
        if (i, j) not in reached:
            continue
        if i < len(signs) and signs[i].startswith("*"):
            reached.add((i + 1, j))
        if j == len(name) or i == len(signs):
            continue
        if signs[i] == name[j]:
            reached.add((i + 1, j + 1))
        elif signs[i].startswith("**") or (signs[i] == "*" and name[j] != "/"):
            reached.add((i, j + 1))
    return (len(signs), len(name)) in reached
