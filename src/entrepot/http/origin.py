"""Where a request comes from, also behind proxies."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

ADDRESSES_MAX = 20
"""Entries of X-Forwarded-For that are looked at, from the nearest."""


def client_address(peer: str, forwarded_for: str | None, trusted: tuple[str, ...]) -> str:
    """The address of the client: the nearest one that is no trusted proxy's, as far as they say (RFC 7239, 5.2)."""
    address = peer
    if not trusted or forwarded_for is None or not is_trusted(peer, trusted):
        return address
    for hop in map(str.strip, reversed(forwarded_for.split(",")[-ADDRESSES_MAX:])):
        if not _is_address(hop):
            return address
        address = hop
        if not is_trusted(hop, trusted):
            return address
    return address


def is_trusted(address: str, trusted: tuple[str, ...]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in _networks(trusted))


@lru_cache(maxsize=8)
def _networks(trusted: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(network) for network in trusted)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
