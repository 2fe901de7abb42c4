"""Repository names, tags, and which of tag and digest a reference is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, NameInvalid, TagInvalid
from entrepot.oci.name import NAME_CHARACTERS_MAX, RepositoryName, Tag, is_repository_name, parse_reference
from tests.budgets import budget

SHA256 = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "0",
        "alpine",
        "library/alpine",
        "a/b/c/d/e/f/g",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a----b",
        "a-b_c.d__e",
        "blobs/uploads",
        "manifests",
        "a" * NAME_CHARACTERS_MAX,
        "a/" * 127 + "a",
    ],
)
def test_name_when_valid_keeps_its_text(text: str) -> None:
    assert is_repository_name(text)
    assert RepositoryName.parse(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "A",
        "team/Alpine",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a.",
        "a..b",
        "a___b",
        "_a",
        "a_",
        "-a",
        "a-",
        "a._b",
        "a.-b",
        "..",
        "a/../b",
        "a b",
        "a\n",
        "a\x00",
        "a:b",
        "a@b",
        "a%2fb",
        "é",
        "a\u0663",
        "a" * (NAME_CHARACTERS_MAX + 1),
    ],
)
def test_name_when_not_valid_is_refused(text: str) -> None:
    assert not is_repository_name(text)
    with pytest.raises(NameInvalid) as refusal:
        RepositoryName.parse(text)

    assert refusal.value.detail == {"name": text[:NAME_CHARACTERS_MAX]}


def test_ancestors_of_a_name_are_nearest_first() -> None:
    assert RepositoryName.parse("a/b/c").ancestors() == ("a/b/c", "a/b", "a", "")


@given(st.from_regex(r"[a-z0-9]{1,4}(?:[._/-][a-z0-9]{1,4}){0,6}", fullmatch=True))
@budget(100)
def test_ancestors_of_any_name_are_paths_above_it(text: str) -> None:
    name = RepositoryName.parse(text)
    ancestors = name.ancestors()

    assert ancestors[0] == text
    assert ancestors[-1] == ""
    assert len(ancestors) == text.count("/") + 2
    assert all(text == above or text.startswith(f"{above}/") for above in ancestors[:-1])


@pytest.mark.parametrize("text", ["a", "A", "0", "_", "latest", "v1.2.3", "A-b_c.D", "a" * 128, "sha256-" + "0" * 64])
def test_tag_when_valid_keeps_its_text(text: str) -> None:
    assert Tag.parse(text) == text
    assert parse_reference(text) == Tag(text)


@pytest.mark.parametrize(
    "text", ["", ".a", "-a", "a" * 129, "a b", "a/b", "a:b", "a+b", "a\n", "a\x00", "é", "%61", "a@sha256"]
)
def test_tag_when_not_valid_is_refused(text: str) -> None:
    with pytest.raises(TagInvalid):
        Tag.parse(text)


@pytest.mark.parametrize(
    ("text", "is_fallback"),
    [
        ("sha256-" + "0" * 64, True),
        ("sha512-" + "a" * 64, True),
        ("sha512-" + "a" * 121, False),
        ("sha256-" + "0" * 63, False),
        ("sha256-" + "A" * 64, False),
        ("sha256-" + "0" * 64 + ".sig", False),
        ("latest", False),
    ],
)
def test_tag_of_the_referrers_schema_is_told_from_others(text: str, is_fallback: bool) -> None:
    assert Tag.parse(text).is_referrers_fallback is is_fallback


def test_reference_with_a_colon_is_a_digest() -> None:
    assert type(parse_reference(SHA256)) is Digest
    with pytest.raises(DigestInvalid):
        parse_reference("latest:1")


def test_reference_without_a_colon_is_a_tag() -> None:
    assert type(parse_reference("latest")) is Tag
    with pytest.raises(TagInvalid):
        parse_reference("not a tag")


@given(st.text(max_size=300))
@budget(100)
def test_reference_of_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        assert parse_reference(text) == text
    except (DigestInvalid, TagInvalid):
        pass
