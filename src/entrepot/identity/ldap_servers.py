"""Connections to directory servers: encryption, time limits, pools, fail-over. Knows nothing of users and groups.

The only module that knows ldap3. All of it blocks: it runs in threads. A password is handed to ldap3 for the one
request and taken from it again, for ldap3 shows passwords in its representations; and of its errors only what is known
to be harmless is told.
"""

import logging
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import ldap3
from ldap3.core.exceptions import LDAPException, LDAPSocketOpenError
from ldap3.operation.search import compile_filter, parse_filter

from entrepot.identity.errors import ProviderUnavailable
from entrepot.identity.ldap_answers import ANOTHER_SERVER_MAY, BindAnswer, Code, Refused, policy_error
from entrepot.identity.ldap_entries import Entry
from entrepot.settings import LDAPProvider, SettingsInvalid

REST_SECONDS = 30.0
"""How long a server that failed is left alone while others answer."""
RETRY_SECONDS = 2.0
"""How long a server that failed is left alone when no other answers either."""
IDLE_SECONDS_MAX = 120.0
"""Older idle connections are not used again: firewalls forget connections without telling."""
PAGE_ENTRIES = 500
"""Entries for one page of an answer; Active Directory gives no more than 1000 at a time."""
SECRET_CHARACTERS_MAX = 4096
PASSWORD_POLICY_CONTROL = "1.3.6.1.4.1.42.2.27.8.5.1"  # noqa: S105
PAGED_RESULTS_CONTROL = "1.2.840.113556.1.4.319"

