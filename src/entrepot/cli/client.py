"""A client for the API of a running registry: JSON in, JSON out; refusals become errors that say why."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx
import orjson

from entrepot.cli.errors import Changed, NotReachable
from entrepot.errors import Conflict, Denied, EntrepotError, Invalid, NotFound, RateLimited, Unauthenticated

API = "/api/v1"
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
PAGE_ENTRIES = 1000
ANSWER_BYTES_MAX = 32 * 1024 * 1024
"""The limit for a response that is held in memory; a page of a list is a few hundred kilobytes."""
_OF_THE_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding"})
LOOPBACK = ("all://127.0.0.1", "all://[::1]", "all://localhost")
SESSION_COOKIE = "entrepot_session"
_KINDS: Mapping[int, type[EntrepotError]] = {
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    409: Conflict,
    412: Changed,
    429: RateLimited,
}
_ADVICE = {401: "sign in with: entrepot login"}


@dataclass(frozen=True, slots=True)
class Proof:
    """The credentials of a request: one of these, or none."""

    token: str = ""
    password: tuple[str, str] | None = None
    session: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. `body` is None if there is none; `tag` is the resource's entity tag."""

    status: int
    body: Any
    tag: str | None


class Client:
    """A client of one registry, used as a context manager. Calls raise an EntrepotError when they are refused."""

    def __init__(self, url: str, proof: Proof, ca_file: Path | None = None) -> None:
        self.url = url
        headers = {"User-Agent": "entrepot-cli", "Accept": "application/json"}
        if not (proof.token + proof.session).isascii():
            raise Invalid("the token is not valid: it has characters that a header cannot contain")
        if proof.token:
            headers["Authorization"] = f"Bearer {proof.token}"
        if proof.session:
            headers["Cookie"] = f"{SESSION_COOKIE}={proof.session}"
        self._http = httpx.Client(
            base_url=url,
            headers=headers,
            auth=proof.password,
            verify=_authorities(ca_file) if ca_file is not None else True,
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            mounts=dict.fromkeys(LOOPBACK),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Any:
        return self.ask("GET", path, query=query).body

    def pages(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        """Yield all entries of a list, page by page."""
        after = ""
        while True:
            page = self.get(path, limit=PAGE_ENTRIES, after=after, **query)
            yield from page["items"]
            if not page["next"]:
                return
            if not page["items"] or page["next"] == after:
                raise NotReachable(f"{self.url} is not an Entrepot registry: its list does not end")
            after = page["next"]

    def tag_names(self, repository: str) -> Iterator[str]:
        """Yield all tag names, page by page. The distribution API lists only names, which is several times faster."""
        path = f"/v2{path_of(repository)}/tags/list?n={PAGE_ENTRIES}"
        # Nothing else is asked for, whoever answers: the request shows who asks.
        while path.startswith("/v2/"):
            with self._answering():
                response = self._send("GET", path)
                self._check(response)
            yield from self._json(response)["tags"] or ()
            path = response.links.get("next", {}).get("url", "")

    def post(self, path: str, body: object = None) -> Any:
        return self.ask("POST", path, body).body

    def put(self, path: str, body: object = None, tag: str | None = None) -> Answer:
        return self.ask("PUT", path, body, tag=tag)

    def patch(self, path: str, body: object) -> Any:
        return self.ask("PATCH", path, body).body

    def delete(self, path: str) -> None:
        self.ask("DELETE", path)

    def ask(
        self, method: str, path: str, body: object = None, *, query: Mapping[str, object] = {}, tag: str | None = None
    ) -> Answer:
        """Send a request, without empty query values. With `tag`, change the resource only if that is still its tag."""
        parameters = {name.rstrip("_"): str(value) for name, value in query.items() if value not in (None, "")}
        headers = {} if tag is None else {"If-Match": tag}
        with self._answering():
            response = self._send(
                method, API + path, params=parameters, headers=headers, json=body if body is not None else None
            )
            self._check(response)
        return Answer(response.status_code, self._json(response), response.headers.get("etag"))

    def form(self, path: str, fields: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Post a form outside the API. Returns the status, which may be 400 or a redirect, and the JSON."""
        with self._answering():
            response = self._send("POST", path, data=dict(fields))
        if response.status_code > 400:
            self._check(response)
        found = self._json(response)
        return response.status_code, found if isinstance(found, dict) else {}

    def download(self, path: str, **query: object) -> Iterator[bytes]:
        """Yield the bytes of a response as they arrive."""
        parameters = {name.rstrip("_"): str(value) for name, value in query.items() if value not in (None, "")}
        with self._answering(), self._http.stream("GET", API + path, params=parameters) as response:
            if response.status_code >= 300:
                response.read()
            self._check(response)
            yield from response.iter_bytes()

    def _send(self, method: str, url: str, **content: Any) -> httpx.Response:
        """Send a request and read the response into memory. Raises NotReachable if it is too large."""
        with self._http.stream(method, url, **content) as response:
            received = bytearray()
            for piece in response.iter_bytes():
                received += piece
                if len(received) > ANSWER_BYTES_MAX:
                    raise NotReachable(
                        f"{self.url} is not an Entrepot registry: its response is larger than {ANSWER_BYTES_MAX} bytes"
                    )
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_TRANSFER]
        return httpx.Response(
            response.status_code,
            headers=headers,
            content=bytes(received),
            request=response.request,
            extensions=response.extensions,
        )

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
            # The last two, when what the registry sent cannot be sent back to it.
            reason = str(error) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in reason:
                reason += "; if its certificate is signed by a private authority, name that authority with --ca-file"
            raise NotReachable(f"cannot reach {self.url}: {reason}") from error

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status < 300:
            return
        if status < 400:
            location = response.headers.get("location", "")
            raise NotReachable(f"{self.url} redirects to {location[:200]}: use that address instead")
        problem = self._json(response)
        detail = _detail(problem) if isinstance(problem, dict) else None
        if not isinstance(detail, str):
            if status == 404:
                raise NotReachable(
                    f"{self.url} is not an Entrepot registry, or its version does not have this: it does not know {API}"
                )
            detail = f"{self.url} answers {status} {response.reason_phrase}"
        message = f"{detail} ({advice})" if (advice := _ADVICE.get(status)) else detail
        if status >= 500:
            raise NotReachable(message)
        raise _KINDS.get(status, Invalid)(message)

    def _json(self, response: httpx.Response) -> Any:
        if not response.content:
            return None
        try:
            # Stricter than the standard library: no halves of characters, no numbers that are none.
            return orjson.loads(response.content)
        except ValueError:
            if response.status_code < 300:
                raise NotReachable(
                    f"{self.url} responds, but is not an Entrepot registry: its response is not JSON"
                ) from None
            return None


def _detail(problem: dict[str, Any]) -> object:
    """The registry's error message, in the form of the management API or of the distribution API."""
    match problem:
        case {"detail": str(detail)} | {"errors": [{"message": str(detail)}, *_]}:
            return detail
    return None


def path_of(*parts: str) -> str:
    """A path below the API with its parts percent-encoded. Slashes in a part stay, because names contain them.

    Raises Invalid for a part that would lead to another path.
    """
    for part in parts:
        if not {".", ".."}.isdisjoint(part.split("/")):
            raise Invalid(f"{part} is not a valid name: no part of a name can be . or ..")
    return "".join("/" + quote(part, safe="/") for part in parts)


def parse_url(text: str) -> str:
    """Parse a registry's URL; `https://` is assumed unless it names this machine or a scheme. Raises Invalid."""
    try:
        if "://" not in text:
            text = f"{'http' if _is_loopback(urlsplit('//' + text).hostname) else 'https'}://{text}"
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Invalid(f"{text!r} is not the address of a registry") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise Invalid(f"{text!r} is not the address of a registry: write it as https://registry.example")
    if parts.username is not None:
        raise Invalid("leave the user name out of the address and give it with --username")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port is not None else ''}"


def is_open(url: str) -> bool:
    """Whether others on the network can read what is sent."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not _is_loopback(parts.hostname)


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False


def _authorities(file: Path) -> ssl.SSLContext:
    """The machine's trusted authorities, and those in the file. Raises Invalid."""
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(file)
    except OSError as error:
        raise Invalid(f"{file} contains no readable certificate of an authority: {error}") from None
    return context
