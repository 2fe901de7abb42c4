"""Programs that run beside a test: servers with a log file, and commands that end by themselves."""

import os
import pwd
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

POLL_SECONDS = 0.05
COMMAND_SECONDS_MAX = 300
LOG_TAIL_LINES = 20
LOG_LINE_CHARACTERS_MAX = 400

# Below the range that the kernel gives to outgoing connections: a port stays free while its
# server is down, so that the server can come back on it.
PORTS = range(20000, 32000)
PROCESSES_MAX = 8
"""Processes that run tests at a time: each has its share of the ports."""


class ProcessFailed(AssertionError):
    """A program died, did not become ready, did not stop, or ended with an error."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, nor will in another of the processes that run tests."""
    own = PORTS[_process() :: PROCESSES_MAX]
    for port in random.sample(own, len(own)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ProcessFailed("no free port on 127.0.0.1")


def _process() -> int:
    """Which of the processes that run tests this is."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES_MAX


def log_tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log file."""
    if not path.exists():
        return "(no log)"
    tail = path.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(line[:LOG_LINE_CHARACTERS_MAX] for line in tail)


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    stdin: str | None = None,
    succeeds: bool = True,
    seconds_max: float = COMMAND_SECONDS_MAX,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; raise with everything it said if it did not end as expected."""
    completed = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **(environment or {})},
        cwd=directory,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds_max,
        check=False,
    )
    if (completed.returncode == 0) is not succeeds:
        expected = "should have succeeded" if succeeds else "should have been refused"
        raise ProcessFailed(
            f"{' '.join(str(part) for part in command)}\n"
            f"{expected}, ended with {completed.returncode}\n{completed.stdout}{completed.stderr}"
        )
    return completed


class Server:
    """A program in a process group of its own, from its start to its orderly end.

    `environment`, where given, is all of its environment; `stop_status` is what it ends with when it is told to stop.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        stop_seconds_max: float = 20,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_status: int = 0,
        user: str | None = None,
    ) -> None:
        self.command = [str(part) for part in command]
        self.log_path = log_path
        self.environment = dict(os.environ if environment is None else environment)
        self.stop_seconds_max = stop_seconds_max
        self.stop_signal = stop_signal
        self.stop_status = stop_status
        self.user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return Path(self.command[0]).name

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def started(self) -> bool:
        """Started, and not stopped or killed by us since; it may have died of itself."""
        return self._process is not None

    def start(self, ready: Callable[[], bool], *, seconds_max: float = 60) -> None:
        """Start the program and wait until `ready`."""
        if self._process is not None:
            raise ProcessFailed(f"{self.name} is started already")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.user,
                group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
            )
        deadline = time.monotonic() + seconds_max
        while not ready():
            self.check_alive()
            if time.monotonic() > deadline:
                self.kill()
                raise self._failure(f"was not ready within {seconds_max:g} s")
            time.sleep(POLL_SECONDS)

    def check_alive(self) -> None:
        """Raise with the end of the log if the program has died."""
        process = self._running()
        if process.poll() is not None:
            self._process = None
            _signal_group(process.pid, signal.SIGKILL)
            raise self._failure(f"died with {process.returncode}")

    def stop(self) -> None:
        """End it with `stop_signal`; raise if it had died before, hangs, or leaves processes behind."""
        self.check_alive()
        process = self._running()
        family = [process.pid, *descendants(process.pid)]
        process.send_signal(self.stop_signal)
        try:
            process.wait(self.stop_seconds_max)
        except subprocess.TimeoutExpired:
            self.kill()
            message = f"did not stop within {self.stop_seconds_max:g} s of {self.stop_signal.name}"
            raise self._failure(message) from None
        self._process = None
        left = _still_there(family, seconds_max=5)
        for pid in left:
            _signal(pid, signal.SIGKILL)
        if left:
            raise self._failure(f"left processes behind: {left}")
        if process.returncode not in (self.stop_status, -self.stop_signal):
            raise self._failure(f"ended with {process.returncode} on {self.stop_signal.name}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and leave it to the caller what is to come of that."""
        self._running().send_signal(number)

    def wait(self, *, seconds_max: float) -> int:
        """Wait until it has ended by itself; its exit status, negative for the signal that ended it."""
        status = self._running().wait(seconds_max)
        self._process = None
        return status

    def kill(self) -> None:
        """End it and all that it started with SIGKILL, as a crash would."""
        process = self._running()
        family = [process.pid, *descendants(process.pid)]
        for pid in family:
            _signal(pid, signal.SIGKILL)
        process.wait()
        self._process = None
        left = _still_there(family, seconds_max=10)
        if left:
            raise self._failure(f"processes outlived SIGKILL: {left}")

    def peak_memory_bytes(self) -> int:
        """The largest resident size that any of its processes has had."""
        family = [self.pid, *descendants(self.pid)]
        return max(_peak_memory_bytes(pid) for pid in family)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ProcessFailed(f"{self.name} is not started")
        return self._process

    def _failure(self, what: str) -> ProcessFailed:
        return ProcessFailed(f"{self.name} {what}\n{log_tail(self.log_path)}")


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs, that still run."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _parent(int(entry.name))) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    unseen = [pid]
    while unseen:
        begotten = children.get(unseen.pop(), [])
        found += begotten
        unseen += begotten
    return found


def _parent(pid: int) -> int | None:
    """None for a process that is gone, or that only waits to be reaped."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(parent)


def _still_there(pids: Sequence[int], *, seconds_max: float) -> list[int]:
    deadline = time.monotonic() + seconds_max
    while left := [pid for pid in pids if _parent(pid) is not None]:
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    return left


def _peak_memory_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    kibibytes = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kibibytes[0]) * 1024 if kibibytes else 0


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass
