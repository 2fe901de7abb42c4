"""Load from several processes at once, and from wrk."""

import gc
import multiprocessing
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import BrokenBarrierError

from benchmarks.content import MANIFEST_TYPE
from benchmarks.registries import Server
from benchmarks.wire import UnexpectedAnswer

WRK_SCRIPT = Path(__file__).with_name("wrk.lua")

PREPARE_TIMEOUT_SECONDS = 120.0
BROKEN = BrokenBarrierError.__name__

forking = multiprocessing.get_context("fork")

Action = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one batch of work measured."""

    value: float
    server_cpu_seconds: float | None = None
    """Processor time the server used for one operation of the batch."""


def run_clients(server: Server, clients: int, prepare: Callable[[int], Action]) -> Sample:
    """Let processes prepare, start them together, and return the operations done in a second.

    prepare(index) runs before the clock does, in the process; the action it returns does the work and returns how
    many operations that was.
    """
    barrier = forking.Barrier(clients + 1)
    pipes = []
    workers = []
    for index in range(clients):
        receiver, sender = forking.Pipe(duplex=False)
        worker = forking.Process(target=_client, args=(index, prepare, barrier, sender))
        worker.start()
        sender.close()
        pipes.append(receiver)
        workers.append(worker)
    cpu_before = server.cpu_seconds()
    _pass(barrier)
    outcomes = [_outcome(pipe) for pipe in pipes]
    cpu_seconds = server.cpu_seconds() - cpu_before
    for worker in workers:
        worker.join()
    if failures := sorted((each for each in outcomes if isinstance(each, str)), key=lambda each: BROKEN in each):
        raise UnexpectedAnswer(f"{server.registry.name}: {failures[0]}\nits log ends:\n{server.log_tail()}")
    done = [outcome for outcome in outcomes if not isinstance(outcome, str)]
    operations = sum(count for _, _, count in done)
    seconds = max(end for _, end, _ in done) - min(start for start, _, _ in done)
    return Sample(operations / seconds, cpu_seconds / operations)


def wrk(server: Server, repository: str, paths: list[str], *, connections: int, duration_seconds: int) -> Sample:
    """Request paths in turn over kept-alive connections; return the requests answered in a second."""
    with tempfile.NamedTemporaryFile("w", suffix=".paths") as file:
        file.write("\n".join(paths))
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{duration_seconds}s", "-s", str(WRK_SCRIPT)]
        command += ["-H", f"Accept: {MANIFEST_TYPE}"]
        if authorization := server.authorization(repository):
            command += ["-H", f"Authorization: {authorization}"]
        cpu_before = server.cpu_seconds()
        result = subprocess.run([*command, server.url(), "--", file.name], capture_output=True, text=True, check=True)
        cpu_seconds = server.cpu_seconds() - cpu_before
    line = next(line for line in result.stdout.splitlines() if line.startswith("figures "))
    requests, duration_microseconds, _, bad_statuses, socket_errors, _, _ = map(int, line.split()[1:])
    if bad_statuses or socket_errors or not requests:
        raise UnexpectedAnswer(f"{server.registry.name}:\n{result.stdout}\nits log ends:\n{server.log_tail()}")
    return Sample(requests / (duration_microseconds / 1e6), cpu_seconds / requests)


def _client(index: int, prepare: Callable[[int], Action], barrier: Barrier, pipe: Pipe) -> None:
    try:
        action = prepare(index)
        gc.disable()
        barrier.wait()
        start = time.monotonic()
        count = action()
        pipe.send((start, time.monotonic(), count))
    except BaseException:
        barrier.abort()
        pipe.send(traceback.format_exc())


def _pass(barrier: Barrier) -> None:
    """Let the clients go; where one could not get ready, its outcome says why."""
    with suppress(BrokenBarrierError):
        barrier.wait(PREPARE_TIMEOUT_SECONDS)


def _outcome(pipe: Pipe) -> tuple[float, float, int] | str:
    try:
        outcome: tuple[float, float, int] | str = pipe.recv()
    except EOFError:
        return "a client ended without a word"
    return outcome
