"""A 201 means that a power cut loses nothing of it: the system calls of a push, in the order in which they are made."""

import random
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.durability.exchange import Connection
from tests.durability.processes import wait_for_family, workers
from tests.durability.pushes import PUSHES, SMALL_BYTES_MAX, make_image, push_image, put_manifest
from tests.peers.entrepot import Entrepot
from tests.peers.presence import cannot_run, require_program

REPOSITORY = "durability/stable"
TRACED = "fsync,fdatasync,rename,renameat,renameat2,unlink,write,writev,sendto,sendmsg"
WAIT_SECONDS_MAX = 30
POLL_SECONDS = 0.05
_CALL = re.compile(r"(?P<pid>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<name>\w+)\()(?P<rest>.*)")
_ANSWERS = frozenset({"write", "writev", "sendto", "sendmsg"})


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrepot]:
    with Entrepot(tmp_path_factory.mktemp("stable"), workers=1) as server:
        wait_for_family(server, workers=1)
        with Connection(server) as connection:
            push_image(connection, REPOSITORY, "before", make_image(random.Random(1)))
        yield server
    server.remove_data()


@contextmanager
def _traced(registry: Entrepot, trace: Path) -> Iterator[None]:
    """Have the kernel tell what the worker does."""
    strace = require_program("strace", package="strace")
    (worker,) = workers(registry)
    command = [str(strace), "-f", "-y", "-s", "64", "-e", f"trace={TRACED}", "-p", str(worker), "-o", str(trace)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    said = process.stderr.readline()
    if "attached" not in said:
        process.communicate()
        cannot_run(f"tracing is not permitted: {said.strip()}", provided_by="a machine where a process may be traced")
    try:
        yield
    finally:
        process.terminate()
        process.communicate()


def _events(trace: Path) -> list[str]:
    """`call arguments`: answers where they begin to be sent, everything else where it is done."""
    events = []
    begun: dict[tuple[str, str], str] = {}
    for line in trace.read_text().splitlines():
        match = _CALL.match(line)
        if match is None:
            continue
        pid, name, rest = match["pid"], match["name"] or match["resumed"], match["rest"]
        if match["resumed"]:
            rest = begun.pop((pid, name), "") + rest
            if name not in _ANSWERS:
                events.append(f"{name} {rest}")
        elif "<unfinished" in rest:
            begun[pid, name] = rest
            if name in _ANSWERS:
                events.append(f"{name} {rest}")
        else:
            events.append(f"{name} {rest}")
    return events


def _answered(trace: Path) -> list[str]:
    """What was done up to the answer 201, without what came after."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        events = _events(trace)
        for position, event in enumerate(events):
            if event.split()[0] in _ANSWERS and "HTTP/1.1 201" in event:
                return events[: position + 1]
        assert time.monotonic() < deadline, events
        time.sleep(POLL_SECONDS)


def _position(events: list[str], pattern: str) -> int:
    """Where the last event that matches is."""
    found = [position for position, event in enumerate(events) if re.search(pattern, event)]
    assert found, f"{pattern} is not in\n" + "\n".join(events)
    return found[-1]


def _assert_in_order(events: list[str], *patterns: str) -> None:
    positions = [_position(events, pattern) for pattern in patterns]
    assert positions == sorted(positions), "\n".join(events)


_RECORDED = r"^(fsync|fdatasync) .*entrepot\.db-wal>.* = 0"
_ANSWER = r"HTTP/1\.1 201"


@pytest.mark.parametrize("push", PUSHES)
def test_blob_is_on_the_disk_before_its_row_and_its_row_before_the_answer(
    registry: Entrepot, tmp_path: Path, push: object
) -> None:
    trace = tmp_path / "trace"
    with _traced(registry, trace), Connection(registry) as connection:
        assert callable(push)
        assert push(connection, REPOSITORY, random.SystemRandom().randbytes(100_000)).status == 201
        events = _answered(trace)
    _assert_in_order(
        events,
        r"^fsync .*/uploads/[^/>]*>.* = 0",
        r"^rename\w* .*/uploads/.*/blobs/sha256/.* = 0",
        r"^fsync .*/blobs/sha256/[0-9a-f]{2}>.* = 0",
        _RECORDED,
        _ANSWER,
    )


@pytest.mark.parametrize("push", PUSHES)
def test_small_blob_is_on_the_disk_before_the_answer(registry: Entrepot, tmp_path: Path, push: object) -> None:
    trace = tmp_path / "trace"
    with _traced(registry, trace), Connection(registry) as connection:
        assert callable(push)
        assert push(connection, REPOSITORY, random.SystemRandom().randbytes(SMALL_BYTES_MAX)).status == 201
        events = _answered(trace)
    _assert_in_order(events, _RECORDED, _ANSWER)


def test_manifest_and_tag_are_on_the_disk_before_the_answer(registry: Entrepot, tmp_path: Path) -> None:
    image = make_image(random.Random(4))
    with Connection(registry) as connection:
        push_image(connection, REPOSITORY, "first", image)
        for tag in ("second", "first"):
            trace = tmp_path / f"trace-{tag}"
            with _traced(registry, trace):
                manifest = image.manifest if tag == "second" else make_image(random.Random(1)).manifest
                assert put_manifest(connection, REPOSITORY, tag, manifest).status == 201
                events = _answered(trace)
            _assert_in_order(events, _RECORDED, _ANSWER)
