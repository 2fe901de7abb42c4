"""Pull and push of a blob of 512 MiB."""

import hashlib
from collections.abc import Callable

from benchmarks import load, page_cache
from benchmarks.client import Client, frames
from benchmarks.content import BLOCK, LargeBlob, large_blob
from benchmarks.load import Action, Sample
from benchmarks.wire import UnexpectedAnswer
from benchmarks.works.work import Measure, Scale, Work

REPOSITORY = "bench/large"
BLOCK_FRAMES = frames(BLOCK)


class Pull(Work):
    name = "pull"
    how = (
        "Clients read one blob of 512 MiB from blocking sockets into a buffer they reuse: one client three times in "
        "a row, then eight clients once each. The bytes are counted; the digest is verified once, before the rounds."
    )
    measures = (
        Measure("pull-1", "pull of 512 MiB, 1 client", "GB/s", digits=2, target_ratio=1.2),
        Measure("pull-8", "pull of 512 MiB, 8 clients", "GB/s", digits=2, target_ratio=1.2),
    )

    @classmethod
    def rounds(cls, scale: Scale) -> int:
        return scale.heavy_rounds

    def prepare(self) -> None:
        self.blob = large_blob(self.scale.large_blob_bytes)
        client = self.server.client(REPOSITORY)
        client.push_in_one_put(self.blob)
        pulled = client.blob(self.blob.digest)
        client.close()
        if "sha256:" + hashlib.sha256(pulled).hexdigest() != self.blob.digest:
            raise UnexpectedAnswer(f"{self.server.registry.name}: the pulled blob is not what was pushed")

    def round(self, number: int) -> dict[str, Sample]:
        return {"pull-1": self._pull(clients=1, times=3), "pull-8": self._pull(clients=8, times=1)}

    def _pull(self, *, clients: int, times: int) -> Sample:
        self.server.authorization(REPOSITORY)

        def prepare(index: int) -> Action:
            client = self.server.client(REPOSITORY)

            def pull() -> int:
                received = sum(client.drain_blob(self.blob.digest) for _ in range(times))
                if received != times * self.blob.size_bytes:
                    raise UnexpectedAnswer(f"pulled {received:,} bytes")
                return received

            return pull

        return per_gigabyte(load.run_clients(self.server, clients, prepare))


class Push(Work):
    name = "push"
    how = (
        "One client pushes a blob of 512 MiB, distinct each time, its digest known beforehand, from POST to the answer "
        "to PUT: with its length in one PUT; with its length in one PATCH, then an empty PUT; in one PATCH with "
        "chunked transfer coding, one chunk and one write for each 32 KiB as Go clients do, then an empty PUT. "
        "Before each push the file system is synced and a scratch file of 640 MiB written and removed, so that the "
        "page cache has pages which the host of a virtual machine backs already."
    )
    measures = (
        Measure("push-put", "push of 512 MiB, one PUT", "GB/s", digits=2, target_ratio=1.3),
        Measure("push-patch", "push of 512 MiB, PATCH with length", "GB/s", digits=2, target_ratio=1.3),
        Measure("push-chunked", "push of 512 MiB, PATCH in 32 KiB chunks", "GB/s", digits=2, target_ratio=1.3),
    )

    @classmethod
    def rounds(cls, scale: Scale) -> int:
        return scale.heavy_rounds

    def prepare(self) -> None:
        large_blob(self.scale.large_blob_bytes)

    def round(self, number: int) -> dict[str, Sample]:
        return {
            "push-put": self._push(Client.push_in_one_put),
            "push-patch": self._push(Client.push_in_one_patch),
            "push-chunked": self._push(_push_chunked),
        }

    def _push(self, push: Callable[[Client, LargeBlob], None]) -> Sample:
        blob = large_blob(self.scale.large_blob_bytes)
        self.server.authorization(REPOSITORY)
        page_cache.warm(self.server.directory, blob.size_bytes + blob.size_bytes // 4)

        def prepare(index: int) -> Action:
            client = self.server.client(REPOSITORY)

            def push_once() -> int:
                push(client, blob)
                return blob.size_bytes

            return push_once

        return per_gigabyte(load.run_clients(self.server, 1, prepare))


def per_gigabyte(sample: Sample) -> Sample:
    """Turn a sample counted in bytes into one counted in gigabytes."""
    cpu_seconds = sample.server_cpu_seconds
    return Sample(sample.value / 1e9, None if cpu_seconds is None else cpu_seconds * 1e9)


def _push_chunked(client: Client, blob: LargeBlob) -> None:
    client.push_chunked(blob, BLOCK_FRAMES, frames(blob.tail))
