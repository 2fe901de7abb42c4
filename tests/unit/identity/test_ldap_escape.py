"""What a user typed is a value in filters and distinguished names, and never more."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.operation.search import compile_filter, parse_filter
from ldap3.utils.dn import parse_dn

from entrepot.identity.ldap_escape import NAME_CHARACTERS_MAX, escaped, filled, is_name

ATTACKS = [
    "*",
    ")(uid=*",
    "*)(uid=*))(|(uid=*",
    "\\",
    "\\2a",
    "\0",
    "x\0y",
    " x ",
    "#x",
    "a,ou=b",
    "a+cn=b",
    'a"b',
    "<a;b=c>",
    "{name}",
    "{dn}",
    "ü✓",
    "\ud800",
    "",
]


def _unescaped(text: str) -> bytes:
    return re.sub(rb"\\([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode())


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("value", ATTACKS)
def test_value_that_is_an_attack_is_escaped(value: str) -> None:
    text = escaped(value)

    assert not set(text) & set('*()\0,+"<>;=# {}')
    assert _unescaped(text) == _bytes(value)


@given(st.text(min_size=1) | st.sampled_from(ATTACKS[:-1]))
def test_value_of_any_text_is_one_assertion_of_a_filter(value: str) -> None:
    query = filled("(&(uid={name})(x=y))", name=value)

    sent = compile_filter(parse_filter(query, None, False, False, None, False).elements[0])

    assert [item.getName() for item in sent["and"]] == ["equalityMatch"] * 2
    assertion = sent["and"][0]["equalityMatch"]
    assert str(assertion["attributeDesc"]) == "uid"
    assert bytes(assertion["assertionValue"]) == _bytes(value)


@given(st.text(min_size=1) | st.sampled_from(ATTACKS[:-1]))
def test_value_of_any_text_is_one_part_of_a_distinguished_name(value: str) -> None:
    parts = parse_dn(filled("uid={name},ou=people,dc=test", name=value))

    assert [(attribute, joint) for attribute, _, joint in parts] == [("uid", ","), ("ou", ","), ("dc", "")]
    assert _unescaped(parts[0][1]) == _bytes(value)


@given(st.binary())
def test_value_of_any_bytes_is_kept(value: bytes) -> None:
    assert _unescaped(escaped(value)) == value


def test_placeholders_in_values_are_not_filled() -> None:
    assert filled("{name}/{dn}", name="{dn}", dn="{name}") == r"\7bdn\7d/\7bname\7d"


@pytest.mark.parametrize(
    "name", ["alice", "Ångström", "a b", "x@example.test", "(x)*", "李", "x" * NAME_CHARACTERS_MAX]
)
def test_name_that_people_have_is_asked_for(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " alice",
        "alice ",
        "a  b",
        "a\tb",
        "a\nb",
        "alice\0",
        "ali\u00adce",
        "ali\u200bce",
        "\uff41lice",
        "e\u0301",
        "\ud800",
        "\u202ealice",
        "x" * (NAME_CHARACTERS_MAX + 1),
    ],
)
def test_name_that_directories_would_change_is_not_asked_for(name: str) -> None:
    assert not is_name(name)
