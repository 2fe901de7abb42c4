"""What entries say: subjects, names, and whether an account may be used."""

import uuid
from datetime import UTC, datetime

import pytest

from entrepot.identity.ldap_entries import (
    Entry,
    account_problem,
    password_problem,
    primary_group_sid,
    subject,
    subject_value,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
GUID = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
PAST = "134000000000000000"  # 2025-08-18
FUTURE = "140000000000000000"  # 2044-08-24


def _entry(dn: str = "uid=alice,dc=test", **values: str | bytes | list[str]) -> Entry:
    attributes: dict[str, list[bytes]] = {}
    for name, value in values.items():
        several = value if isinstance(value, list) else [value]
        attributes[name.lower()] = [item if isinstance(item, bytes) else item.encode() for item in several]
    return Entry(dn, attributes)


def test_guid_is_written_as_people_do_and_found_by_its_bytes() -> None:
    text = subject(_entry(objectGUID=GUID.bytes_le), "objectGUID")

    assert text == str(GUID)
    assert subject_value(text, "objectGUID") == r"gE\23\01\ab\89\ef\cd\01\23Eg\89\ab\cd\ef"


@pytest.mark.parametrize("text", ["", "*", "no-guid", "*)(cn=x"])
def test_guid_that_is_none_finds_nothing(text: str) -> None:
    assert subject_value(text, "objectGUID") is None


@pytest.mark.parametrize("value", [b"", b"short", b"\xff\xfe"])
def test_subject_that_is_not_shown_as_it_should_be_is_none(value: bytes) -> None:
    assert subject(_entry(objectGUID=value), "objectGUID") == ""
    assert subject(_entry(), "entryUUID") == ""


def test_name_of_several_is_the_one_of_the_entry() -> None:
    values = ["zoe", "alice", "Bob"]

    assert _entry("uid=zoe,dc=test", uid=values).text("uid") == "zoe"
    assert _entry("UID=BOB,dc=test", uid=values).text("uid") == "Bob"
    assert _entry("cn=x,dc=test", uid=values).text("uid") == "Bob"
    assert _entry().text("uid") == ""


@pytest.mark.parametrize(
    ("attribute", "value", "problem"),
    [
        ("userAccountControl", "514", "disabled"),
        ("userAccountControl", "512", None),
        ("msDS-User-Account-Control-Computed", "16", None),
        ("msDS-User-Account-Control-Computed", "0", None),
        ("accountExpires", PAST, "account has expired"),
        ("accountExpires", FUTURE, None),
        ("accountExpires", "0", None),
        ("accountExpires", "9223372036854775807", None),
        ("accountExpires", "never", None),
        ("nsAccountLock", "TRUE", "disabled"),
        ("nsAccountLock", "false", None),
        ("pwdAccountLockedTime", "000001010000Z", "locked"),
        ("pwdAccountLockedTime", "20261125110000Z", None),
        ("shadowExpire", "1", "account has expired"),
        ("shadowExpire", "-1", None),
        ("shadowExpire", "99999", None),
    ],
)
def test_account_that_may_not_be_used_is_told(attribute: str, value: str, problem: str | None) -> None:
    told = account_problem(_entry(**{attribute: value}), NOW)

    assert (told is None) if problem is None else (told is not None and problem in told)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"pwdLastSet": "0"}, "must be changed"),
        ({"pwdLastSet": "0", "userAccountControl": str(0x200 | 0x10000)}, None),
        ({"pwdLastSet": PAST}, None),
        ({"pwdLastSet": PAST, "msDS-User-Account-Control-Computed": str(0x800000)}, "has expired"),
        ({"pwdLastSet": "0", "msDS-User-Account-Control-Computed": str(0x800000)}, "must be changed"),
        ({"msDS-User-Account-Control-Computed": "16"}, "locked"),
        ({}, None),
    ],
)
def test_password_that_has_to_be_changed_is_told(values: dict[str, str], problem: str | None) -> None:
    told = password_problem(_entry(**values))

    assert (told is None) if problem is None else (told is not None and problem in told)


def test_primary_group_has_the_sid_of_the_account_but_for_the_end() -> None:
    sid = bytes.fromhex("0105000000000005150000000102030405060708090a0b0c51040000")

    assert primary_group_sid(_entry(objectSid=sid, primaryGroupID="513")) == sid[:-4] + bytes.fromhex("01020000")
    for values in ({}, {"objectSid": sid}, {"primaryGroupID": "513"}, {"objectSid": sid, "primaryGroupID": "-1"}):
        assert primary_group_sid(_entry(**values)) is None
