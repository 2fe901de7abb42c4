"""The distribution API as the load generator speaks it."""

from benchmarks.content import BLOCK, KIB, MANIFEST_TYPE, MIB, Blob, Image, LargeBlob
from benchmarks.wire import Answer, Connection

WRITE_BYTES = 32 * KIB


def frame(data: bytes) -> bytes:
    """Return one chunk of the chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def frames(data: bytes) -> list[bytes]:
    """Return data framed the way Go clients send it: 32 KiB to the chunk."""
    return [frame(data[start : start + WRITE_BYTES]) for start in range(0, len(data), WRITE_BYTES)]


class Client:
    """One connection that works in one repository."""

    def __init__(self, host: str, port: int, repository: str, authorization: str) -> None:
        self.connection = Connection(host, port)
        lines = [f"Host: {host}:{port}", "User-Agent: entrepot-benchmarks"]
        if authorization:
            lines.append(f"Authorization: {authorization}")
        self._base = f"/v2/{repository}".encode()
        self._tail = (" HTTP/1.1\r\n" + "".join(line + "\r\n" for line in lines)).encode()

    def close(self) -> None:
        self.connection.close()

    def request(self, method: bytes, path: bytes, headers: bytes = b"", body: bytes = b"") -> bytes:
        """Render a request; headers are whole lines, each with its end."""
        return b"".join((method, b" ", path, self._tail, headers, b"\r\n", body))

    def path(self, rest: str) -> bytes:
        """Return the path of something in the repository."""
        return self._base + rest.encode()

    def head_blob(self, digest: str, *, expected: int = 200) -> None:
        request = self.request(b"HEAD", self.path(f"/blobs/{digest}"))
        self.connection.exchange(request, expected=expected, bodyless=True)

    def drain_blob(self, digest: str) -> int:
        """Pull a blob, throw it away, return how many bytes it had."""
        return self.connection.drain(self.request(b"GET", self.path(f"/blobs/{digest}")))

    def blob(self, digest: str) -> bytes:
        return self.connection.exchange(self.request(b"GET", self.path(f"/blobs/{digest}")), expected=200).body

    def begin_upload(self) -> bytes:
        """POST an upload and return the path it goes on at."""
        request = self.request(b"POST", self.path("/blobs/uploads/"), b"Content-Length: 0\r\n")
        return _location(self.connection.exchange(request, expected=202))

    def end_upload(self, location: bytes, digest: str) -> None:
        """Close an upload whose bytes were all sent."""
        request = self.request(b"PUT", _with_digest(location, digest), b"Content-Length: 0\r\n")
        self.connection.exchange(request, expected=201)

    def push_blob(self, blob: Blob) -> None:
        """Push a small blob as docker does: POST, PATCH in chunks, PUT."""
        location = self.begin_upload()
        headers = b"Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n"
        body = b"".join(frames(blob.body)) + b"0\r\n\r\n"
        answer = self.connection.exchange(self.request(b"PATCH", location, headers, body), expected=202)
        self.end_upload(_location(answer), blob.digest)

    def push_image(self, image: Image, tag: str) -> None:
        """Push an image as docker does, each blob looked for before and after."""
        for blob in (*image.layers, image.config):
            self.head_blob(blob.digest, expected=404)
            self.push_blob(blob)
            self.head_blob(blob.digest)
        self.put_manifest(image.manifest, tag)

    def put_manifest(self, manifest: Blob, reference: str) -> None:
        self.connection.exchange(self.manifest_request(manifest, reference), expected=201)

    def manifest_request(self, manifest: Blob, reference: str) -> bytes:
        headers = f"Content-Type: {MANIFEST_TYPE}\r\nContent-Length: {len(manifest.body)}\r\n"
        return self.request(b"PUT", self.path(f"/manifests/{reference}"), headers.encode(), manifest.body)

    def push_in_one_put(self, blob: LargeBlob) -> None:
        """POST, then PUT with the whole body and its length."""
        path = _with_digest(self.begin_upload(), blob.digest)
        self._send_with_length(b"PUT", path, blob)
        self.connection.answer(expected=201, about=b"PUT of a large blob")

    def push_in_one_patch(self, blob: LargeBlob) -> None:
        """POST, PATCH with the whole body and its length, empty PUT."""
        self._send_with_length(b"PATCH", self.begin_upload(), blob)
        answer = self.connection.answer(expected=202, about=b"PATCH of a large blob")
        self.end_upload(_location(answer), blob.digest)

    def push_chunked(self, blob: LargeBlob, block_frames: list[bytes], tail_frames: list[bytes]) -> None:
        """POST, PATCH in chunks of one write each, empty PUT."""
        headers = b"Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n"
        self.connection.send(self.request(b"PATCH", self.begin_upload(), headers))
        for _ in range(blob.size_bytes // MIB - 1):
            for piece in block_frames:
                self.connection.send(piece)
        for piece in tail_frames:
            self.connection.send(piece)
        self.connection.send(b"0\r\n\r\n")
        answer = self.connection.answer(expected=202, about=b"PATCH of a large blob in chunks")
        self.end_upload(_location(answer), blob.digest)

    def tags_request(self, count: int, last: str) -> bytes:
        return self.request(b"GET", self.path(f"/tags/list?n={count}&last={last}"))

    def _send_with_length(self, method: bytes, path: bytes, blob: LargeBlob) -> None:
        headers = f"Content-Type: application/octet-stream\r\nContent-Length: {blob.size_bytes}\r\n"
        self.connection.send(self.request(method, path, headers.encode()))
        for _ in range(blob.size_bytes // MIB - 1):
            self.connection.send(BLOCK)
        self.connection.send(blob.tail)


def _location(answer: Answer) -> bytes:
    """Return the path and query of an answer's Location."""
    location = answer.header(b"location") or b""
    if b"://" in location:
        return location[location.index(b"/", location.index(b"://") + 3) :]
    return location


def _with_digest(location: bytes, digest: str) -> bytes:
    return location + (b"&" if b"?" in location else b"?") + b"digest=" + digest.encode()
