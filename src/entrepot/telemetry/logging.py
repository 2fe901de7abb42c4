"""Structured logs on standard output: one JSON object per line, with nothing that controls a terminal."""

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime

import orjson

from entrepot.telemetry.terminal import visible_json

FLUSH_LINES = 64
FLUSH_SECONDS = 0.1


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _whole(record.getMessage()),
        }
        request_id = getattr(record, "request_id", None)
        if request_id is not None:
            line["request_id"] = request_id
        if record.exc_info:
            line["exception"] = _whole(self.formatException(record.exc_info))
        return visible_json(orjson.dumps(line, default=str)).decode()


def _whole(text: str) -> str:
    """The text without lone surrogates, which file names may contain and JSON may not."""
    return text.encode(errors="backslashreplace").decode()


def configure(level: str) -> None:
    """Send the program's log lines to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JSONFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Of interest only when something is wrong.
    for chatty in ("_granian", "alembic", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class AccessLog:
    """Writes a line for each request. Lines are batched, so that many cost one write."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(self, line: dict[str, object]) -> None:
        if not self._enabled:
            return
        self._lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        if len(self._lines) >= FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        text = memoryview(visible_json(b"".join(self._lines)))
        self._lines.clear()
        try:
            while text:
                text = text[os.write(sys.stdout.fileno(), text) :]
        except OSError:
            # A disk that is full, a reader that is gone: there is nowhere to say so, and requests do not suffer for it.
            return
