"""Starts the web server: Granian's workers, the maintenance process beside them, and what keeps both going."""

import ctypes
import errno
import gc
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from granian import _signals as granian_signals
from granian._granian import WorkerSignal
from granian.constants import HTTPModes, Interfaces, Loops, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.mp import MPServer, WorkerProcess

from entrepot.app import open_app
from entrepot.connections import Limits, Watch, room_for_connections
from entrepot.errors import Invalid
from entrepot.http.application import Application
from entrepot.processes import MAINTENANCE, WORKER, Processes, ending
from entrepot.settings import Settings
from entrepot.telemetry import logging as telemetry_logging
from entrepot.telemetry import metrics as telemetry_metrics
from entrepot.telemetry.logging import AccessLog
from entrepot.telemetry.metrics import Metrics

WORKERS_DEFAULT_MAX = 4
BACKLOG = 1024
BODY_PIECE_BYTES = 256 * 1024
"""How much of a body the server hands over at a time, at most; it asks the kernel for that much only while as much is
there. A push in one PUT takes 2.4 s of processor time for a GB instead of 2.8 with 128 KiB; with 512 KiB 2.2 s, but
then 100 uploads at once hold 40 MiB more."""
HTTP2_HEADERS_BYTES_MAX = 64 * 1024
"""A request's headers over HTTP/2, unpacked. The server's own limit is 16 MiB, which a few kilobytes unpack to."""
TLS_MIN = SSLProtocols.tls12
SUPERVISE_SECONDS = 2.0
WORKS_AFTER_SECONDS = 10.0
"""How long a maintenance process has to last to count as one that works."""
ADDRESS_WAIT_SECONDS = 5.0
"""How long an address may be taken at the start: the processes of a killed server end a moment after it."""
ADDRESS_POLL_SECONDS = 0.1
STOP_WORKER = signal.SIGUSR1
"""By what the main process, and nobody else, has a worker finish what it has in hand and end."""
LEAVING_SECONDS_MAX = 24 * 3600
"""How long a worker that was replaced may take for what it had in hand, at least, when others are replaced again."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

log = logging.getLogger(__name__)


def serve(settings: Settings, maintenance_command: Sequence[str]) -> None:
    """Serve until SIGTERM or SIGINT. Raises Invalid for an address that cannot be one."""
    host, port = listen_address(settings.server.listen)
    metrics_directory = telemetry_metrics.share_between_processes()
    processes, connections_max = Processes(), room_for_connections()
    server = _granian(settings, host, port, connections_max, processes)
    supervisor = _Supervisor(settings, server, processes, maintenance_command)
    server.on_startup(supervisor.start)
    _lead_workers()
    turn = multiprocessing.Value("L", os.getpid())
    try:
        server.serve(
            target_loader=lambda: _make_application(settings, turn, processes, connections_max), wrap_loader=False
        )
    finally:
        supervisor.stop()
        shutil.rmtree(metrics_directory, ignore_errors=True)


def listen_address(text: str) -> tuple[str, int]:
    """`host:port`, `[v6 address]:port`. Raises Invalid."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Invalid(f"server.listen is {text!r}: write an address and a port, as in 127.0.0.1:5000")
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


