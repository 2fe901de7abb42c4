"""Which place is all in another one, and which path stands for it: what nobody can grant beyond."""

import pytest

from entrepot.access.places import NAMESPACE, PATTERN, REGISTRY, REPOSITORY, Place

EVERYTHING = Place(REGISTRY, "")


@pytest.mark.parametrize(
    ("pattern", "anchor"),
    [
        ("team/**", "team"),
        ("team/app-*", "team"),
        ("team/a/*/b", "team/a"),
        ("team/a*/b/**", "team"),
        ("team/app", "team"),
        ("team*", None),
        ("*/app", None),
        ("**", None),
        ("app", None),
        ("team//**", None),
        ("team/./**", None),
        ("../team/**", None),
        ("-team/**", None),
    ],
)
def test_pattern_is_anchored_at_the_namespace_that_all_of_it_is_in(pattern: str, anchor: str | None) -> None:
    assert Place.parse(PATTERN, pattern).anchor == anchor


@pytest.mark.parametrize(
    ("wide", "narrow", "includes"),
    [
        (EVERYTHING, EVERYTHING, True),
        (EVERYTHING, Place(PATTERN, "**"), True),
        (Place(PATTERN, "**"), EVERYTHING, False),
        (Place(PATTERN, "**"), Place(NAMESPACE, "a"), False),
        (Place(PATTERN, "**"), Place(PATTERN, "**"), True),
        (Place(PATTERN, "a/*"), Place(REPOSITORY, "a/b"), True),
        (Place(PATTERN, "a/*"), Place(REPOSITORY, "a/b/c"), False),
        (Place(PATTERN, "a/*"), Place(NAMESPACE, "a/b"), False),
        (Place(NAMESPACE, "a"), Place(NAMESPACE, "a/b"), True),
        (Place(NAMESPACE, "a"), Place(NAMESPACE, "ab"), False),
        (Place(NAMESPACE, "a/b"), Place(NAMESPACE, "a"), False),
        (Place(NAMESPACE, "a"), Place(REPOSITORY, "a"), True),
        (Place(NAMESPACE, "a"), Place(PATTERN, "a/**"), True),
        (Place(NAMESPACE, "a"), Place(PATTERN, "a/b*/**"), True),
        (Place(NAMESPACE, "a"), Place(PATTERN, "a*"), False),
        (Place(NAMESPACE, "a"), EVERYTHING, False),
        (Place(REPOSITORY, "a"), Place(REPOSITORY, "a"), True),
        (Place(REPOSITORY, "a"), Place(NAMESPACE, "a"), False),
        (Place(REPOSITORY, "a"), Place(PATTERN, "a/**"), False),
    ],
)
def test_place_includes_another(wide: Place, narrow: Place, includes: bool) -> None:
    assert wide.includes(narrow) is includes
