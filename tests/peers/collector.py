"""An HTTP collector of audit records: it keeps what it is sent, and fails when it is told to."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.peers.process import free_port


class Collector:
    """`batches` are the bodies it was sent, also those that it then refused; `headers` those of the last one."""

    def __init__(self) -> None:
        self.port = free_port()
        self.batches: list[list[dict[str, Any]]] = []
        self.headers: Mapping[str, str] = {}
        self.statuses: list[int] = []
        """What it answers next; then 200."""
        self.answers = threading.Event()
        """While this is not set it takes records and does not answer."""
        self.answers.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/audit?tenant=1"

    def numbers(self) -> list[int]:
        """Of all records, in the order in which they came."""
        return [line["seq"] for batch in self.batches for line in batch]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.headers = dict(self.headers.items())
                collector.batches.append([json.loads(line) for line in body.splitlines()])
                collector.answers.wait()
                try:
                    self.send_response(collector.statuses.pop(0) if collector.statuses else 200)
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    return  # Who asked was killed.

            def log_message(self, format: str, *arguments: object) -> None:
                return

        return Handler
