"""Manifests and small blobs, asked for by wrk."""

from benchmarks import load
from benchmarks.content import KIB, image, random_blob
from benchmarks.load import Sample
from benchmarks.works.work import Measure, Work

REPOSITORY = "bench/reads"
MANIFESTS = 100
BLOBS = 100
BLOB_BYTES = 4 * KIB
WARM_UP_SECONDS = 1


class Reads(Work):
    """GETs of a list of paths in turn."""

    def prepare(self) -> None:
        self.paths: dict[str, list[str]] = {}
        self.push()
        for paths in self.paths.values():
            self._get(paths, WARM_UP_SECONDS)

    def push(self) -> None:
        """Push what shall be read and note its paths by the key of their measure."""
        raise NotImplementedError

    def round(self, number: int) -> dict[str, Sample]:
        return {key: self._get(paths, self.scale.wrk_seconds) for key, paths in self.paths.items()}

    def _get(self, paths: list[str], duration_seconds: int) -> Sample:
        connections = self.scale.connections
        return load.wrk(self.server, REPOSITORY, paths, connections=connections, duration_seconds=duration_seconds)


class ManifestReads(Reads):
    name = "manifest-get"
    how = f"wrk, one thread, 32 connections, {MANIFESTS} manifests in turn, by their tags and by their digests."
    measures = (
        Measure("manifest-by-tag", "manifest GET by tag", "requests/s", target_ratio=2.0),
        Measure("manifest-by-digest", "manifest GET by digest", "requests/s", target_ratio=2.0),
    )

    def push(self) -> None:
        client = self.server.client(REPOSITORY)
        layer = random_blob(BLOB_BYTES)
        client.push_blob(layer)
        images = [image((layer,)) for _ in range(MANIFESTS)]
        for index, each in enumerate(images):
            client.push_blob(each.config)
            client.put_manifest(each.manifest, f"v{index}")
        client.close()
        base = f"/v2/{REPOSITORY}/manifests/"
        self.paths["manifest-by-tag"] = [f"{base}v{index}" for index in range(MANIFESTS)]
        self.paths["manifest-by-digest"] = [base + each.manifest.digest for each in images]


class BlobReads(Reads):
    name = "blob-get"
    how = f"wrk, one thread, 32 connections, {BLOBS} blobs of 4 KiB in turn."
    measures = (Measure("small-blob", "4 KiB blob GET", "requests/s", target_ratio=8.0),)

    def push(self) -> None:
        client = self.server.client(REPOSITORY)
        blobs = [random_blob(BLOB_BYTES) for _ in range(BLOBS)]
        for blob in blobs:
            client.push_blob(blob)
        client.close()
        self.paths["small-blob"] = [f"/v2/{REPOSITORY}/blobs/{blob.digest}" for blob in blobs]