def die_with(parent: int) -> None:
    """Have the kernel end this process at once when its parent is gone, however that happened (Linux).

    Nobody is left then to see that it ends in time; a request that is cut off was not acknowledged, and an upload can
    be resumed.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # Gone before the kernel knew of this.
            os._exit(1)


def _lead_workers() -> None:
    """Have the processes that are forked from now on end when this one tells them to, and with it."""
    # Not so by default since Python 3.14: then they would be given the application by pickling, which cannot be done.
    multiprocessing.set_start_method("fork", force=True)
    parent = os.getpid()

    def become_worker() -> None:
        # Until a worker has handlers of its own it has copies of this process's, which would swallow the signals.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        die_with(parent)

    os.register_at_fork(after_in_child=become_worker)
    granian_signals.set_loop_signals = _listen_to_main_process


def _listen_to_main_process(loop: object) -> WorkerSignal:
    """In the place of Granian's own function, in a worker that begins to serve.

    A service manager and a terminal signal all processes of a program, and Granian's workers would take that for the
    main process's word; the third signal stops their event loop, and with it the uploads that it has in hand; and one
    that comes between loading the application and serving is lost.
    """
    stop, told = WorkerSignal(), False

    def end(number: int, frame: object) -> None:
        nonlocal told
        if not told:
            told = True
            stop.set()

    signal.signal(STOP_WORKER, end)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return stop


class _Server(MPServer):
    """Granian's main process, but for how it stops: balancers hear of it first, and nothing that a worker has in hand
    is cut off because its certificate is an old one."""

    def __init__(self, *, delay_seconds: int, processes: Processes, **settings: Any) -> None:
        super().__init__(**settings)
        self._delay_seconds = delay_seconds
        self._processes = processes
        self._leaving: list[tuple[float, Any]] = []
        """Workers that were replaced, and since when."""

    def signal_handler_interrupt(self, *args: object, **kwargs: object) -> None:
        """Tell that this server is about to end, and go on accepting for a while. A second signal ends that."""
        again = self._processes.is_stopping()
        self._processes.stop()
        if again or not self._delay_seconds:
            super().signal_handler_interrupt()  # type: ignore[no-untyped-call]
        else:
            timer = threading.Timer(self._delay_seconds, super().signal_handler_interrupt)
            timer.daemon = True
            timer.start()

    def _spawn_worker(self, *args: Any, **kwargs: Any) -> WorkerProcess:
        worker: Any = super()._spawn_worker(*args, **kwargs)
        worker.terminate = partial(_tell_to_stop, worker)
        return worker  # type: ignore[no-any-return]

    def _respawn_workers(self, workers: Sequence[int], spawn_target: Any, target_loader: Any, delay: float = 0) -> None:
        """Let the old workers finish what they have in hand, however long that takes."""
        self._leaving = [(since, worker) for since, worker in self._leaving if worker.is_alive()]
        for since, worker in self._leaving:
            if since < time.monotonic() - LEAVING_SECONDS_MAX:
                worker.kill()
        for position in workers:
            self.respawned_wrks[position] = time.monotonic()
            old: Any = self.wrks[position]
            new: Any = self._spawn_worker(idx=position, target=spawn_target, callback_loader=target_loader)
            new.start()
            self.wrks[position] = new
            if not old.is_alive():
                # It was not told to.
                self._processes.restarted(WORKER)
                log.error(
                    "worker %d ended %s, and what it had in hand is lost: worker %d takes its place",
                    old.inner.pid,
                    ending(old.inner.exitcode),
                    new.inner.pid,
                )
            time.sleep(delay)
            old.terminate()
            self._leaving.append((time.monotonic(), old))

    def _stop_workers(self) -> None:
        self.wrks += [worker for _, worker in self._leaving]
        super()._stop_workers()  # type: ignore[no-untyped-call]


def _tell_to_stop(worker: Any) -> None:
    worker.interrupt_by_parent = True
    if worker.is_alive():
        os.kill(worker.inner.pid, STOP_WORKER)


def _granian(settings: Settings, host: str, port: int, connections_max: int, processes: Processes) -> _Server:
    return _Server(
        delay_seconds=settings.server.shutdown_delay_seconds,
        processes=processes,
        target="entrepot",
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=worker_count(settings),
        loop=Loops.uvloop,
        http=HTTPModes.auto,
        websockets=False,
        backlog=BACKLOG,
        backpressure=connections_max,
        http1_settings=HTTP1Settings(
            header_read_timeout=settings.server.header_timeout_seconds * 1000, max_buffer_size=BODY_PIECE_BYTES
        ),
        http2_settings=HTTP2Settings(max_headers_size=HTTP2_HEADERS_BYTES_MAX),
        log_enabled=False,
        ssl_cert=settings.server.tls_cert,
        ssl_key=settings.server.tls_key,
        ssl_protocol_min=TLS_MIN,
        respawn_failed_workers=True,
        workers_kill_timeout=settings.server.drain_seconds,
    )


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
        self, settings: Settings, server: _Server, processes: Processes, maintenance_command: Sequence[str]
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
            if self._server.interrupt_signal:
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
                "the maintenance process %d ended %s: %d takes its place",
                before.pid,
                ending(before.returncode),
                self._process.pid,
            )

    def _renew_certificate(self) -> None:
        certificate, key = self._files
        try:
            # Follows links again, and refuses what no worker could start with: half of a pair, for one.
            self._server.build_ssl_context(certificate, key, None, TLS_MIN, None, [], client_verify=False)
        except OSError as error:
            log.error("the certificate changed and cannot be used, the old one goes on being shown: %s", error)
            return
        log.info("the certificate changed: replacing the workers")
        self._server.signal_handler_reload()  # type: ignore[no-untyped-call]


def _version(file: Path) -> tuple[int, int] | None:
    """Changes when the file's content does; follows links, as certificate managers replace those."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
