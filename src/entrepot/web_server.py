"""Granian, the web server, and all that this program knows of how it is made.

It is used as it is documented, and beyond that: how its main process stops and replaces its workers is changed here,
and `http/reception.py` leans on the order in which it hands over what it received (decision 0009). So its version is
fixed: another one has to be read, and tested, before it is taken (decision 0029).
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import granian
from granian import _signals as granian_signals
from granian._granian import WorkerSignal
from granian.constants import HTTPModes, Interfaces, Loops, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.mp import MPServer, WorkerProcess

from entrepot.errors import Invalid
from entrepot.processes import WORKER, Processes, die_with, ending
from entrepot.settings import ServerSettings

VERSION = "2.8.7"
"""The only one that is started, as in `pyproject.toml`."""
BACKLOG = 1024
BODY_PIECE_BYTES = 256 * 1024
"""How much of a body the server hands over at a time, at most; it asks the kernel for that much only while as much is
there. A push in one PUT takes 2.4 s of processor time for a GB instead of 2.8 with 128 KiB; with 512 KiB 2.2 s, but
then 100 uploads at once hold 40 MiB more."""
HTTP2_HEADERS_BYTES_MAX = 64 * 1024
"""A request's headers over HTTP/2, unpacked. The server's own limit is 16 MiB, which a few kilobytes unpack to."""
TLS_MIN = SSLProtocols.tls12
STOP_WORKER = signal.SIGUSR1
"""By what the main process, and nobody else, has a worker finish what it has in hand and end."""
LEAVING_SECONDS_MAX = 24 * 3600
"""How long a worker that was replaced may take for what it had in hand, at least, when others are replaced again."""

log = logging.getLogger(__name__)


class WebServer(MPServer):
    """Granian's main process, but for how it stops: balancers hear of it first, and nothing that a worker has in hand
    is cut off because its certificate is an old one."""

    def __init__(
        self,
        settings: ServerSettings,
        host: str,
        port: int,
        *,
        workers: int,
        connections_max: int,
        processes: Processes,
    ) -> None:
        super().__init__(
            target="entrepot",
            address=host,
            port=port,
            interface=Interfaces.ASGI,
            workers=workers,
            loop=Loops.uvloop,
            http=HTTPModes.auto,
            websockets=False,
            backlog=BACKLOG,
            backpressure=connections_max,
            http1_settings=HTTP1Settings(
                header_read_timeout=settings.header_timeout_seconds * 1000, max_buffer_size=BODY_PIECE_BYTES
            ),
            http2_settings=HTTP2Settings(max_headers_size=HTTP2_HEADERS_BYTES_MAX),
            log_enabled=False,
            ssl_cert=settings.tls_cert,
            ssl_key=settings.tls_key,
            ssl_protocol_min=TLS_MIN,
            respawn_failed_workers=True,
            workers_kill_timeout=settings.drain_seconds,
        )
        self._certificate = (settings.tls_cert, settings.tls_key)
        self._delay_seconds = settings.shutdown_delay_seconds
        self._processes = processes
        self._leaving: list[tuple[float, Any]] = []
        """Workers that were replaced, and since when."""

    def run(self, make_application: Callable[[], Callable[..., Any]], on_startup: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT. Each worker makes its application; `on_startup` is called before the first."""
        _lead_workers()
        self.on_startup(on_startup)
        self.serve(target_loader=make_application, wrap_loader=False)

    @property
    def is_ending(self) -> bool:
        return bool(self.interrupt_signal)

    def renew_certificate(self) -> None:
        """Replace the workers by ones that show what is in the certificate's files now. Raises OSError for no such.

        Follows links again, and refuses what no worker could start with: half of a pair, for one.
        """
        certificate, key = self._certificate
        self.build_ssl_context(certificate, key, None, TLS_MIN, None, [], client_verify=False)
        log.info("the certificate changed: replacing the workers")
        self.signal_handler_reload()  # type: ignore[no-untyped-call]

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
                    "worker %d ended %s, and its requests were cut off: worker %d takes its place",
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


def require_version(installed: str = granian.__version__) -> None:
    """Raises Invalid where another one is installed."""
    if installed != VERSION:
        raise Invalid(
            f"Granian {installed} is installed, but this program works only with Granian {VERSION}: install the "
            "versions in requirements.lock"
        )


def _tell_to_stop(worker: Any) -> None:
    worker.interrupt_by_parent = True
    if worker.is_alive():
        os.kill(worker.inner.pid, STOP_WORKER)


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
