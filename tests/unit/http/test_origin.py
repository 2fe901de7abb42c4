import re
from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.http.origin import ADDRESSES_MAX, client_address, forwarded_url, is_trusted
from tests.budgets import budget

PROXIES = ("10.0.0.0/8", "fd00::/8")
PROXY = "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        (PROXY, None, PROXY),
        (PROXY, "", PROXY),
        (PROXY, "198.51.100.1", "198.51.100.1"),
        (PROXY, " 198.51.100.1 ", "198.51.100.1"),
        (PROXY, "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (PROXY, "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (PROXY, "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (PROXY, "unknown", PROXY),
        (PROXY, "198.51.100.1, unknown", PROXY),
        (PROXY, "198.51.100.1, unknown, 10.0.0.2", "10.0.0.2"),
        (PROXY, "198.51.100.1,", PROXY),
        (PROXY, "2001:DB8:0:0::1", "2001:db8::1"),
        (PROXY, "::ffff:198.51.100.1", "198.51.100.1"),
        (PROXY, "2001:db8::1%eth0", "2001:db8::1"),
        (PROXY, "2001:db8::1%" + "x" * 5000, "2001:db8::1"),
        (PROXY, "198.51.100.001", PROXY),
        (PROXY, "3325256705", PROXY),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "198.51.100.1", "198.51.100.1"),
        ("", "198.51.100.1", ""),
        ("/run/registry.sock", "198.51.100.1", "/run/registry.sock"),
    ],
)
def test_client_is_the_nearest_that_is_no_trusted_proxy(peer: str, forwarded_for: str | None, expected: str) -> None:
    assert client_address(peer, forwarded_for, PROXIES) == expected


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert client_address(PROXY, "198.51.100.1", ()) == PROXY
    assert not is_trusted(PROXY, ())


def test_not_all_of_a_long_list_is_looked_at() -> None:
    hops = ", ".join(["198.51.100.1"] + ["10.0.0.2"] * ADDRESSES_MAX)

    assert client_address(PROXY, hops, PROXIES) == "10.0.0.2"


URLS = [
    ({}, "http://registry:5000"),
    ({"x-forwarded-proto": "https"}, "https://registry:5000"),
    ({"x-forwarded-proto": "HTTPS", "x-forwarded-host": "hub.example"}, "https://hub.example"),
    ({"x-forwarded-proto": "https, http", "x-forwarded-host": "hub.example, inner"}, "https://hub.example"),
    (
        {"x-forwarded-proto": "https", "x-forwarded-host": "hub.example", "x-forwarded-port": "8443"},
        "https://hub.example:8443",
    ),
    (
        {"x-forwarded-proto": "https", "x-forwarded-host": "hub.example", "x-forwarded-port": "443"},
        "https://hub.example",
    ),
    ({"x-forwarded-host": "hub.example:81", "x-forwarded-port": "82"}, "http://hub.example:81"),
    ({"x-forwarded-host": "[2001:db8::1]", "x-forwarded-port": "82"}, "http://[2001:db8::1]:82"),
    (
        {"forwarded": "for=192.0.2.1;proto=https;host=hub.example, for=10.0.0.1;proto=http;host=inner"},
        "https://hub.example",
    ),
    ({"forwarded": 'for="[2001:db8::1]:4711"; Proto=https; host="hub.example:8443"'}, "https://hub.example:8443"),
    ({"forwarded": "for=192.0.2.1"}, "http://registry:5000"),
    ({"x-forwarded-proto": "gopher", "x-forwarded-port": "x"}, "http://registry:5000"),
    ({"x-forwarded-host": 'evil",scope="x\r\n'}, "http://evil"),
]


@pytest.mark.parametrize(("headers", "expected"), URLS)
def test_address_is_what_a_trusted_proxy_says(headers: dict[str, str], expected: str) -> None:
    assert forwarded_url("http", "registry:5000", lambda name: headers.get(name.decode())) == expected


@given(
    st.dictionaries(
        st.sampled_from(["forwarded", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"]), st.text()
    )
)
@budget(300)
def test_any_headers_lead_to_an_address_without_quotes(headers: dict[str, str]) -> None:
    found = forwarded_url("http", "registry:5000", lambda name: headers.get(name.decode()))

    assert re.fullmatch(r"https?://[A-Za-z0-9.:_\[\]-]*", found, re.ASCII)


ADDRESSES = st.ip_addresses().map(str)
HOPS = st.lists(ADDRESSES | st.text("0123456789abcdef.:%[]x ", max_size=20) | st.just("unknown"), max_size=30)


@given(HOPS, st.ip_addresses(v=4).filter(lambda address: not is_trusted(str(address), PROXIES)))
@budget(300)
def test_client_behind_a_proxy_cannot_choose_its_address(given_hops: list[str], client: IPv4Address) -> None:
    """Whatever it sends, the proxy adds the address that it sees."""
    assert client_address(PROXY, ",".join([*given_hops, str(client)]), PROXIES) == str(client)


@given(st.text(max_size=200))
@budget(300)
def test_any_header_leads_to_an_address(text: str) -> None:
    ip_address(client_address(PROXY, text, PROXIES))
