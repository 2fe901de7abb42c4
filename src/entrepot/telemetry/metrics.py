"""Prometheus metrics of all workers of this machine. They contain no names, users or digests."""

import asyncio
import fcntl
import os
import shutil
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
DIRECTORY_PREFIX = "entrepot-metrics-"
MEMORY = Path("/dev/shm")  # noqa: S108 (the directory made there is this user's alone)
GATHER_SECONDS = 0.1
SECONDS_BOUNDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)
LEFT_AFTER_SECONDS = 60
"""How old a directory must be to count as left over by a killed server."""


def share_between_processes() -> Path:
    """Create the directory in which new processes keep their counts. Call before any of them imports metrics."""
    # In memory where there is a place for that: to count is to write to a mapped file, and on a disk that is full the
    # kernel ends the process that does so.
    parent = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    for left in parent.glob(f"{DIRECTORY_PREFIX}*"):
        _remove_unused(left)
    directory = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX, dir=parent))
    # Never closed: locked for as long as this process or one of its workers is there.
    fcntl.flock(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), fcntl.LOCK_EX)
    os.environ[DIRECTORY_VARIABLE] = str(directory)
    return directory


def _remove_unused(directory: Path) -> None:
    """Remove directories that a killed server left; keep those of running servers and of other users."""
    try:
        if directory.stat().st_mtime > time.time() - LEFT_AFTER_SECONDS:
            return
        file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(file)


class CacheCounts(Protocol):
    """A cache's own counts, as plain numbers, because a lookup is faster than a count in shared memory."""

    hits: int
    misses: int
    evictions: int
    bytes: int


class _WatchedCache:
    def __init__(self, kind: str, cache: CacheCounts) -> None:
        self.kind = kind
        self.cache = cache
        self.hits = self.misses = self.evictions = 0
        """What was reported already."""


