"""Sends a blob: whole, in ranges, or by sending the client elsewhere (RFC 9110, section 14)."""

import re
import secrets
from collections.abc import AsyncIterator

from entrepot.app import App
from entrepot.errors import BadRange
from entrepot.http.messages import Headers, Request, Response, SentFile
from entrepot.storage.driver import Access, HeldBytes, LocalFile, Redirect
from entrepot.storage.store import StoredBlob

RANGES_MAX = 1024
"""Readers of layers that are compressed file by file ask for hundreds."""
_RANGE = re.compile(r"\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII)

Span = tuple[int, int]
"""From the first byte up to, not including, the last."""


class RangeOutside(BadRange):
    """None of the ranges has a byte of the blob in it."""

    code = "range_outside"

    def __init__(self, size: int) -> None:
        super().__init__(f"the range is outside the blob, which has {size} bytes", {"size": size})
        self.size = size


def blob_response(request: Request, blob: StoredBlob, access: Access | None, headers: Headers) -> Response:
    """The response to GET or HEAD; `access` is the way to the bytes, None for who has them. Raises BadRange."""
    etag = f'"{blob.digest}"'
    common = [*headers, (b"etag", etag.encode()), (b"accept-ranges", b"bytes")]
    if access is None:
        return Response(304, common)
    if request.method == "HEAD":
        return Response(200, [*common, (b"content-length", b"%d" % blob.size)])
    # Object stores send all of the blob when they are asked for several ranges.
    if isinstance(access, Redirect) and "," not in (request.header(b"range") or ""):
        # The address is good for minutes, whereas the blob never changes.
        once = [(name, value) for name, value in headers if name != b"cache-control"]
        once += [(b"cache-control", b"no-store"), (b"location", access.url.encode()), (b"content-length", b"0")]
        return Response(307, once)
    spans = _spans(request, blob.size, etag)
    if spans is None:
        whole = [*common, (b"content-length", b"%d" % blob.size)]
        if isinstance(access, HeldBytes):
            return Response(200, whole, access.content)
        if isinstance(access, LocalFile):
            return Response(200, whole, SentFile(access.path, blob.size))
        return Response(200, whole, request.app.store.read(blob, 0, blob.size))
    if len(spans) == 1:
        return _one_range(request.app, blob, spans[0], common)
    return _several_ranges(request.app, blob, spans, common)


def _one_range(app: App, blob: StoredBlob, span: Span, common: Headers) -> Response:
    start, end = span
    headers = [
        *common,
        (b"content-length", b"%d" % (end - start)),
        (b"content-range", b"bytes %d-%d/%d" % (start, end - 1, blob.size)),
    ]
    return Response(206, headers, app.store.read(blob, start, end))


def _several_ranges(app: App, blob: StoredBlob, spans: list[Span], common: Headers) -> Response:
    boundary = secrets.token_hex(16)
    content_type = next((value for name, value in common if name == b"content-type"), b"application/octet-stream")
    heads = [
        b"\r\n--%s\r\ncontent-type: %s\r\ncontent-range: bytes %d-%d/%d\r\n\r\n"
        % (boundary.encode(), content_type, start, end - 1, blob.size)
        for start, end in spans
    ]
    tail = b"\r\n--%s--\r\n" % boundary.encode()
    length = sum(map(len, heads)) + sum(end - start for start, end in spans) + len(tail)
    headers = [
        *[(name, value) for name, value in common if name != b"content-type"],
        (b"content-type", b"multipart/byteranges; boundary=" + boundary.encode()),
        (b"content-length", b"%d" % length),
    ]

    async def parts() -> AsyncIterator[bytes]:
        for head, (start, end) in zip(heads, spans, strict=True):
            yield head
            async for piece in app.store.read(blob, start, end):
                yield piece
        yield tail

    return Response(206, headers, parts())


def _spans(request: Request, size: int, etag: str) -> list[Span] | None:
    """The ranges asked for; None when the whole is to be sent. Raises BadRange when none can be satisfied."""
    text = request.header(b"range")
    if text is None or not text.startswith("bytes=") or request.header(b"if-range") not in {None, etag} or not size:
        return None
    wanted = [_RANGE.fullmatch(item) for item in text[6:].split(",", RANGES_MAX)]
    if len(wanted) > RANGES_MAX:
        return None
    spans = []
    for match in wanted:
        if match is None or match.group(1) == match.group(2) == "":
            return None
        span = _span(match.group(1), match.group(2), size)
        if span is not None:
            spans.append(span)
    if not spans:
        raise RangeOutside(size)
    return _merged(spans)


def _merged(spans: list[Span]) -> list[Span]:
    """No byte is sent twice: ranges that overlap or touch become one, in the place of the first (RFC 9110, 15.3.7).

    All others stay in the order in which they were asked for, in which clients read them.
    """
    merged: list[list[int]] = []
    for number, (start, end) in sorted(enumerate(spans), key=lambda numbered: numbered[1]):
        if merged and start <= merged[-1][2]:
            first, begins, ends = merged[-1]
            merged[-1] = [min(first, number), begins, max(ends, end)]
        else:
            merged.append([number, start, end])
    return [(start, end) for _, start, end in sorted(merged)]


def _span(first: str, last: str, size: int) -> Span | None:
    if first == "":
        length = min(_position(last), size)
        return (size - length, size) if length else None
    start = _position(first)
    end = min(_position(last) + 1, size) if last else size
    return (start, end) if start < end else None


def _position(digits: str) -> int:
    """The number, or one that is outside of any blob when it has more digits than int() takes."""
    return int(digits.lstrip("0")[:20] or "0")
