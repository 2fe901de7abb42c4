"""Sends messages to a syslog receiver over TLS (RFC 5425) or TCP (RFC 6587), framed by counting octets.

Syslog has no acknowledgements. What is sent on a connection counts as received when the receiver, told that nothing
more comes, ends the connection in its turn: it has read everything by then. So each batch has a connection of its own.
"""

import socket
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from entrepot.errors import Invalid, Unavailable

CONNECT_SECONDS = 5.0
SEND_SECONDS = 15.0
"""How long a whole batch may take, from the connection to the receiver's end of it."""
TLS, TCP = "tls", "tcp"
PORTS = {TLS: 6514, TCP: 601}
_READ_BYTES = 4096


class SyslogUnavailable(Unavailable):
    """The receiver does not answer, is not trusted, or did not say that it has read everything."""

    code = "syslog_unavailable"


def send(url: str, messages: Iterable[bytes], ca_file: Path | None = None) -> None:
    """Return when the receiver has read the messages. Blocks. Raises SyslogUnavailable, Invalid."""
    scheme, host, port = _address(url)
    framed = b"".join(b"%d %b" % (len(message), message) for message in messages)
    deadline = time.monotonic() + SEND_SECONDS
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS) as plain:
            if scheme == TLS:
                _send_by_tls(plain, host, framed, ca_file, deadline)
            else:
                plain.settimeout(_left(deadline))
                plain.sendall(framed)
                plain.shutdown(socket.SHUT_WR)
                _read_to_end(plain, deadline)
    except ssl.SSLCertVerificationError as error:
        raise SyslogUnavailable(f"the certificate of {host} is not trusted: {error.verify_message}") from error
    except OSError as error:
        raise SyslogUnavailable(f"{host} does not accept records: {error.strerror or error}") from error


def _send_by_tls(plain: socket.socket, host: str, framed: bytes, ca_file: Path | None, deadline: float) -> None:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with context.wrap_socket(plain, server_hostname=host) as secured:
        secured.settimeout(_left(deadline))
        secured.sendall(framed)
        secured.settimeout(_left(deadline))
        try:
            secured.unwrap()
        except ssl.SSLEOFError:
            # The end of the connection without TLS's own, as rsyslog does. Somebody on the way could do that as well,
            # and take a batch away: the receiver then misses its numbers.
            return


def _read_to_end(plain: socket.socket, deadline: float) -> None:
    while True:
        plain.settimeout(_left(deadline))
        if not plain.recv(_READ_BYTES):
            return


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _address(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in PORTS or not parts.hostname or port == 0:
        raise Invalid(
            "audit.syslog_url is not the address of a syslog receiver: write tls://host:6514 or tcp://host:601"
        )
    return parts.scheme, parts.hostname, port or PORTS[parts.scheme]
