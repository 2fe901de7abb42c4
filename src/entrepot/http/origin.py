"""Where a request comes from and what address it was made to, also behind proxies."""

import re
import string
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

ADDRESSES_MAX = 20
"""Entries of X-Forwarded-For that are looked at, from the nearest."""
_HOST_CHARACTERS = frozenset(string.ascii_letters + string.digits + ".-:[]_")
_FORWARDED = re.compile(r"""(?:^|[;,])\s*(proto|host)=(?:"([^"\\]*)"|([^\s;,"]*))""", re.ASCII | re.IGNORECASE)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


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


def forwarded_url(scheme: str, host: str, header: Callable[[bytes], str | None]) -> str:
    """The address that the client used, as a trusted proxy says (RFC 7239, `X-Forwarded-Proto`, `-Host`, `-Port`).

    Of several proxies the first says it, which is the client's. Who lies here is told a wrong address, and nobody else.
    """
    said = {
        name.lower(): quoted or plain
        for name, quoted, plain in reversed(_FORWARDED.findall(header(b"forwarded") or ""))
    }
    proto = _first(header(b"x-forwarded-proto")) or said.get("proto", "")
    scheme = proto.lower() if proto.lower() in _DEFAULT_PORTS else scheme
    host = _first(header(b"x-forwarded-host")) or said.get("host", "") or host
    port = _first(header(b"x-forwarded-port"))
    if port.isdecimal() and port != _DEFAULT_PORTS.get(scheme) and not re.search(r":\d+$", host):
        host = f"{host}:{port}"
    return url(scheme, host)


def url(scheme: str, host: str) -> str:
    """Without whatever no host consists of: the text goes back into quoted headers."""
    return f"{scheme}://{''.join(character for character in host if character in _HOST_CHARACTERS)}"


def _first(text: str | None) -> str:
    return (text or "").partition(",")[0].strip()


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
