"""What Entrepot needs at scale: time to start, memory."""

import selectors
import time
from dataclasses import dataclass

from benchmarks import processes
from benchmarks.client import Client, frames
from benchmarks.content import BLOCK, MIB, large_blob
from benchmarks.load import Sample
from benchmarks.prefill import prefill
from benchmarks.wire import UnexpectedAnswer
from benchmarks.works.work import Measure, Scale, Work

REPOSITORY = "bench/capacity"
RECEIVE_BYTES = 64 * 1024
SLOW_READS_PER_SECOND = 4


class Capacity(Work):
    """Work only Entrepot is measured in."""

    peers_too = False

    @classmethod
    def rounds(cls, scale: Scale) -> int:
        return scale.capacity_rounds

    def prepare(self) -> None:
        return None

    def peak(self, key: str) -> dict[str, Sample]:
        """Return the largest peak among the server's processes, noting all of them."""
        memory = processes.memory(self.server.process.pid)
        listed = ", ".join(f"{each.name} {each.peak_bytes / MIB:.0f}" for each in memory)
        self.notes.append(f"peak of each process in MiB: {listed}")
        return {key: Sample(memory[0].peak_bytes / MIB)}


class StartWithManyManifests(Capacity):
    name = "start"
    how = (
        "The database is filled with 1,000,000 manifests while the server is down; "
        "then from the start of the process to the first 200 of `/readyz`."
    )
    measures = (
        Measure("start", "start to ready with 1,000,000 manifests", "s", 2, less_is_better=True, target_value=2.0),
    )

    @classmethod
    def rounds(cls, scale: Scale) -> int:
        return scale.rounds

    def prepare(self) -> None:
        self.server.stop()
        prefill(self.server.directory / "data", self.scale.manifests)
        self.notes.append(f"with {self.scale.manifests:,} manifests")

    def round(self, number: int) -> dict[str, Sample]:
        self.restart()
        return {"start": Sample(self.server.start_seconds)}


class MemoryOfUploads(Capacity):
    name = "memory-uploads"
    how = (
        "200 uploads of 1 GiB open at once on 200 connections, half announcing the length, half chunked (32 KiB), all "
        "fed in turn by one process until a total of 8 GiB or 20 s; then, all still open, the largest peak of "
        "resident memory (VmHWM) among the server's processes, which were started anew for it. They are then cut off "
        "and the server must still be ready."
    )
    measures = (
        Measure("memory-uploads", "memory of a worker, 200 uploads of 1 GiB at once", "MiB", 0, True, None, 300.0),
    )

    def round(self, number: int) -> dict[str, Sample]:
        self.restart(empty=True)
        uploads = [self._open(chunked=index % 2 == 1) for index in range(self.scale.uploads)]
        began = time.monotonic()
        sent = feed(uploads, self.scale.uploads_total_bytes, self.scale.uploads_seconds)
        duration = time.monotonic() - began
        least = min(upload.sent_bytes for upload in uploads)
        self.notes.append(f"{sent / MIB:,.0f} MiB in {duration:.1f} s, at least {least / MIB:,.0f} MiB each")
        result = self.peak("memory-uploads")
        for upload in uploads:
            upload.client.close()
        self.server.wait_until_ready()
        return result

    def _open(self, *, chunked: bool) -> "Upload":
        client = self.server.client(REPOSITORY)
        location = client.begin_upload()
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % self.scale.upload_bytes
        headers = b"Content-Type: application/octet-stream\r\n" + length + b"\r\n"
        client.connection.send(client.request(b"PATCH", location, headers))
        client.connection.socket.setblocking(False)
        return Upload(client, CHUNKED_BLOCK if chunked else memoryview(BLOCK))


class MemoryOfDownloads(Capacity):
    name = "memory-downloads"
    how = (
        "200 clients pull a blob of 512 MiB slowly: each reads 64 KiB four times a second for 15 s; then the largest "
        "peak of resident memory, as above."
    )
    measures = (Measure("memory-downloads", "memory of a worker, 200 slow downloads", "MiB", 0, True, None, 300.0),)

    def prepare(self) -> None:
        self.blob = large_blob(self.scale.large_blob_bytes)
        client = self.server.client(REPOSITORY)
        client.push_in_one_put(self.blob)
        client.close()

    def round(self, number: int) -> dict[str, Sample]:
        self.restart()
        clients = [self._open() for _ in range(self.scale.uploads)]
        received = read_slowly(clients, self.scale.downloads_seconds)
        self.notes.append(f"{received / MIB:,.0f} MiB received")
        result = self.peak("memory-downloads")
        for client in clients:
            client.close()
        self.server.wait_until_ready()
        return result

    def _open(self) -> Client:
        client = self.server.client(REPOSITORY)
        client.connection.send(client.request(b"GET", client.path(f"/blobs/{self.blob.digest}")))
        return client


CHUNKED_BLOCK = memoryview(b"".join(frames(BLOCK)))


@dataclass(slots=True)
class Upload:
    """A PATCH under way; the pattern is sent again and again."""

    client: Client
    pattern: memoryview
    sent_bytes: int = 0

    def send_some(self) -> int:
        """Send as much of the pattern as the connection takes now."""
        start = self.sent_bytes % len(self.pattern)
        count = self.client.connection.socket.send(self.pattern[start : start + 4 * RECEIVE_BYTES])
        self.sent_bytes += count
        return count


def feed(uploads: list[Upload], total_bytes: int, duration_seconds: float) -> int:
    """Feed all uploads in turn until enough was sent or the time is over; return how much was sent."""
    with selectors.DefaultSelector() as selector:
        for upload in uploads:
            selector.register(upload.client.connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, upload)
        sent, deadline = 0, time.monotonic() + duration_seconds
        while sent < total_bytes and time.monotonic() < deadline:
            for key, events in selector.select(timeout=1.0):
                if events & selectors.EVENT_READ:
                    raise UnexpectedAnswer(f"during an upload: {key.data.client.connection.socket.recv(2000)!r}")
                sent += key.data.send_some()
    return sent


def read_slowly(clients: list[Client], duration_seconds: float) -> int:
    """Let each client read a little several times a second; return how much all received."""
    received, deadline = 0, time.monotonic() + duration_seconds
    buffer = bytearray(RECEIVE_BYTES)
    while time.monotonic() < deadline:
        began = time.monotonic()
        for client in clients:
            count = client.connection.socket.recv_into(buffer)
            if not count:
                raise UnexpectedAnswer("hung up during a slow download")
            received += count
        time.sleep(max(0.0, began + 1 / SLOW_READS_PER_SECOND - time.monotonic()))
    return received
