"""ArcSight Common Event Format, version 0. What is escaped in the header is not what is in the extension."""

import orjson
import pytest

from entrepot.audit.export import cef_line
from entrepot.audit.query import Found
from tests.unit.audit.chains import record


def line(**changes: object) -> str:
    return cef_line(Found(7, "ab" * 32, orjson.dumps(record(1, **changes)).decode()), "1.2|3")


def test_record_is_one_line_of_fields() -> None:
    assert line(detail=None, user_agent="docker/27.1", time="2026-11-25T10:00:00.123Z") == (
        "CEF:0|Entrepot|Entrepot|1.2\\|3|manifest:push|manifest push|3|"
        "externalId=7 rt=1795600800123 suser=local:alice act=manifest:push outcome=done "
        "requestClientApplication=docker/27.1 src=192.0.2.7 "
        "cs1=repository:team/app1 cs1Label=resource "
        f"cs2=sha256:{1:064x} cs2Label=digest cs3={1:032x} cs3Label=requestId cs5={'ab' * 32} cs5Label=hash"
    )


@pytest.mark.parametrize(
    ("text", "escaped"), [("a|b", "a\\|b"), ("a\\b", "a\\\\b"), ("a=b", "a=b"), ("a\nb", "a b"), ("a\r\nb", "a  b")]
)
def test_header_is_escaped(text: str, escaped: str) -> None:
    assert f"1.2\\|3|{escaped}|{escaped}|3|" in line(action=text)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("a|b", "a|b"), ("a\\b", "a\\\\b"), ("a=b", "a\\=b"), ("a\nb", "a\\nb"), ("a\r\nb", "a\\r\\nb"), ("ü", "ü")],
)
def test_extension_is_escaped(text: str, escaped: str) -> None:
    written = line(user_agent=text, reason=text)

    assert f"requestClientApplication={escaped} " in written
    assert f"reason={escaped} " in written
    assert "\n" not in written


def test_detail_is_json_and_escaped() -> None:
    assert 'cs6={"a":"x\\=y"} cs6Label=detail' in line(detail={"a": "x=y"})


def test_address_of_ipv6_has_its_own_field() -> None:
    written = line(address="2001:db8::1")

    assert "c6a2=2001:db8::1 c6a2Label=Source IPv6 Address" in written
    assert " src=" not in written


@pytest.mark.parametrize(("outcome", "severity"), [("done", 3), ("failed", 5), ("refused", 6), ("other", 5)])
def test_severity_is_that_of_the_outcome(outcome: str, severity: int) -> None:
    assert f"|{severity}|externalId" in line(outcome=outcome)
