"""Starts the web server with its workers, the maintenance process beside them, and what keeps both going."""

import errno
import gc
import logging
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from entrepot.app import open_app
from entrepot.connections import Limits, Watch, room_for_connections
from entrepot.errors import Invalid
from entrepot.http.application import Application
from entrepot.processes import MAINTENANCE, Processes, ending
from entrepot.settings import Settings
from entrepot.telemetry import logging as telemetry_logging
from entrepot.telemetry import metrics as telemetry_metrics
from entrepot.telemetry.logging import AccessLog
from entrepot.telemetry.metrics import Metrics
from entrepot.web_server import WebServer

WORKERS_DEFAULT_MAX = 4
SUPERVISE_SECONDS = 2.0
WORKS_AFTER_SECONDS = 10.0
"""How long a maintenance process has to last to count as one that works."""
ADDRESS_WAIT_SECONDS = 5.0
"""How long an address may be taken at the start: the processes of a killed server end a moment after it."""
ADDRESS_POLL_SECONDS = 0.1

log = logging.getLogger(__name__)


def serve(settings: Settings, maintenance_command: Sequence[str]) -> None:
    """Serve until SIGTERM or SIGINT. Raises Invalid for an address that cannot be one."""
    host, port = listen_address(settings.server.listen)
    metrics_directory = telemetry_metrics.share_between_processes()
    processes, connections_max = Processes(), room_for_connections()
    server = WebServer(
        settings.server,
        host,
        port,
        workers=worker_count(settings),
        connections_max=connections_max,
        processes=processes,
    )
    supervisor = _Supervisor(settings, server, processes, maintenance_command)
    turn = multiprocessing.get_context("fork").Value("L", os.getpid())
    try:
        server.run(lambda: _make_application(settings, turn, processes, connections_max), supervisor.start)
    finally:
        supervisor.stop()
        shutil.rmtree(metrics_directory, ignore_errors=True)


def listen_address(text: str) -> tuple[str, int]:
    """`host:port`, `[v6 address]:port`. Raises Invalid."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Invalid(f"server.listen is {text!r}: write an address and a port, such as 127.0.0.1:5000")
    return host.strip("[]"), int(port)


def check_address(text: str) -> None:
    """Raises Invalid unless this address can be listened on and nobody does.

    The web server's workers share their port, and would share it with another server of the same user just as well.
    """
    host, port = listen_address(text)
    deadline = time.monotonic() + ADDRESS_WAIT_SECONDS
    while (error := _bind_error(host, port)) is not None:
        if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
            raise Invalid(f"cannot listen on {text}: {error.strerror}") from error
        time.sleep(ADDRESS_POLL_SECONDS)


def worker_count(settings: Settings) -> int:
    processors = len(os.sched_getaffinity(0))
    return settings.server.workers or min(processors, WORKERS_DEFAULT_MAX)


def _bind_error(host: str, port: int) -> OSError | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def _make_application(
    settings: Settings, turn: "Synchronized[int]", processes: Processes, connections_max: int
) -> Watch:
    """Runs in each worker process."""
    telemetry_logging.configure(settings.log.level)
    pin = partial(_pin, turn) if settings.server.pin_workers and sys.platform == "linux" else _stay

    def settle() -> None:
        # What is loaded now stays: the garbage collector need not look at it. A full collection stops a worker for 13
        # milliseconds instead of 63 (thousands of remembered rights, a slow virtual processor).
        gc.collect()
        gc.freeze()
        pin()

    metrics = Metrics(processes.restarts)
    opening = open_app(settings, metrics, is_stopping=processes.is_stopping, is_maintained=processes.is_maintained)
    return Watch(
        Application(opening, AccessLog(enabled=settings.log.access), settle),
        listen_address(settings.server.listen)[1],
        _limits(settings, connections_max),
        lambda reason, count: metrics.connections_ended.labels(reason).inc(count),
    )


def _limits(settings: Settings, connections_max: int) -> Limits:
    server = settings.server
    return Limits(
        first_request_seconds=server.header_timeout_seconds,
        idle_seconds=server.answer_idle_seconds,
        bytes_per_second_min=server.body_bytes_per_second_min,
        connections_max=connections_max,
        per_address_max=-(-server.connections_per_address // worker_count(settings)),
        trusted_proxies=server.trusted_proxies,
    )


def _pin(turn: "Synchronized[int]") -> None:
    """Keep this process's threads on one processor, each worker on the next one.

    A request passes through four threads one after another. Waking one on another processor costs more than what it
    then does: pinned, a push of a small image takes 15.5 ms of processor time instead of 21, and 15 % more manifests
    are served a second (two cores, virtual). Threads that are not made yet choose for themselves: those of the blob
    store, which have enough to do each, run anywhere.
    """
    with turn.get_lock():
        turn.value += 1
        position = turn.value
    processors = sorted(os.sched_getaffinity(0))
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {processors[position % len(processors)]})


def _stay() -> None:
    """Let the kernel choose processors."""


class _Supervisor:
    """Keeps a maintenance process running, and has the workers replaced when the certificate's files change."""

    def __init__(
        self, settings: Settings, server: WebServer, processes: Processes, maintenance_command: Sequence[str]
    ) -> None:
        self._files = [file for file in (settings.server.tls_cert, settings.server.tls_key) if file is not None]
        self._server = server
        self._processes = processes
        self._command = [*maintenance_command, "--follow", str(os.getpid())]
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        seen = [_version(file) for file in self._files]
        # Not at once: it would take the workers' processor time while they start.
        self._stopping.wait(SUPERVISE_SECONDS)
        while not self._stopping.is_set():
            self._keep_maintenance()
            self._stopping.wait(SUPERVISE_SECONDS)
            if self._server.is_ending:
                continue
            now = [_version(file) for file in self._files]
            if now != seen:
                seen = now
                self._renew_certificate()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _keep_maintenance(self) -> None:
        before = self._process
        if before is not None and before.poll() is None:
            if time.monotonic() - self._started_at > WORKS_AFTER_SECONDS:
                self._processes.maintenance_works()
            return
        # In a group of its own: a terminal's interrupt is for the main process, which ends this one in order.
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, process_group=0)
        self._started_at = time.monotonic()
        if before is not None:
            self._processes.restarted(MAINTENANCE)
            self._processes.maintenance_is_gone()
            log.error(
                "the maintenance process %d ended %s: process %d takes its place",
                before.pid,
                ending(before.returncode),
                self._process.pid,
            )

    def _renew_certificate(self) -> None:
        try:
            self._server.renew_certificate()
        except OSError as error:
            log.error("the certificate changed but cannot be used, the old one stays in use: %s", error)


def _version(file: Path) -> tuple[int, int] | None:
    """Changes when the file's content does; follows links, as certificate managers replace those."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