# What ldap3 raises when a server is gone, silent, or does not speak LDAP.
_BROKEN = (LDAPException, OSError, ValueError, LookupError, TypeError, AttributeError)

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class ServerFailed(Exception):
    """This server cannot be used now; another one may. The message is for the operator.

    `worn`: the connection was an old one and may only have been at its end. `lasting`: trying soon again does harm.
    """

    def __init__(self, message: str, *, worn: bool = False, lasting: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.worn = worn
        self.lasting = lasting


class BoundAs(Enum):
    """Whom a pooled connection is bound as."""

    SERVICE = "service"
    USER = "user"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """`complete` is False when the server had more entries than were asked for."""

    entries: list[Entry]
    complete: bool


class _Encryption(ldap3.Tls):  # type: ignore[misc]
    """Hands the handshake to the standard library, which checks the name and the chain, and keeps why it failed."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        super().__init__(validate=context.verify_mode)
        self._context = context
        self._host = host
        self.failure: Exception | None = None

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        try:
            connection.socket = self._context.wrap_socket(
                connection.socket, server_hostname=self._host, do_handshake_on_connect=do_handshake
            )
        except (OSError, ValueError) as error:
            self.failure = error
            raise


class Line:
    """One connection to a server."""

    def __init__(self, server: "Server", role: BoundAs) -> None:
        self.role = role
        self.used_at = time.monotonic()
        self.worn = False
        self._server = server
        self._encryption = _Encryption(server.context, server.host)
        peer = ldap3.Server(
            server.host,
            port=server.port,
            use_ssl=server.encrypted,
            tls=self._encryption,
            get_info=ldap3.NONE,
            connect_timeout=server.timeout_seconds,
        )
        self._connection = ldap3.Connection(
            peer,
            client_strategy=ldap3.SYNC,
            auto_referrals=False,
            auto_range=False,
            check_names=False,
            auto_escape=False,
            read_only=True,
            receive_timeout=server.timeout_seconds,
        )

    def open(self) -> None:
        """Connect, and encrypt. Raises ServerFailed."""
        with self._failures("connecting"):
            self._connection.open(read_server_info=False)
            if self._server.start_tls:
                self._connection.start_tls(read_server_info=False)
        self._require_encryption()

    def bind(self, dn: str, password: str) -> BindAnswer:
        """Say who asks from now on. Raises ServerFailed."""
        connection = self._connection
        # ldap3 would open a connection that has ended again, by itself and without StartTLS.
        self._require_encryption()
        with self._failures("a bind"):
            connection.user, connection.authentication = dn, ldap3.SIMPLE
            connection.password = password.encode()
            try:
                connection.bind(read_server_info=False, controls=[(PASSWORD_POLICY_CONTROL, False, None)])
                result = connection.result
            finally:
                connection.password = connection.request = None
            answer = BindAnswer(result["result"], result.get("message") or "", _policy(result))
        if answer.code in ANOTHER_SERVER_MAY:
            raise ServerFailed(f"{self._server.url} is busy or shutting down (result {answer.code})")
        return answer

    def search(self, base: str, query: str, attributes: Sequence[str], *, entries_max: int) -> SearchResult:
        """Entries below `base`; not more than `entries_max`. Raises Refused, ServerFailed."""
        found: list[Entry] = []
        cookie: bytes | None = None
        while True:
            # A page more than is wanted shows that there is more.
            page = min(PAGE_ENTRIES, entries_max + 1 - len(found))
            with self._failures("a search"):
                self._connection.search(
                    base,
                    query,
                    dereference_aliases=ldap3.DEREF_NEVER,
                    attributes=list(attributes),
                    time_limit=self._server.timeout_seconds,
                    paged_size=page,
                    paged_cookie=cookie,
                )
                result = self._connection.result
                found += [_entry(item) for item in self._connection.response if item["type"] == "searchResEntry"]
                cookie = _cookie(result)
            code = result["result"]
            if code in ANOTHER_SERVER_MAY:
                raise ServerFailed(f"{self._server.url} is busy or shutting down (result {code})")
            if code not in {Code.SUCCESS, Code.SIZE_LIMIT}:
                raise Refused(code, result.get("message") or "", f"a search below {base}")
            if len(found) > entries_max or code == Code.SIZE_LIMIT:
                return SearchResult(found[:entries_max], complete=False)
            if not cookie:
                return SearchResult(found, complete=True)

    def usable(self) -> bool:
        """Whether nothing has come since it was last used: a notice that it ends, or its end."""
        if time.monotonic() - self.used_at > IDLE_SECONDS_MAX:
            return False
        poll = select.poll()
        try:
            poll.register(self._connection.socket, select.POLLIN)
        except (OSError, ValueError, TypeError):
            return False
        return not poll.poll(0)

    def close(self) -> None:
        plug = self._connection.socket
        try:
            self._connection.unbind()
        except _BROKEN:
            pass
        # ldap3 leaves the socket open where opening the connection failed half-way.
        if plug is not None:
            plug.close()

    def abort(self) -> None:
        """End it, whatever another thread waits for on it."""
        plug = self._connection.socket
        if plug is not None:
            try:
                plug.shutdown(socket.SHUT_RDWR)
            except (OSError, ValueError):
                pass

    def _require_encryption(self) -> None:
        connection = self._connection
        if connection.closed or (self._server.start_tls and not connection.tls_started):
            raise ServerFailed(f"{self._server.url}: the connection was closed", worn=self.worn)

    @contextmanager
    def _failures(self, during: str) -> Iterator[None]:
        try:
            yield
        except _BROKEN as error:
            message = self._reason(error, during)
            silent = isinstance(error, TimeoutError) or isinstance(self._encryption.failure, TimeoutError)
            # Without the cause: what ldap3 knows of the request stays with it.
            raise ServerFailed(message, worn=self.worn and not silent) from None

    def _reason(self, error: Exception, during: str) -> str:
        server, failure = self._server, self._encryption.failure
        if isinstance(failure, ssl.SSLCertVerificationError):
            return (
                f"{server.url} has a certificate that is not trusted ({failure.verify_message}): "
                "set ca_file to its authority, and write the server's name in urls as in its certificate"
            )
        if isinstance(failure, ssl.SSLError):
            return f"the TLS handshake with {server.url} failed ({failure.reason}): check its port and its TLS settings"
        if isinstance(error, TimeoutError) or isinstance(failure, TimeoutError):
            return f"{server.url} did not respond within {server.timeout_seconds} s ({during})"
        if server.start_tls and not self._connection.tls_started and self._connection.result:
            return f"{server.url} refuses StartTLS: give it a certificate, or use ldaps://"
        opening = isinstance(error, LDAPSocketOpenError) and self._connection.last_error
        reason = opening or type(error).__name__
        return f"{server.url} cannot be reached, or closes the connection ({during}: {reason})"


class Server:
    """One server, with its idle connections."""

    def __init__(self, url: str, provider: LDAPProvider, context: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"ldap", "ldaps"} or not parts.hostname:
            raise SettingsInvalid(f"provider {provider.name}: {url} is not ldap://host or ldaps://host")
        self.url = url
        self.host = parts.hostname
        self.encrypted = parts.scheme == "ldaps"
        self.port = parts.port or (636 if self.encrypted else 389)
        self.start_tls = provider.start_tls and not self.encrypted
        self.timeout_seconds = provider.timeout_seconds
        self.context = context
        self.rests_until = 0.0
        self.retry_at = 0.0
        self._provider = provider
        self._idle: dict[BoundAs, list[Line]] = {role: [] for role in BoundAs}
        self._in_use: dict[Line, float] = {}
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def line(self, role: BoundAs) -> Iterator[Line]:
        """A connection, of SERVICE bound. It goes back to the pool unless something was wrong. Raises ServerFailed."""
        line = self._idle_line(role) or self._new_line(role)
        try:
            yield line
        except BaseException:
            self._forget(line)
            line.close()
            raise
        self._give_back(line)

    def rest(self, failure: ServerFailed) -> None:
        """Leave it alone for a while, and its connections with it."""
        now = time.monotonic()
        self.rests_until = now + REST_SECONDS
        self.retry_at = now + (REST_SECONDS if failure.lasting else RETRY_SECONDS)
        self.drop_idle()

    def drop_idle(self) -> None:
        with self._lock:
            lines = [line for idle in self._idle.values() for line in idle]
            for idle in self._idle.values():
                idle.clear()
        for line in lines:
            line.close()

    def abort(self, held_seconds_min: float) -> None:
        """End the connections that are in use for so long."""
        now = time.monotonic()
        with self._lock:
            stuck = [line for line, since in self._in_use.items() if now - since >= held_seconds_min]
        for line in stuck:
            line.abort()

    def close(self) -> None:
        self._closed = True
        self.drop_idle()
        self.abort(0)

    def _idle_line(self, role: BoundAs) -> Line | None:
        while True:
            with self._lock:
                if not self._idle[role]:
                    return None
                line = self._idle[role].pop()
                self._in_use[line] = time.monotonic()
            if line.usable():
                line.worn = True
                return line
            self._forget(line)
            line.close()

    def _new_line(self, role: BoundAs) -> Line:
        if self._closed:
            raise ServerFailed(f"{self.url} is no longer asked: the registry is stopping")
        line = Line(self, role)
        with self._lock:
            self._in_use[line] = time.monotonic()
        try:
            line.open()
            if role is BoundAs.SERVICE:
                self._bind_service(line)
        except BaseException:
            self._forget(line)
            line.close()
            raise
        return line

    def _bind_service(self, line: Line) -> None:
        answer = line.bind(self._provider.bind_dn, _service_password(self._provider))
        if answer.code != Code.SUCCESS:
            refused = Refused(answer.code, answer.diagnostics, f"the bind as {self._provider.bind_dn} at {self.url}")
            # Asked again at once, this would lock the service's account.
            raise ServerFailed(refused.message, lasting=True)

    def _give_back(self, line: Line) -> None:
        line.used_at = time.monotonic()
        with self._lock:
            self._in_use.pop(line, None)
            kept = not self._closed and len(self._idle[line.role]) < self._provider.connections
            if kept:
                self._idle[line.role].append(line)
        if not kept:
            line.close()

    def _forget(self, line: Line) -> None:
        with self._lock:
            self._in_use.pop(line, None)


class Servers:
    """All servers of one directory, asked in their order."""

    def __init__(self, provider: LDAPProvider) -> None:
        context = _context(provider)
        self._name = provider.name
        self._servers = [Server(url, provider, context) for url in provider.urls]
        self._last_failure = ""

    def ask(self, work: Callable[[Server], _T]) -> _T:
        """What `work` gets from the first server that answers. Raises ProviderUnavailable, and what `work` raises."""
        for server in self._to_ask():
            try:
                return _with_fresh_lines(server, work)
            except ServerFailed as failure:
                server.rest(failure)
                self._last_failure = failure.message
                _log.warning("directory %s: %s", self._name, failure.message)
        raise ProviderUnavailable(f"directory {self._name}: {self._last_failure}")

    def abort(self, held_seconds_min: float) -> None:
        """End the connections that are in use for so long: who waits on them gets an error."""
        for server in self._servers:
            server.abort(held_seconds_min)

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def _to_ask(self) -> list[Server]:
        """Those that work, in order; then those that failed, but not just now."""
        now = time.monotonic()
        rested = [server for server in self._servers if server.rests_until <= now]
        return rested + [server for server in self._servers if server.rests_until > now and server.retry_at <= now]


def check_filter(key: str, query: str) -> None:
    """Raises SettingsInvalid unless this is a filter (RFC 4515)."""
    try:
        compile_filter(parse_filter(query, None, False, False, None, False).elements[0])
    except _BROKEN:
        raise SettingsInvalid(f"{key}: {query} is not a filter, such as (uid={{name}})") from None


def _with_fresh_lines(server: Server, work: Callable[[Server], _T]) -> _T:
    """A pooled connection may have ended since it was last used: then once more, with new ones."""
    try:
        return work(server)
    except ServerFailed as failure:
        if not failure.worn:
            raise
    server.drop_idle()
    return work(server)


def _context(provider: LDAPProvider) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=provider.ca_file)
    except OSError as error:
        raise SettingsInvalid(f"provider {provider.name}: cannot read ca_file {provider.ca_file}: {error}") from None
    if not provider.verify_certificates:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _service_password(provider: LDAPProvider) -> str:
    """From its file each time: it may be rotated."""
    file: Path | None = provider.bind_password_file
    if file is None:
        return provider.bind_password.get_secret_value()
    try:
        with file.open(encoding="utf-8") as secret:
            password = secret.read(SECRET_CHARACTERS_MAX).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ServerFailed(f"cannot read bind_password_file {file}: {reason}") from None
    if not password:
        raise ServerFailed(f"bind_password_file {file} is empty")
    return password


def _entry(item: dict[str, Any]) -> Entry:
    attributes = {name.lower(): tuple(values) for name, values in item["raw_attributes"].items()}
    return Entry(item["dn"], attributes)


def _control(result: dict[str, Any], oid: str) -> Any:
    return (result.get("controls") or {}).get(oid, {}).get("value")


def _cookie(result: dict[str, Any]) -> bytes | None:
    value = _control(result, PAGED_RESULTS_CONTROL)
    return bytes(value["cookie"]) or None if value else None


def _policy(result: dict[str, Any]) -> int | None:
    value = _control(result, PASSWORD_POLICY_CONTROL)
    return policy_error(bytes(value)) if value else None
