"""Text that commands a terminal, hides in it or forges a line, and a terminal to run programs on."""

import os
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from tests.peers.process import COMMAND_SECONDS_MAX, POLL_SECONDS

FORGED = "FORGED"
RANGES = (
    (0x00, 0x1F),
    (0x7F, 0x9F),
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x180E, 0x180E),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
    (0xE0001, 0xE0001),
    (0xE0020, 0xE007F),
)
NOT_TO_BE_SEEN = "".join(chr(code) for first, last in RANGES for code in range(first, last + 1))
FORBIDDEN = frozenset(NOT_TO_BE_SEEN) - {"\n"}
"""Nowhere in what a terminal gets. A line's end is there, and begins nothing that somebody else wrote."""
HOSTILE = f"a\x1b]0;title\x07\x1b[2J\x9b31m\n{FORGED}\r{FORGED}\u2028{FORGED}{NOT_TO_BE_SEEN}"
ARGUMENT = HOSTILE.replace("\0", "")
"""What can be an argument of a program."""


@dataclass(frozen=True)
class Said:
    """What a program wrote, to a terminal as one."""

    status: int
    out: str
    err: str = ""

    def harmless(self, *, lines: bool = False) -> bool:
        """Whether none of it does anything to a terminal but show itself. With `lines`, it may begin lines."""
        forged = any(line.startswith(FORGED) for text in (self.out, self.err) for line in text.splitlines())
        return not FORBIDDEN & set(self.out + self.err) and (lines or not forged)


class Terminal:
    """A program on a terminal without any of its own powers: what it gets is what was written."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str], stdin: str = "") -> None:
        self._side, terminal = os.openpty()
        attributes = termios.tcgetattr(terminal)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(terminal, termios.TCSANOW, attributes)
        self.process = subprocess.Popen(
            [str(part) for part in command],
            env={**os.environ, **environment, "TERM": "dumb"},
            stdin=subprocess.PIPE,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        self._pieces: list[bytes] = []
        self._reader = Thread(target=self._read)
        self._reader.start()
        assert self.process.stdin is not None
        with self.process.stdin as keyboard:
            keyboard.write(stdin.encode())

    def wait_for(self, text: str) -> None:
        """Until the program has written this, or has ended."""
        while text.encode() not in b"".join(self._pieces) and self._reader.is_alive():
            time.sleep(POLL_SECONDS)

    def end(self) -> Said:
        """Wait for the program's end."""
        try:
            status = self.process.wait(timeout=COMMAND_SECONDS_MAX)
        finally:
            self.process.kill()
            self._reader.join()
            os.close(self._side)
        return Said(status, b"".join(self._pieces).decode())

    def _read(self) -> None:
        try:
            while piece := os.read(self._side, 65536):
                self._pieces.append(piece)
        except OSError:
            # So ends a terminal that nobody has open any more.
            return


def on_terminal(command: Sequence[str | Path], environment: Mapping[str, str], stdin: str = "") -> Said:
    return Terminal(command, environment, stdin).end()


def into_files(command: Sequence[str | Path], environment: Mapping[str, str], stdin: str = "") -> Said:
    """As a script runs it."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        input=stdin.encode(),
        capture_output=True,
        timeout=COMMAND_SECONDS_MAX,
    )
    return Said(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode())
