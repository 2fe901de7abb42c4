"""Which bytes of a blob are asked for (RFC 9110, section 14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import BadRange
from entrepot.http.streaming import RANGES_MAX, RangeOutside, Span, _spans
from tests.budgets import budget
from tests.unit.http.requests import request

ETAG = '"sha256:abc"'
SIZE = 100
HUGE = "9" * 5000


def spans(text: str, size: int = SIZE, **headers: str) -> list[Span] | None:
    return _spans(request(headers={"range": text, **headers}), size, ETAG)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-99", [(0, 100)]),
        ("bytes=0-100", [(0, 100)]),
        ("bytes=10-19", [(10, 20)]),
        ("bytes=99-", [(99, 100)]),
        ("bytes=0-", [(0, 100)]),
        ("bytes=-1", [(99, 100)]),
        ("bytes=-100", [(0, 100)]),
        ("bytes=-101", [(0, 100)]),
        (f"bytes=-{HUGE}", [(0, 100)]),
        (f"bytes=50-{HUGE}", [(50, 100)]),
        ("bytes=000-0001", [(0, 2)]),
        ("bytes= 1 - 2 ", [(1, 3)]),
        ("bytes=0-1,4-5", [(0, 2), (4, 6)]),
        ("bytes=4-5, 0-1", [(4, 6), (0, 2)]),
        ("bytes=0-1,200-300", [(0, 2)]),
        ("bytes=-0,0-1", [(0, 2)]),
        ("bytes=0-49,50-99", [(0, 100)]),
        ("bytes=0-50,50-99", [(0, 100)]),
        ("bytes=0-,0-", [(0, 100)]),
        ("bytes=90-99,0-9,50-95,8-8", [(50, 100), (0, 10)]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_range_inside_of_the_blob_is_a_span(text: str, expected: list[Span]) -> None:
    assert spans(text) == expected


@pytest.mark.parametrize(
    "text",
    ["bytes=100-", "bytes=100-200", "bytes=-0", f"bytes={HUGE}-", f"bytes={HUGE}-{HUGE}", "bytes=5-4", "bytes=-0,200-"],
    ids=lambda value: str(value)[:30],
)
def test_range_outside_of_the_blob_is_refused(text: str) -> None:
    with pytest.raises(RangeOutside) as refusal:
        spans(text)

    assert refusal.value.size == SIZE


@pytest.mark.parametrize("text", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_range_of_an_empty_blob_is_not_looked_at(text: str) -> None:
    assert spans(text, 0) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0-1",
        "items=0-1",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=0-1,",
        "bytes=0-1,x",
        "bytes=0--1",
        "bytes=+0-1",
        "bytes=0x0-1",
        "bytes=1",
        "bytes=\xb2-\xb3",
    ],
)
def test_range_that_is_none_is_not_looked_at(text: str) -> None:
    assert spans(text) is None


def test_ranges_up_to_the_limit_are_spans() -> None:
    def text(count: int) -> str:
        return "bytes=" + ",".join(f"{2 * position}-{2 * position}" for position in range(count))

    assert len(spans(text(RANGES_MAX), 10_000) or []) == RANGES_MAX
    assert spans(text(RANGES_MAX + 1), 10_000) is None


def test_range_without_the_header_is_the_whole() -> None:
    assert _spans(request(), SIZE, ETAG) is None


@pytest.mark.parametrize(
    ("known", "expected"), [(ETAG, [(0, 1)]), ('"another"', None), (f"W/{ETAG}", None), ("Tue, 01 Jan 2030", None)]
)
def test_range_if_unchanged_needs_the_same_content(known: str, expected: list[Span] | None) -> None:
    assert spans("bytes=0-0", **{"if-range": known}) == expected


@given(st.text(st.sampled_from("0123456789-, =a\t"), max_size=40), st.integers(0, 60))
@budget(300)
def test_range_of_any_text_is_spans_inside_of_the_blob(text: str, size: int) -> None:
    try:
        found = spans(f"bytes={text}", size)
    except BadRange:
        return
    if found is not None:
        assert found
        assert all(0 <= start < end <= size for start, end in found)
        assert sum(end - start for start, end in found) <= size
