"""How many entries a page has, and where the next one is."""

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import Invalid
from entrepot.http.pagination import PAGE_MAX, next_link, page_size
from tests.budgets import budget
from tests.unit.http.requests import request


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", PAGE_MAX),
        ("last=a", PAGE_MAX),
        ("n=", PAGE_MAX),
        ("n=0", 0),
        ("n=000", 0),
        ("n=1", 1),
        ("n=0000000000000000007", 7),
        (f"n={PAGE_MAX}", PAGE_MAX),
        (f"n={PAGE_MAX + 1}", PAGE_MAX),
        ("n=" + "9" * 5000, PAGE_MAX),
        ("n=1" + "0" * 5000, PAGE_MAX),
        ("n=3&n=4", 3),
    ],
    ids=lambda value: str(value)[:30],
)
def test_page_of_a_number_of_entries_has_as_many(query: str, expected: int) -> None:
    assert page_size(request(query=query)) == expected


@pytest.mark.parametrize("text", ["-1", "+1", "1.0", "a", "%20", "1%20", "0x1", "%C2%B2", "%D9%A3", "1_0", "1e3"])
def test_page_of_no_number_of_entries_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        page_size(request(query=f"n={text}"))


def test_link_to_the_next_page_leaves_out_what_is_not_given() -> None:
    assert next_link("/v2/_catalog", n=5, last="a/b", artifactType=None) == [
        (b"link", b'</v2/_catalog?n=5&last=a%2Fb>; rel="next"')
    ]


@given(st.text(st.characters(codec="utf-8"), max_size=30))
@budget(100)
def test_link_with_any_text_in_it_is_read_back(text: str) -> None:
    ((_, value),) = next_link("/list", last=text, n=1)
    target, _, relation = value.decode("ascii").partition(">")

    assert relation == '; rel="next"'
    assert parse_qs(urlsplit(target.removeprefix("<")).query, keep_blank_values=True) == {"last": [text], "n": ["1"]}
