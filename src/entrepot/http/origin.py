"""Where a request comes from, also behind proxies."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

ADDRESSES_MAX = 20
"""Entries of X-Forwarded-For that are looked at, from the nearest."""


def client_address(peer: str, forwarded_for: str | None, trusted: tuple[str, ...]) -> str:
    """The address of the client: the nearest one that is no trusted proxy's, as far as they say (RFC 7239, 5.2)."""
    if forwarded_for is None:
        return _one_spelling(peer)
    parsed = _address(peer)
    if parsed is not None:
        hops = map(str.strip, reversed(forwarded_for.split(",")[-ADDRESSES_MAX:]))
        while _is_in(parsed, trusted) and (before := _address(next(hops, ""))) is not None:
            parsed = before
    return peer if parsed is None else str(parsed)


@lru_cache(maxsize=1000)
def _one_spelling(peer: str) -> str:
    parsed = _address(peer)
    return peer if parsed is None else str(parsed)


def is_trusted(address: str, trusted: tuple[str, ...]) -> bool:
    parsed = _address(address)
    return parsed is not None and _is_in(parsed, trusted)


def _is_in(address: IPv4Address | IPv6Address, trusted: tuple[str, ...]) -> bool:
    return any(address in network for network in _networks(trusted))


@lru_cache(maxsize=8)
def _networks(trusted: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(network) for network in trusted)


@lru_cache(maxsize=1000)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """None for what is none. What an IPv6 socket makes of an IPv4 address is that address."""
    try:
        # A zone (`%eth0`) means something to the other side only, and may be any text.
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed
