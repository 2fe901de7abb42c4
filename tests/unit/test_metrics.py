"""Counts are gathered for a moment, none is lost between two of them, and what processes hold goes with them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


async def test_requests_are_counted_by_method_route_and_status_and_by_their_time() -> None:
    metrics = Metrics()
    for seconds in (0.0005, 0.001, 0.002, 100.0):
        metrics.request("GET", "/v2/", 200, seconds)
    metrics.request("GET", "/v2/", 401, 0.0001)
    metrics.flush()
    metrics.request("GET", "/v2/", 401, 0.0001)

    lines = metrics.exposition().decode().splitlines()

    for line in (
        'entrepot_http_requests_total{method="GET",route="/v2/",status="200"} 4.0',
        'entrepot_http_requests_total{method="GET",route="/v2/",status="401"} 2.0',
        'entrepot_http_request_seconds_bucket{le="0.001",route="/v2/"} 4.0',
        'entrepot_http_request_seconds_bucket{le="0.005",route="/v2/"} 5.0',
        'entrepot_http_request_seconds_bucket{le="60.0",route="/v2/"} 5.0',
        'entrepot_http_request_seconds_bucket{le="+Inf",route="/v2/"} 6.0',
        'entrepot_http_request_seconds_count{route="/v2/"} 6.0',
    ):
        assert line in lines
    (total,) = (line for line in lines if line.startswith('entrepot_http_request_seconds_sum{route="/v2/"}'))
    assert float(total.split()[1]) == pytest.approx(100.0037)


async def test_caches_are_counted_by_what_they_count_themselves() -> None:
    class Counts:
        hits = misses = evictions = bytes = 0

    metrics, cache = Metrics(), Counts()
    metrics.watch_cache("content", cache)
    metrics.flush()
    cache.hits, cache.misses, cache.evictions, cache.bytes = 5, 3, 2, 700
    metrics.flush()
    cache.hits, cache.bytes = 6, 600

    lines = metrics.exposition().decode().splitlines()

    for line in (
        'entrepot_cache_lookups_total{found="yes",kind="content"} 6.0',
        'entrepot_cache_lookups_total{found="no",kind="content"} 3.0',
        'entrepot_cache_evictions_total{kind="content"} 2.0',
        'entrepot_cache_bytes{kind="content"} 600.0',
    ):
        assert line in lines


WORKER = """
import sys
from entrepot.telemetry.metrics import Metrics

class Counts:
    hits, bytes = map(int, sys.argv[1:])
    misses = evictions = 0

metrics = Metrics()
metrics.watch_cache("content", Counts())
print(metrics.exposition().decode())
"""


def test_what_processes_remembered_that_have_ended_is_not_told_but_how_often_it_served_is(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def told(hits: int, bytes_: int) -> list[str]:
        command = [sys.executable, "-c", WORKER, str(hits), str(bytes_)]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()

    first, second = told(1, 100), told(2, 7)

    assert 'entrepot_cache_bytes{kind="content"} 100.0' in first
    assert 'entrepot_cache_bytes{kind="content"} 7.0' in second
    assert 'entrepot_cache_lookups_total{found="yes",kind="content"} 3.0' in second