class Metrics:
    """The counters of this process. One instance a process: the client library registers them globally.

    `restarts` tells how often processes of each kind were started again, which the main process counts.
    """

    def __init__(self, restarts: Callable[[], Mapping[str, int]] = dict) -> None:
        # Imported here because the library decides at import whether processes share their counts.
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

        if DIRECTORY_VARIABLE in os.environ:
            # The library asks for the process's number at each count, a system call each: 13 % of a worker's time
            # under load. A worker never forks.
            process_id = os.getpid()
            values.ValueClass = values.MultiProcessValue(process_identifier=lambda: process_id)  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._restarts = restarts
        self._requests = Counter(
            "entrepot_http_requests", "HTTP requests answered.", ("method", "route", "status"), registry=self._registry
        )

        class BatchedHistogram(Histogram):
            """A histogram that takes many observations at once."""

            def observe_many(self, counts: list[int], total: float) -> None:
                """Add observations: each bucket's own count, in order of bounds, and the sum of all values."""
                self._sum.inc(total)
                for bucket, count in zip(self._buckets, counts, strict=True):
                    if count:
                        bucket.inc(count)

        self._seconds = BatchedHistogram(
            "entrepot_http_request_seconds",
            "Time from the end of a request's headers to the end of its response.",
            ("route",),
            registry=self._registry,
            buckets=SECONDS_BOUNDS,
        )
        self._received = Counter(
            "entrepot_blob_received_bytes", "Bytes of blobs received from clients.", registry=self._registry
        )
        self.connections_ended = Counter(
            "entrepot_connections_ended",
            "Connections closed because they sent no request, were idle, or their address had too many.",
            ("reason",),
            registry=self._registry,
        )
        self.requests_braked = Counter(
            "entrepot_requests_braked",
            "Requests refused by a rate limit.",
            ("of",),
            registry=self._registry,
        )
        self.password_hashes = Counter(
            "entrepot_password_hashes",
            "Password hashes computed to check or to store passwords, including dummy hashes for unknown users.",
            ("algorithm",),
            registry=self._registry,
        )
        self.damaged_blobs = Counter(
            "entrepot_blob_damaged", "Requests that found stored bytes missing or damaged.", registry=self._registry
        )
        self.collected = Counter(
            "entrepot_collected", "Items removed by maintenance.", ("kind",), registry=self._registry
        )
        self.audit_forwarded = Counter(
            "entrepot_audit_forwarded", "Audit records that a target accepted.", ("target",), registry=self._registry
        )
        self.audit_forward_failures = Counter(
            "entrepot_audit_forward_failures",
            "Batches of audit records that a target did not accept.",
            ("target",),
            registry=self._registry,
        )
        self.audit_chain_broken = Counter(
            "entrepot_audit_chain_broken",
            "Times the audit log was found to have been tampered with.",
            registry=self._registry,
        )
        self.audit_signed = Gauge(
            "entrepot_audit_signed_seq",
            "Sequence number of the newest signed audit record. It never decreases.",
            registry=self._registry,
            multiprocess_mode="max",
        )
        self.garbage_stopped = Counter(
            "entrepot_garbage_stopped",
            "Garbage collections that stopped because the store or the database may be the wrong one.",
            registry=self._registry,
        )
        self._cache_lookups = Counter(
            "entrepot_cache_lookups",
            "Cache lookups in workers, by kind of entry and by result.",
            ("kind", "found"),
            registry=self._registry,
        )
        self._cache_evictions = Counter(
            "entrepot_cache_evictions",
            "Cache entries evicted because their cache was full.",
            ("kind",),
            registry=self._registry,
        )
        self._cache_bytes = Gauge(
            "entrepot_cache_bytes",
            "Approximate size of the caches of the running workers.",
            ("kind",),
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._caches: list[_WatchedCache] = []
        self._requests_gathered: dict[tuple[str, str, int], int] = {}
        self._seconds_gathered: dict[str, tuple[list[int], list[float]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request. Counts are batched, because one in shared memory takes 4 % of a pull's time."""
        key = (method, route, status)
        self._requests_gathered[key] = self._requests_gathered.get(key, 0) + 1
        gathered = self._seconds_gathered.get(route)
        if gathered is None:
            gathered = self._seconds_gathered[route] = ([0] * (len(SECONDS_BOUNDS) + 1), [0.0])
        counts, total = gathered
        counts[bisect_left(SECONDS_BOUNDS, seconds)] += 1
        total[0] += seconds
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)

    def watch_cache(self, kind: str, cache: CacheCounts) -> None:
        """Report this cache's counts from now on."""
        self._caches.append(_WatchedCache(kind, cache))

    def flush(self) -> None:
        """Write the batched counts to shared memory."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for (method, route, status), count in self._requests_gathered.items():
            self._requests.labels(method, route, str(status)).inc(count)
        for route, (counts, total) in self._seconds_gathered.items():
            self._seconds.labels(route).observe_many(counts, total[0])
        self._requests_gathered.clear()
        self._seconds_gathered.clear()
        for watched in self._caches:
            self._flush_cache(watched)

    def _flush_cache(self, watched: _WatchedCache) -> None:
        kind, cache = watched.kind, watched.cache
        self._cache_lookups.labels(kind, "yes").inc(cache.hits - watched.hits)
        self._cache_lookups.labels(kind, "no").inc(cache.misses - watched.misses)
        self._cache_evictions.labels(kind).inc(cache.evictions - watched.evictions)
        self._cache_bytes.labels(kind).set(cache.bytes)
        watched.hits, watched.misses, watched.evictions = cache.hits, cache.misses, cache.evictions

    def received(self, body_bytes: int) -> None:
        self._received.inc(body_bytes)

    def exposition(self) -> bytes:
        """The metrics of all processes in the Prometheus text format."""
        from prometheus_client import CollectorRegistry, generate_latest, multiprocess
        from prometheus_client.core import CounterMetricFamily, Metric
        from prometheus_client.registry import Collector

        self.flush()
        restarts = CounterMetricFamily(
            "entrepot_process_restarts",
            "Processes that ended unexpectedly and were restarted.",
            labels=["process"],
        )
        for process, count in self._restarts().items():
            restarts.add_metric([process], count)

        class OfMainProcess(Collector):
            """A count that the main process keeps."""

            def collect(self) -> list[Metric]:
                return [restarts]

        registry = self._registry
        if DIRECTORY_VARIABLE in os.environ:
            _forget_ended(Path(os.environ[DIRECTORY_VARIABLE]))
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        told = CollectorRegistry()
        told.register(OfMainProcess())
        return generate_latest(registry) + generate_latest(told)


def _forget_ended(directory: Path) -> None:
    """Drop the cache sizes of processes that have ended."""
    for file in directory.glob("gauge_live*.db"):
        process_id = int(file.stem.rpartition("_")[2])
        try:
            os.kill(process_id, 0)
        except OSError:
            # There is none of this number, or only another user's.
            file.unlink(missing_ok=True)
