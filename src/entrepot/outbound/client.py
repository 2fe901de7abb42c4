"""The only HTTP client: every request that leaves the registry has limits, and trusts what it is told to trust."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.errors import Unavailable

if TYPE_CHECKING:
    # Loading it takes 0.15 s, which a registry that asks nobody starts without.
    import httpx

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
BODY_BYTES_MAX = 1024 * 1024
"""The largest answer that is read: key sets, discovery documents and token answers are far smaller."""
CONNECTIONS_MAX = 20


class PeerUnavailable(Unavailable):
    """Another service does not answer, or not as its protocol says."""

    code = "peer_unavailable"


class Outbound:
    """Clients by the authority they trust. Redirects are not followed: what is asked for is configured."""

    def __init__(self) -> None:
        self._clients: dict[Path | None, httpx.AsyncClient] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        ca_file: Path | None = None,
        headers: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> "httpx.Response":
        """The whole answer, whatever its status. Raises PeerUnavailable."""
        import httpx

        client = self._client(ca_file)
        request = client.build_request(method, url, headers=headers, data=form, content=content)
        try:
            response = await client.send(request, stream=True)
            try:
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > BODY_BYTES_MAX:
                        raise PeerUnavailable(f"{request.url.host} sent a response of more than {BODY_BYTES_MAX} bytes")
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            # The error may have the whole URL in it, and a URL a secret.
            raise PeerUnavailable(f"{request.url.host} does not respond ({type(error).__name__})") from error
        return httpx.Response(response.status_code, headers=_plain(response.headers), content=bytes(body))

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    def _client(self, ca_file: Path | None) -> "httpx.AsyncClient":
        import httpx

        if ca_file not in self._clients:
            try:
                context = ssl.create_default_context(cafile=ca_file)
            except OSError as error:
                raise PeerUnavailable(f"cannot read the authority in {ca_file}: {error}") from error
            self._clients[ca_file] = httpx.AsyncClient(
                verify=context,
                timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
                limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
                follow_redirects=False,
            )
        return self._clients[ca_file]


def _plain(headers: "httpx.Headers") -> list[tuple[str, str]]:
    """The headers of a body that is not compressed or in chunks any more."""
    dropped = {"content-encoding", "content-length", "transfer-encoding"}
    return [(name, value) for name, value in headers.multi_items() if name.lower() not in dropped]
